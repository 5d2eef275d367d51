//! Proofs in files (C2SP tlog-proof): that an entry is in a log, to be checked offline with the log's key alone.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::NodeHash;
use crate::note::{InvalidNote, NoteVerifier, SignedNote};
use crate::tree::{Unproven, verify_inclusion};

/// The first line.
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Most hashes that a proof has: one for each level of a tree of 2^64 leaves.
const HASHES_MAX: usize = 64;

/// The proof that an entry is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// What the application adds. Nothing vouches for it; ours is the entry itself, so that the file is enough.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// The inclusion proof.
    pub hashes: Vec<NodeHash>,
    /// The signed checkpoint of the tree that it leads to.
    pub checkpoint: SignedNote,
}

/// The text is no such proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTlogProof {
    /// Not in the form of one.
    #[error("it is no proof of the form {FIRST_LINE}: {0}")]
    Form(&'static str),
    /// The checkpoint in it is no signed note.
    #[error("the checkpoint in it: {0}")]
    Checkpoint(#[from] InvalidNote),
}

/// Why a proof does not show what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Its checkpoint is not one of the log.
    #[error("the checkpoint in it: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The entry is not where it says.
    #[error(transparent)]
    Unproven(#[from] Unproven),
}

impl TlogProof {
    /// Reads a proof.
    pub fn parse(text: &str) -> Result<Self, InvalidTlogProof> {
        use InvalidTlogProof::Form;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(Form("it has no blank line"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(Form("the first line is another"));
        }
        let mut line = lines.next().ok_or(Form("it has no index"))?;
        let mut extra = None;
        if let Some(text) = line.strip_prefix("extra ") {
            extra = Some(STANDARD.decode(text).map_err(|_| Form("the extra data is not base64"))?);
            line = lines.next().ok_or(Form("it has no index"))?;
        }
        let text = line.strip_prefix("index ").ok_or(Form("it has no index"))?;
        let index: u64 = text.parse().map_err(|_| Form("the index is no number"))?;
        if index.to_string() != text {
            return Err(Form("the index is not written as it should be"));
        }
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == HASHES_MAX {
                return Err(Form("it has more hashes than any proof"));
            }
            hashes.push(NodeHash::parse(line).map_err(|_| Form("a hash is not 32 bytes of base64"))?);
        }
        let checkpoint = SignedNote::parse(checkpoint.as_bytes())?;
        Ok(Self { extra, index, hashes, checkpoint })
    }

    /// Checks that the leaf is in the log `origin`, by the keys that are known of it. Returns the checkpoint that
    /// shows it, with the latest time that a known cosigner vouches for.
    pub fn verify(
        &self,
        leaf: &NodeHash,
        origin: &str,
        known: &[NoteVerifier],
    ) -> Result<(Checkpoint, Option<u64>), TlogProofError> {
        let (checkpoint, at_s) = Checkpoint::open(&self.checkpoint, origin, known)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok((checkpoint, at_s))
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
