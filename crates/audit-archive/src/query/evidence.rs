//! What the archive's trees show: heads, proofs, tiles, entries.

use audit_journal::Partition;
use audit_proof::{Frontier, Leaf, NodeHash, ProofError, TILE_WIDTH, Tile, TileId, write_bundle};
use rusqlite::Connection;

use super::page::QueryError;
use super::pool::{File, Session};
use super::reader::Reader;
use crate::store::tree::{StoredTree, read_tile, stored_trees};

/// How far a partition's tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// The partition.
    pub partition: Partition,
    /// The epoch of the log in which the tree began, as far as this archive knows: one that was filled in a later epoch
    /// has seen its first tree in that one only. What tells trees apart for certain is their roots.
    pub epoch: u32,
    /// The archive's number of the message that is leaf 0.
    pub first_seq: u64,
    /// How many leaves it has.
    pub size: u64,
    /// Its root.
    pub root: NodeHash,
}

/// The proof that a message is in its partition's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// The leaf's entry: the message's header.
    pub entry: Vec<u8>,
    /// What stands before the message's value where its body is hashed; `None` where the message has none.
    pub salt: Option<Vec<u8>>,
    /// Which leaf it is.
    pub index: u64,
    /// The tree that the proof leads to, at the size that was asked for.
    pub tree: TreeHead,
    /// The proof.
    pub hashes: Vec<NodeHash>,
}

/// Why a tree does not show what was asked.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The archive can't be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// No such partition is archived.
    #[error("partition {0} is not archived here")]
    NoSuchPartition(Partition),
    /// The tree has no such leaf, or is not that large.
    #[error("the tree of partition {partition} has {size} leaves: there is no {asked} in it")]
    NotInTree {
        /// The partition.
        partition: Partition,
        /// How many leaves the tree has.
        size: u64,
        /// The leaf or the size that was asked for.
        asked: u64,
    },
    /// Hashes that should be there are not.
    #[error("the tree of partition {partition} has a hole: {problem}; `flagtrail archive check` tells more")]
    Hole {
        /// The partition.
        partition: Partition,
        /// Which hash is missing.
        problem: String,
    },
}

impl Reader {
    /// The head of every partition's tree, by partition.
    pub fn tree_heads(&self) -> Result<Vec<TreeHead>, EvidenceError> {
        let session = self.pool.session(None)?;
        let head = |file: &File| Ok(head(file.partition, &newest(file)?));
        session.files.iter().map(head).collect()
    }

