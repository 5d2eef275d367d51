//! Checking proofs: RFC 9162, sections 2.1.3.2 and 2.1.4.2, which are those of RFC 6962 in steps.

use crate::hash::{NodeHash, node_hash};

/// A proof that does not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The tree has no such leaf.
    #[error("a tree of {size} leaves has no leaf {index}")]
    NoSuchLeaf {
        /// How many leaves the tree has.
        size: u64,
        /// The leaf.
        index: u64,
    },
    /// The older tree is the larger one.
    #[error("a tree of {older} leaves is not the beginning of one of {newer}")]
    Shrunk {
        /// How many leaves the older tree has.
        older: u64,
        /// How many leaves the newer tree has.
        newer: u64,
    },
    /// The proof has too many hashes or too few.
    #[error("the proof has {0} hashes, which is not what these sizes take")]
    Length(usize),
    /// What follows from the proof is another root.
    #[error("the proof leads to another root")]
    OtherRoot,
}

/// Checks that a leaf is at `index` in the tree of `size` leaves with this root.
pub fn verify_inclusion(
    leaf: &NodeHash,
    index: u64,
    size: u64,
    proof: &[NodeHash],
    root: &NodeHash,
) -> Result<(), Unproven> {
    if index >= size {
        return Err(Unproven::NoSuchLeaf { size, index });
    }
    let mut path = Path { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        hash = match path.climb().ok_or(Unproven::Length(proof.len()))? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    if path.last != 0 {
        return Err(Unproven::Length(proof.len()));
    }
    if hash == *root { Ok(()) } else { Err(Unproven::OtherRoot) }
}

/// Checks that the tree of `older` leaves with `older_root` is the beginning of the tree of `newer` leaves with
/// `newer_root`. The tree without leaves is the beginning of every tree.
pub fn verify_consistency(
    older: u64,
    newer: u64,
    proof: &[NodeHash],
    older_root: &NodeHash,
    newer_root: &NodeHash,
) -> Result<(), Unproven> {
    if older > newer {
        return Err(Unproven::Shrunk { older, newer });
    }
    let wrong_length = Unproven::Length(proof.len());
    if older == newer || older == 0 {
        let same = older == 0 || older_root == newer_root;
        return match (proof.is_empty(), same) {
            (false, _) => Err(wrong_length),
            (true, true) => Ok(()),
            (true, false) => Err(Unproven::OtherRoot),
        };
    }
    let mut path = Path { node: older - 1, last: newer - 1 };
    while path.node & 1 == 1 {
        path.up();
    }
    // Where the older tree is a node of the newer one, its root begins the proof without being told.
    let (first, rest) = if older.is_power_of_two() {
        (older_root, proof)
    } else {
        proof.split_first().ok_or(wrong_length)?
    };
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        match path.climb().ok_or(wrong_length)? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    if path.last != 0 {
        return Err(wrong_length);
    }
    if old == *older_root && new == *newer_root { Ok(()) } else { Err(Unproven::OtherRoot) }
}

/// On which side the next sibling of a proof stands.
enum Side {
    Left,
    Right,
}

/// The way from a node up to the root, beside the last node of each level.
struct Path {
    node: u64,
    last: u64,
}

impl Path {
    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    /// Past the next sibling; `None` at the root.
    fn climb(&mut self) -> Option<Side> {
        if self.last == 0 {
            return None;
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // A last node without a right sibling is its own parent, until it has a left one.
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.up();
        Some(side)
    }
}
