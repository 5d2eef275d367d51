//! Whether a file's trees are made of its messages' leaves.

use audit_proof::{NodeHash, Tile, TileTree};
use rusqlite::Connection;

use crate::store::tree::{StoredTree, read_tile, stored_trees};

/// Grows each tree of a file again, from the leaf hashes of its messages in their order.
pub(super) struct TreeCheck {
    trees: Vec<Grown>,
    /// The one that the messages looked at now belong to.
    current: usize,
}

struct Grown {
    stored: StoredTree,
    tree: TileTree,
    /// Tiles above the leaves that were filled, and their hashes.
    full: Vec<(audit_proof::TileId, Tile)>,
    /// Whether a message was missing: then nothing follows from the others.
    is_cut: bool,
}

impl TreeCheck {
    /// Begins with a file's first message.
    pub(super) fn begin(conn: &Connection) -> rusqlite::Result<Self> {
        let grown = |stored: StoredTree| {
            let tree = TileTree::resume(stored.base.clone());
            Grown { stored, tree, full: Vec::new(), is_cut: false }
        };
        Ok(Self { trees: stored_trees(conn)?.into_iter().map(grown).collect(), current: 0 })
    }

    /// Which leaf a message is.
    pub(super) fn index(&self, seq: u64) -> u64 {
        seq - self.trees.get(self.current).map_or(0, |grown| grown.stored.first_seq)
    }

    /// Takes in the next message's leaf.
    pub(super) fn leaf(&mut self, seq: u64, leaf: NodeHash) {
        while self.trees.get(self.current + 1).is_some_and(|next| next.stored.first_seq <= seq) {
            self.current += 1;
        }
        let index = self.index(seq);
        let Some(Grown { stored, tree, full, is_cut }) = self.trees.get_mut(self.current) else { return };
        if index < stored.base.size() {
            // In the tree already: see `TreeWriter`.
            return;
        }
        *is_cut |= index != tree.size();
        if !*is_cut {
            tree.append(leaf, |id, tile| {
                if id.level > 0 {
                    full.push((id, tile));
                }
            });
        }
    }

    /// Compares what was grown with what the file says, whose messages end before `end`.
    pub(super) fn finish(self, conn: &Connection, end: u64) -> rusqlite::Result<Vec<String>> {
        let mut problems = Vec::new();
        if self.trees.is_empty() {
            problems.push("it has no tree".to_owned());
        }
        let mut ends: Vec<u64> = self.trees.iter().skip(1).map(|grown| grown.stored.first_seq).collect();
        ends.push(end);
        for (Grown { stored, tree, full, is_cut }, end) in self.trees.into_iter().zip(ends) {
            let name = format!("the tree of epoch {}", stored.epoch);
            let (size, messages) = (stored.frontier.size(), end.saturating_sub(stored.first_seq));
            // While messages come that the checkpoint covers from which the tree was taken up, it is ahead of them.
            if size != messages.max(stored.base.size()) {
                problems.push(format!("{name} has {size} leaves for {messages} messages"));
            }
            if is_cut || tree.size() != size {
                continue;
            }
            if *tree.frontier() != stored.frontier {
                problems.push(format!("{name} has another root than its leaves make"));
            }
            let filling = TileTree::filling_widths(size).filter(|(id, width)| id.level > 0 && *width > 0);
            let filling = filling.filter_map(|(id, _)| Some((id, tree.filling(id.level)?.clone())));
            for (id, grown) in full.iter().cloned().chain(filling) {
                let width = grown.width();
                if read_tile(conn, stored.first_seq, stored.base.size(), id, width)? != grown {
                    problems.push(format!("{name} has another tile {} than its leaves make", id.path(width)));
                }
            }
        }
        Ok(problems)
    }
}