    /// Every tree of a partition, the oldest first. The last one grows; the others are of a log that is there no more.
    pub fn trees(&self, partition: Partition) -> Result<Vec<TreeHead>, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let file = session.files.first().ok_or(EvidenceError::NoSuchPartition(partition))?;
        let trees = stored_trees(&file.conn).map_err(|error| file.error(error))?;
        Ok(trees.iter().map(|tree| head(partition, tree)).collect())
    }

    /// The right edge at which the tree whose leaf 0 is message `first_seq` was taken up from a checkpoint, because
    /// retention had removed what stood before; empty where the archive has seen every leaf. Of leaves before it the
    /// archive may have messages, and proves nothing.
    pub fn base_of(&self, partition: Partition, first_seq: u64) -> Result<Frontier, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let file = session.files.first().ok_or(EvidenceError::NoSuchPartition(partition))?;
        let trees = stored_trees(&file.conn).map_err(|error| file.error(error))?;
        let tree = trees.into_iter().find(|tree| tree.first_seq == first_seq);
        tree.map(|tree| tree.base).ok_or(EvidenceError::NotInTree { partition, size: 0, asked: 0 })
    }

    /// Proves that message `seq` of a partition (as [`super::Row::seq`] has it) is in the tree of the first `size`
    /// leaves, or of all.
    pub fn prove_inclusion(
        &self,
        partition: Partition,
        seq: u64,
        size: Option<u64>,
    ) -> Result<Inclusion, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let snapshot = Snapshot::begin(&session, partition)?;
        let trees = stored_trees(snapshot.conn()).map_err(|error| snapshot.file.error(error))?;
        let not_in_tree = |size| EvidenceError::NotInTree { partition, size, asked: seq };
        let tree =
            trees.into_iter().rev().find(|tree| tree.first_seq <= seq).ok_or_else(|| not_in_tree(0))?;
        let whole = tree.frontier.size();
        let (index, size) = (seq - tree.first_seq, size.unwrap_or(whole));
        if size > whole || index >= size {
            return Err(not_in_tree(size.min(whole)));
        }
        let mut prover = tree.prover(snapshot.conn(), size);
        let hashes = prover.inclusion(index).map_err(|error| snapshot.refusal(error))?;
        let root = prover.root().map_err(|error| snapshot.refusal(error))?;
        let entries = snapshot.entries(&tree, index, 1)?;
        let entry = entries.into_iter().next().ok_or_else(|| not_in_tree(size))?;
        let salt = snapshot.salt(seq)?;
        let tree = TreeHead { size, root, ..head(partition, &tree) };
        Ok(Inclusion { entry, salt, index, tree, hashes })
    }

    /// Proves that the tree of a partition's first `older` leaves is the beginning of that of its first `newer`.
    pub fn prove_consistency(
        &self,
        partition: Partition,
        older: u64,
        newer: u64,
    ) -> Result<Vec<NodeHash>, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let snapshot = Snapshot::begin(&session, partition)?;
        let tree = newest(snapshot.file)?;
        let size = tree.frontier.size();
        if newer > size {
            return Err(EvidenceError::NotInTree { partition, size, asked: newer });
        }
        let mut prover = tree.prover(snapshot.conn(), newer);
        prover.consistency(older).map_err(|error| snapshot.refusal(error))
    }

    /// The root of the tree of a partition's first `size` leaves.
    pub fn root(&self, partition: Partition, size: u64) -> Result<NodeHash, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let snapshot = Snapshot::begin(&session, partition)?;
        snapshot.root(&newest(snapshot.file)?, size)
    }

    /// The same of the tree whose leaf 0 is message `first_seq`.
    pub fn root_of(
        &self,
        partition: Partition,
        first_seq: u64,
        size: u64,
    ) -> Result<NodeHash, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let snapshot = Snapshot::begin(&session, partition)?;
        let trees = stored_trees(snapshot.conn()).map_err(|error| snapshot.file.error(error))?;
        let tree = trees.into_iter().find(|tree| tree.first_seq == first_seq);
        let tree = tree.ok_or(EvidenceError::NotInTree { partition, size: 0, asked: size })?;
        snapshot.root(&tree, size)
    }

    /// The first `width` hashes of a tile of a partition's tree; `None` where it has not that many.
    pub fn tile(
        &self,
        partition: Partition,
        id: TileId,
        width: usize,
    ) -> Result<Option<Tile>, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let snapshot = Snapshot::begin(&session, partition)?;
        let tree = newest(snapshot.file)?;
        if id.width(tree.frontier.size()) < width {
            return Ok(None);
        }
        let tile = read_tile(snapshot.conn(), tree.first_seq, tree.base.size(), id, width)
            .map_err(|error| snapshot.file.error(error))?;
        // What was removed before this archive began can't be served as if it were there.
        Ok(Some(tile).filter(|tile| tile.width() == width && tile.missing() == 0))
    }

    /// The entry bundle of the first `width` leaves of a tile of level 0; `None` where it has not that many.
    pub fn entry_bundle(
        &self,
        partition: Partition,
        index: u64,
        width: usize,
    ) -> Result<Option<Vec<u8>>, EvidenceError> {
        let session = self.pool.session(Some(partition))?;
        let snapshot = Snapshot::begin(&session, partition)?;
        let tree = newest(snapshot.file)?;
        if (TileId { level: 0, index }).width(tree.frontier.size()) < width {
            return Ok(None);
        }
        let mut bundle = Vec::new();
        let entries = snapshot.entries(&tree, index * TILE_WIDTH as u64, width as u64)?;
        if entries.len() < width {
            return Ok(None);
        }
        for entry in entries {
            // A header always fits.
            write_bundle(&mut bundle, &entry);
        }
        Ok(Some(bundle))
    }
}

