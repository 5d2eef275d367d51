//! Leaves, Merkle tree, tiles, checkpoints, proofs. Pure: no I/O, clock or async.
//!
//! Leaf *n* of a partition's tree is message *n* of the partition, whatever it holds: [`Leaf`] is a function
//! of the message's headers and bytes alone, so every replica computes the same tree. The tree is RFC 6962's
//! ([`TileTree`] grows it, [`Prover`] proves, [`verify_inclusion`] and [`verify_consistency`] check), and all
//! that leaves the house has a form of C2SP: tiles ([`TileId`]), signed notes ([`SignedNote`]), checkpoints
//! ([`Checkpoint`]), cosignatures ([`Cosigner`]), proofs in files ([`TlogProof`]).
//!
//! Nothing here knows where tiles are kept, what a message queue is, or what time it is.

mod checkpoint;
mod cut;
mod hash;
mod leaf;
mod log_keys;
mod note;
mod sealed;
mod tagger;
mod tags;
mod tlog_proof;
mod tree;
mod witness;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use cut::{CUT_KIND, CUT_VERSION, Cut, CutName, Edge, InvalidCut, KIND_HEADER};
pub use hash::{InvalidHash, NodeHash, empty_root, leaf_hash, node_hash};
pub use leaf::{
    InvalidLeaf, LEAF_BYTES_MAX, LEAF_VERSION, Leaf, LeafRecord, SALT_BYTES, TEXT_BYTES_MAX, body_hash,
    read_bundle, write_bundle,
};
pub use log_keys::{LOG_KEYS_MAX, LogKeys};
pub use note::{
    Cosigner, InvalidKey, InvalidNote, NOTE_BYTES_MAX, NoteSignature, NoteSigner, NoteVerifier,
    SIGNATURES_MAX, SignatureKind, SignedNote, Unverified, Verified,
};
pub use sealed::{InvalidSealed, SEALED_VERSION, Sealed, clock_name, epoch_of, origin};
pub use tagger::{SCOPES_KNOWN_MAX, TAGS_KNOWN_MAX, Tagger};
pub use tags::{ScopeKey, TAG_BYTES, TAGS_BYTES, Tag, TagKey, Tags, fold_case};
pub use tlog_proof::{InvalidTlogProof, TlogProof, TlogProofError};
pub use tree::{
    Frontier, InvalidFrontier, InvalidTile, InvalidTree, ProofError, Prover, TILE_WIDTH, Tile, TileId,
    TileSource, TileTree, Unproven, verify_consistency, verify_inclusion,
};
pub use witness::{add_checkpoint, cosignatures, cosigned_size};
