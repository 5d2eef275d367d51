//! Making proofs from tiles.

use std::collections::HashMap;
use std::ops::Range;

use crate::hash::{NodeHash, empty_root, node_hash};
use crate::tree::frontier::Frontier;
use crate::tree::tile::{TILE_HEIGHT, TILE_WIDTH, Tile, TileId};

/// Where tiles are kept.
pub trait TileSource {
    /// Why a tile can't be read.
    type Error;

    /// Reads a tile, with at least the first `width` hashes that it has. One that is not there is an empty
    /// tile.
    fn tile(&mut self, id: TileId, width: usize) -> Result<Tile, Self::Error>;
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError<E> {
    /// A tile can't be read.
    #[error(transparent)]
    Source(E),
    /// The tree has no such leaf or has no such size.
    #[error("a tree of {size} leaves has no {asked}")]
    NotInTree {
        /// How many leaves the tree has.
        size: u64,
        /// What was asked for.
        asked: u64,
    },
    /// The proof needs a hash that is not kept, because the tree was taken up later.
    #[error("it takes the hash {index} of the tiles of level {level}, which is not kept here")]
    NotKept {
        /// The level of the tile.
        level: u8,
        /// The place of the hash among those of its level.
        index: u64,
    },
}

/// Makes proofs in a tree of one size. Tiles are read once each.
#[derive(Debug)]
pub struct Prover<S> {
    source: S,
    size: u64,
    base: Frontier,
    tiles: HashMap<TileId, Tile>,
}

impl<S: TileSource> Prover<S> {
    /// Over the first `size` leaves of the tree that these tiles are of.
    pub fn new(source: S, size: u64) -> Self {
        Self::above(Frontier::new(), source, size)
    }

    /// Over the first `size` leaves of a tree that was taken up at `base` ([`crate::TileTree::resume`]).
    pub fn above(base: Frontier, source: S, size: u64) -> Self {
        Self { source, size, base, tiles: HashMap::new() }
    }

    /// The root.
    pub fn root(&mut self) -> Result<NodeHash, ProofError<S::Error>> {
        if self.size == 0 { Ok(empty_root()) } else { self.subtree(0..self.size) }
    }

    /// The hash of a leaf.
    pub fn leaf(&mut self, index: u64) -> Result<NodeHash, ProofError<S::Error>> {
        self.within(index.saturating_add(1), index)?;
        self.perfect(0, index)
    }

    /// The proof that leaf `index` is in the tree: RFC 6962's audit path, from the leaf's sibling up.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<NodeHash>, ProofError<S::Error>> {
        self.within(index.saturating_add(1), index)?;
        let mut siblings = Vec::new();
        let mut tree = 0..self.size;
        while tree.end - tree.start > 1 {
            let middle = split(&tree);
            if index < middle {
                siblings.push(middle..tree.end);
                tree.end = middle;
            } else {
                siblings.push(tree.start..middle);
                tree.start = middle;
            }
        }
        siblings.into_iter().rev().map(|sibling| self.subtree(sibling)).collect()
    }

    /// The proof that the tree of `older` leaves is the beginning of this one: RFC 6962's consistency proof. Of
    /// the tree without leaves, and of this one itself, it is empty.
    pub fn consistency(&mut self, older: u64) -> Result<Vec<NodeHash>, ProofError<S::Error>> {
        self.within(older, older)?;
        if older == 0 || older == self.size {
            return Ok(Vec::new());
        }
        let mut nodes = Vec::new();
        let mut tree = 0..self.size;
        // Whoever checks has the older root; it need not be told where that is a node itself.
        let mut is_older_root = true;
        while older != tree.end {
            let middle = split(&tree);
            if older <= middle {
                nodes.push(middle..tree.end);
                tree.end = middle;
            } else {
                nodes.push(tree.start..middle);
                tree.start = middle;
                is_older_root = false;
            }
        }
        if !is_older_root {
            nodes.push(tree);
        }
        nodes.into_iter().rev().map(|node| self.subtree(node)).collect()
    }

    fn within(&self, needed: u64, asked: u64) -> Result<(), ProofError<S::Error>> {
        if needed <= self.size { Ok(()) } else { Err(ProofError::NotInTree { size: self.size, asked }) }
    }

    /// The hash over a range of leaves that is a node of the tree.
    fn subtree(&mut self, leaves: Range<u64>) -> Result<NodeHash, ProofError<S::Error>> {
        let count = leaves.end - leaves.start;
        if count.is_power_of_two() {
            let level = count.trailing_zeros();
            return self.perfect(level, leaves.start >> level);
        }
        let middle = split(&leaves);
        let left = self.subtree(leaves.start..middle)?;
        let right = self.subtree(middle..leaves.end)?;
        Ok(node_hash(&left, &right))
    }

    /// The root of the `index`th subtree of 2^`level` leaves.
    fn perfect(&mut self, level: u32, index: u64) -> Result<NodeHash, ProofError<S::Error>> {
        if let Some(peak) = self.base.peak(level, index) {
            return Ok(peak);
        }
        if level.is_multiple_of(TILE_HEIGHT) {
            let tile_level = (level / TILE_HEIGHT) as u8;
            if let Some(hash) = self.stored(tile_level, index)? {
                return Ok(hash);
            }
            // Above the place where the tree was taken up, a hash that stands in no tile can still follow from
            // those below it.
            if level == 0 || index << level >= self.base.size() {
                return Err(ProofError::NotKept { level: tile_level, index });
            }
        }
        let left = self.perfect(level - 1, index * 2)?;
        let right = self.perfect(level - 1, index * 2 + 1)?;
        Ok(node_hash(&left, &right))
    }

    /// The hash at a place of a level's tiles, where it is kept.
    fn stored(&mut self, level: u8, index: u64) -> Result<Option<NodeHash>, ProofError<S::Error>> {
        let id = TileId { level, index: index / TILE_WIDTH as u64 };
        let place = (index % TILE_WIDTH as u64) as usize;
        if let Some(tile) = self.tiles.get(&id) {
            return Ok(tile.get(place));
        }
        let tile = self.source.tile(id, id.width(self.size)).map_err(ProofError::Source)?;
        let hash = tile.get(place);
        self.tiles.insert(id, tile);
        Ok(hash)
    }
}

/// Where RFC 6962 divides a tree: after the largest power of two of leaves that is smaller than all.
fn split(leaves: &Range<u64>) -> u64 {
    let count = leaves.end - leaves.start;
    leaves.start + (1 << (count - 1).ilog2())
}