/// One file in one state.
struct Snapshot<'s> {
    file: &'s File,
    _open: rusqlite::Transaction<'s>,
}

impl<'s> Snapshot<'s> {
    fn begin(session: &'s Session<'_>, partition: Partition) -> Result<Self, EvidenceError> {
        let file = session.files.first().ok_or(EvidenceError::NoSuchPartition(partition))?;
        let open = file.conn.unchecked_transaction().map_err(|error| file.error(error))?;
        Ok(Self { file, _open: open })
    }

    fn conn(&self) -> &'s Connection {
        &self.file.conn
    }

    fn root(&self, tree: &StoredTree, size: u64) -> Result<NodeHash, EvidenceError> {
        let whole = tree.frontier.size();
        if size > whole {
            let partition = self.file.partition;
            return Err(EvidenceError::NotInTree { partition, size: whole, asked: size });
        }
        tree.prover(self.conn(), size).root().map_err(|error| self.refusal(error))
    }

    /// The entries of leaves `index` on, made again from their messages.
    fn entries(&self, tree: &StoredTree, index: u64, count: u64) -> Result<Vec<Vec<u8>>, EvidenceError> {
        let read = || -> rusqlite::Result<Vec<Vec<u8>>> {
            let mut select = self.conn().prepare_cached(
                "SELECT seq, salt, tags, coalesce(CAST(json AS BLOB), raw), header FROM record
                 WHERE seq >= ?1 AND seq < ?2 ORDER BY seq",
            )?;
            let start = tree.first_seq + index;
            let mut rows = select.query((start, start + count))?;
            let mut entries = Vec::new();
            while let Some(row) = rows.next()? {
                let bytes = |column| row.get_ref(column)?.as_bytes_or_null().map_err(rusqlite::Error::from);
                let seq = row.get::<_, u64>(0)? - tree.first_seq;
                entries.push(match bytes(4)? {
                    // Erased: what it was made of is gone.
                    Some(header) => header.to_owned(),
                    None => Leaf::of(seq, bytes(1)?, bytes(2)?, bytes(3)?).header(),
                });
            }
            Ok(entries)
        };
        Ok(read().map_err(|error| self.file.error(error))?)
    }

    fn salt(&self, seq: u64) -> Result<Option<Vec<u8>>, EvidenceError> {
        let select = "SELECT salt FROM record WHERE seq = ?1";
        let read = || self.conn().query_row(select, [seq], |row| row.get(0));
        Ok(read().map_err(|error| self.file.error(error))?)
    }

    fn refusal(&self, error: ProofError<rusqlite::Error>) -> EvidenceError {
        let partition = self.file.partition;
        match error {
            ProofError::Source(error) => self.file.error(error).into(),
            ProofError::NotInTree { size, asked } => EvidenceError::NotInTree { partition, size, asked },
            ProofError::NotKept { .. } => EvidenceError::Hole { partition, problem: error.to_string() },
        }
    }
}

/// The tree that grows now.
fn newest(file: &File) -> Result<StoredTree, EvidenceError> {
    let trees = stored_trees(&file.conn).map_err(|error| file.error(error))?;
    trees.into_iter().next_back().ok_or_else(|| EvidenceError::Hole {
        partition: file.partition,
        problem: "there is no tree".to_owned(),
    })
}

fn head(partition: Partition, tree: &StoredTree) -> TreeHead {
    let StoredTree { first_seq, epoch, frontier, .. } = tree;
    TreeHead { partition, epoch: *epoch, first_seq: *first_seq, size: frontier.size(), root: frontier.root() }
}
