//! The right edge of a tree: all that is needed to append to it, and its root.

use crate::hash::{NodeHash, empty_root, node_hash};

/// The roots of the perfect subtrees that a tree consists of, from left to right, largest first: one for each
/// bit that is set in its size. Less than 2 KiB whatever the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<NodeHash>,
}

/// Size and hashes don't belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tree of {size} leaves has {wanted} peaks, {found} were given")]
pub struct InvalidFrontier {
    /// How many leaves.
    pub size: u64,
    /// How many peaks there should be.
    pub wanted: usize,
    /// How many were given.
    pub found: usize,
}

impl Frontier {
    /// Of the tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// From what [`Frontier::peaks`] gave for a tree of this size.
    pub fn from_peaks(size: u64, peaks: Vec<NodeHash>) -> Result<Self, InvalidFrontier> {
        let wanted = size.count_ones() as usize;
        if peaks.len() != wanted {
            return Err(InvalidFrontier { size, wanted, found: peaks.len() });
        }
        Ok(Self { size, peaks })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its perfect subtrees, from left to right.
    pub fn peaks(&self) -> &[NodeHash] {
        &self.peaks
    }

    /// The peak that is the root of the `index`th subtree of 2^`level` leaves, where it is one.
    pub(crate) fn peak(&self, level: u32, index: u64) -> Option<NodeHash> {
        let is_peak = level < u64::BITS && (self.size >> level) & 1 == 1 && (self.size >> level) - 1 == index;
        // Above it stand as many peaks as bits are set above its own.
        let above = || self.size.checked_shr(level + 1).unwrap_or(0).count_ones() as usize;
        is_peak.then(|| self.peaks[above()])
    }

    /// Appends a leaf. `formed` is told of every node that is complete with it, the leaf first: how many levels
    /// above the leaves, and its hash. Each inner node of the tree is hashed once in the tree's life.
    pub fn append(&mut self, leaf: NodeHash, mut formed: impl FnMut(u32, NodeHash)) {
        let mut node = leaf;
        formed(0, node);
        for level in 1..=self.size.trailing_ones() {
            // A trailing one is a peak that has a right sibling now.
            let left = self.peaks.pop().expect("a peak for each bit of the size");
            node = node_hash(&left, &node);
            formed(level, node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root.
    pub fn root(&self) -> NodeHash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return empty_root() };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}
