//! The Merkle tree of RFC 6962, grown a leaf at a time and kept as the tiles of tlog-tiles.

mod frontier;
mod grow;
mod prove;
mod tile;
mod verify;

pub use frontier::{Frontier, InvalidFrontier};
pub use grow::{InvalidTree, TileTree};
pub use prove::{ProofError, Prover, TileSource};
pub use tile::{InvalidTile, TILE_WIDTH, Tile, TileId};
pub use verify::{Unproven, verify_consistency, verify_inclusion};
