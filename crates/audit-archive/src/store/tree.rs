//! The partition's Merkle tree, as the file keeps it: leaf hashes stand in their messages' rows, the tiles above
//! in a table of their own, the right edge in one row.
//!
//! So a transaction of few messages writes little beside its rows: 32 bytes in each, one row, and once in 256
//! messages a tile of at most 8 KiB.

use audit_proof::{
    Frontier, Leaf, LeafRecord, NodeHash, Prover, TILE_WIDTH, Tags, Tile, TileId, TileSource, TileTree,
};
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
    /// Where it was taken up, from a checkpoint: what stood before was removed from the log before this file was made.
    /// Empty where the file has seen every leaf.
    pub(crate) base: Frontier,
}

/// Where the tree stands, as its one writer has it.
#[derive(Clone, Debug)]
pub(crate) struct TreeWriter {
    first_seq: u64,
    epoch: u32,
    /// Which leaf the next message is. Less than the tree has only while messages come that a checkpoint covers from
    /// which the tree was taken up: their rows are kept, their hashes are in the tree already.
    next: u64,
    tree: TileTree,
    /// Tiles above the leaves that were filled and not yet written.
    full: Vec<(TileId, Tile)>,
    /// Where headers are made.
    header: Vec<u8>,
}

impl TreeWriter {
    /// The tree of an open file, whose next message gets the number `next_seq`.
    pub(crate) fn read(conn: &Connection, next_seq: u64) -> Result<Self, StoreError> {
        let newest = stored_trees(conn)?.pop().ok_or_else(|| broken("it has no tree"))?;
        let next = next_seq.saturating_sub(newest.first_seq);
        let StoredTree { first_seq, epoch, frontier, base } = newest;
        let tree = if frontier == base {
            TileTree::resume(frontier)
        } else {
            let mut filling = Vec::new();
            for (id, width) in TileTree::filling_widths(frontier.size()) {
                filling.push(read_tile(conn, first_seq, base.size(), id, width)?);
            }
            TileTree::from_parts(frontier, filling).map_err(|error| broken(&error))?
        };
        Ok(Self { first_seq, epoch, next, tree, full: Vec::new(), header: Vec::new() })
    }

    /// Begins another tree with the next message.
    pub(super) fn begin(&mut self, first_seq: u64, epoch: u32) {
        (self.first_seq, self.epoch, self.next) = (first_seq, epoch, 0);
        self.tree = TileTree::new();
    }

    /// Appends the leaf of the next message; returns its hash.
    pub(super) fn append(&mut self, record: Option<LeafRecord<'_>>, tags: Tags, body: [u8; 32]) -> NodeHash {
        let leaf = Leaf { seq: self.next, record, tags, body };
        let hash = leaf.hash(&mut self.header);
        self.next += 1;
        if self.next <= self.tree.size() {
            return hash;
        }
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

    /// Which leaf the next message is.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// How many leaves it has.
    pub(super) fn size(&self) -> u64 {
        self.tree.size()
    }
}

/// Every tree of a file, the oldest first.
pub(crate) fn stored_trees(conn: &Connection) -> rusqlite::Result<Vec<StoredTree>> {
    let mut select = conn.prepare_cached(
        "SELECT first_seq, epoch, size, peaks, base_size, base_peaks FROM tree ORDER BY first_seq",
    )?;
    let trees = select.query_map((), |row| {
        let frontier = |size: usize, peaks: usize| {
            let count = row.get(size)?;
            hashes_of(row.get_ref(peaks)?.as_blob()?)
                .and_then(|peaks| Frontier::from_peaks(count, peaks).ok())
                .ok_or_else(|| rusqlite::Error::IntegralValueOutOfRange(peaks, count as i64))
        };
        Ok(StoredTree {
            first_seq: row.get(0)?,
            epoch: row.get(1)?,
            frontier: frontier(2, 3)?,
            base: frontier(4, 5)?,
        })
    })?;
    trees.collect()
}

/// Has the file's one tree, which is empty yet, begin above what retention removed from the log: with the right edge
/// that a checkpoint told.
pub(super) fn take_up(conn: &Connection, base: &Frontier, epoch: u32) -> rusqlite::Result<()> {
    conn.execute(
        "UPDATE tree SET epoch = ?1, size = ?2, peaks = ?3, base_size = ?2, base_peaks = ?3 WHERE first_seq = 0",
        params![epoch, base.size(), bytes_of(base.peaks())],
    )
    .map(drop)
}

/// Writes down under which name a tree is signed. A log that begins again in a new epoch is signed under another one, and
/// the heads of the former may be larger for long: by the name they are told apart.
pub(super) fn signed_as(conn: &Connection, first_seq: u64, origin: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE tree SET origin = ?2 WHERE first_seq = ?1 AND origin IS NOT ?2")?
        .execute((first_seq, origin))
        .map(drop)
}

/// The first `width` hashes of a tile; fewer where the file has fewer. Of a tree that was taken up at `base_size` leaves
/// the first ones may be missing.
pub(crate) fn read_tile(
    conn: &Connection,
    first_seq: u64,
    base_size: u64,
    id: TileId,
    width: usize,
) -> rusqlite::Result<Tile> {
    if id.level == 0 {
        let start = first_seq + id.index * TILE_WIDTH as u64;
        let mut select =
            conn.prepare_cached("SELECT seq, leaf FROM record WHERE seq >= ?1 AND seq < ?2 ORDER BY seq")?;
        let mut rows = select.query((start, start + width as u64))?;
        let (mut missing, mut hashes) = (None, Vec::with_capacity(width));
        while let Some(row) = rows.next()? {
            missing.get_or_insert(row.get::<_, u64>(0)? - start);
            hashes.push(NodeHash::from_bytes(row.get(1)?));
        }
        // Only what was removed before the file was made may be missing: another hole is damage, which must show.
        let missing =
            missing.filter(|missing| id.index * (TILE_WIDTH as u64) + missing <= base_size).unwrap_or(0);
        return Ok(Tile::new(missing as usize, hashes));
    }
    let mut hashes = conn
        .prepare_cached("SELECT hashes FROM tile WHERE first_seq = ?1 AND level = ?2 AND idx = ?3")?
        .query_row((first_seq, id.level, id.index), |row| Ok(hashes_of(row.get_ref(0)?.as_blob()?)))
        .optional()?
        .flatten()
        .unwrap_or_default();
    // What was complete where the tree was taken up was never seen.
    let missing = id.width(base_size);
    hashes.truncate(width.saturating_sub(missing));
    Ok(Tile::new(missing.min(width), hashes))
}

/// A stored tree's tiles, for proofs and roots.
pub(crate) struct StoredTiles<'c> {
    conn: &'c Connection,
    first_seq: u64,
    base_size: u64,
}

impl TileSource for StoredTiles<'_> {
    type Error = rusqlite::Error;

    fn tile(&mut self, id: TileId, width: usize) -> rusqlite::Result<Tile> {
        read_tile(self.conn, self.first_seq, self.base_size, id, width)
    }
}

impl StoredTree {
    /// Proves within its first `size` leaves.
    pub(crate) fn prover<'c>(&self, conn: &'c Connection, size: u64) -> Prover<StoredTiles<'c>> {
        let tiles = StoredTiles { conn, first_seq: self.first_seq, base_size: self.base.size() };
        Prover::above(self.base.clone(), tiles, size)
    }
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
