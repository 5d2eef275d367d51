//! The partition's Merkle tree, as the file keeps it: leaf hashes stand in their messages' rows, the tiles above
//! in a table of their own, the right edge in one row.
//!
//! So a transaction of few messages writes little beside its rows: 32 bytes in each, one row, and once in 256
//! messages a tile of at most 8 KiB.

use audit_proof::{Frontier, Leaf, LeafRecord, NodeHash, TILE_WIDTH, Tags, Tile, TileId, TileTree};
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;

/// A tree as it stands in the file. There is one; another begins where an epoch of the log does that has its
/// messages from the start again.
#[derive(Debug)]
pub(crate) struct StoredTree {
    /// The number of the message that is leaf 0.
    pub(crate) first_seq: u64,
    /// The epoch of the log in which it began.
    pub(crate) epoch: u32,
    /// Its right edge.
    pub(crate) frontier: Frontier,
}

/// Where the tree stands, as its one writer has it.
#[derive(Clone, Debug)]
pub(crate) struct TreeWriter {
    first_seq: u64,
    epoch: u32,
    tree: TileTree,
    /// Tiles above the leaves that were filled and not yet written.
    full: Vec<(TileId, Tile)>,
    /// Where headers are made.
    header: Vec<u8>,
}

impl TreeWriter {
    /// The tree of an open file.
    pub(crate) fn read(conn: &Connection) -> Result<Self, StoreError> {
        let newest = stored_trees(conn)?.pop().ok_or_else(|| broken("it has no tree"))?;
        let StoredTree { first_seq, epoch, frontier } = newest;
        let mut filling = Vec::new();
        for (id, width) in TileTree::filling_widths(frontier.size()) {
            filling.push(read_tile(conn, first_seq, id, width)?);
        }
        let tree = TileTree::from_parts(frontier, filling).map_err(|error| broken(&error))?;
        Ok(Self { first_seq, epoch, tree, full: Vec::new(), header: Vec::new() })
    }

    /// Begins another tree with the next message.
    pub(super) fn begin(&mut self, first_seq: u64, epoch: u32) {
        (self.first_seq, self.epoch) = (first_seq, epoch);
        self.tree = TileTree::new();
    }

    /// Appends the leaf of the next message; returns its hash.
    pub(super) fn append(&mut self, record: Option<LeafRecord<'_>>, tags: Tags, body: [u8; 32]) -> NodeHash {
        let leaf = Leaf { seq: self.tree.size(), record, tags, body };
        let hash = leaf.hash(&mut self.header);
        let full = &mut self.full;
        self.tree.append(hash, |id, tile| {
            if id.level > 0 {
                full.push((id, tile));
            }
        });
        hash
    }

    /// Writes what has changed since the tree had `size_before` leaves, in the transaction that is open on `conn`.
    pub(super) fn write(&mut self, conn: &Connection, size_before: u64) -> rusqlite::Result<()> {
        let size = self.tree.size();
        let peaks = bytes_of(self.tree.frontier().peaks());
        conn.prepare_cached(
            "INSERT INTO tree (first_seq, epoch, size, peaks) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (first_seq) DO UPDATE SET epoch = ?2, size = ?3, peaks = ?4",
        )?
        .execute(params![self.first_seq, self.epoch, size, peaks])?;
        let is_as_before = size / TILE_WIDTH as u64 == size_before / TILE_WIDTH as u64;
        if self.full.is_empty() && is_as_before {
            return Ok(());
        }
        let mut write = conn.prepare_cached(
            "INSERT INTO tile (first_seq, level, idx, hashes) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (first_seq, level, idx) DO UPDATE SET hashes = ?4",
        )?;
        for (id, tile) in self.full.drain(..) {
            write.execute(params![self.first_seq, id.level, id.index, tile.to_bytes()])?;
        }
        for (id, width) in TileTree::filling_widths(size).filter(|(id, width)| id.level > 0 && *width > 0) {
            let tile = self.tree.filling(id.level).expect("a tile at every level that the size has");
            debug_assert_eq!(tile.width(), width);
            write.execute(params![self.first_seq, id.level, id.index, tile.to_bytes()])?;
        }
        Ok(())
    }

    /// How many leaves it has.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }
}

/// Every tree of a file, the oldest first.
pub(crate) fn stored_trees(conn: &Connection) -> rusqlite::Result<Vec<StoredTree>> {
    let mut select =
        conn.prepare_cached("SELECT first_seq, epoch, size, peaks FROM tree ORDER BY first_seq")?;
    let trees = select.query_map((), |row| {
        let size = row.get(2)?;
        let peaks = hashes_of(row.get_ref(3)?.as_blob()?);
        let frontier = peaks
            .and_then(|peaks| Frontier::from_peaks(size, peaks).ok())
            .ok_or_else(|| rusqlite::Error::IntegralValueOutOfRange(3, size as i64))?;
        Ok(StoredTree { first_seq: row.get(0)?, epoch: row.get(1)?, frontier })
    })?;
    trees.collect()
}

/// The first `width` hashes of a tile; fewer where the file has fewer.
pub(crate) fn read_tile(
    conn: &Connection,
    first_seq: u64,
    id: TileId,
    width: usize,
) -> rusqlite::Result<Tile> {
    let hashes = if id.level == 0 {
        let start = first_seq + id.index * TILE_WIDTH as u64;
        let mut select =
            conn.prepare_cached("SELECT leaf FROM record WHERE seq >= ?1 AND seq < ?2 ORDER BY seq")?;
        let leaves = select.query_map((start, start + width as u64), |row| row.get::<_, [u8; 32]>(0))?;
        leaves.map(|leaf| leaf.map(NodeHash::from_bytes)).collect::<rusqlite::Result<_>>()?
    } else {
        conn.prepare_cached("SELECT hashes FROM tile WHERE first_seq = ?1 AND level = ?2 AND idx = ?3")?
            .query_row((first_seq, id.level, id.index), |row| Ok(hashes_of(row.get_ref(0)?.as_blob()?)))
            .optional()?
            .flatten()
            .map(|mut hashes| {
                hashes.truncate(width);
                hashes
            })
            .unwrap_or_default()
    };
    Ok(Tile::new(0, hashes))
}

fn bytes_of(hashes: &[NodeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

fn hashes_of(bytes: &[u8]) -> Option<Vec<NodeHash>> {
    let (hashes, rest) = bytes.as_chunks();
    rest.is_empty().then(|| hashes.iter().copied().map(NodeHash::from_bytes).collect())
}

fn broken(problem: &(impl ToString + ?Sized)) -> StoreError {
    StoreError::Broken(format!("its tree can't be taken up: {}", problem.to_string()))
}
