//! A tree that grows, and the tiles that change while it does.

use crate::hash::NodeHash;
use crate::tree::frontier::Frontier;
use crate::tree::tile::{TILE_HEIGHT, TILE_WIDTH, Tile, TileId};

/// A growing tree: its right edge, and the tile that is being filled at each level. A few tens of KiB whatever
/// its size; tiles that are full are given away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TileTree {
    frontier: Frontier,
    /// The tile that is being filled, by level.
    filling: Vec<Tile>,
}

/// The tiles don't belong to a tree of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in a tree of {size} leaves the last tile of level {level} has {wanted} hashes, {found} were given")]
pub struct InvalidTree {
    /// How many leaves the tree has.
    pub size: u64,
    /// The level.
    pub level: u8,
    /// How many hashes its last tile should have.
    pub wanted: usize,
    /// How many were given.
    pub found: usize,
}

impl TileTree {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree whose leaves so far are known by its right edge alone. It goes on as it would have; of what stood
    /// before, its tiles have nothing, so that they can prove only what came after.
    pub fn resume(frontier: Frontier) -> Self {
        let filling = levels(frontier.size()).map(|(_, width)| Tile::new(width, Vec::new())).collect();
        Self { frontier, filling }
    }

    /// The tree as it was left: its right edge, and for each level the tile that was being filled.
    pub fn from_parts(frontier: Frontier, filling: Vec<Tile>) -> Result<Self, InvalidTree> {
        let size = frontier.size();
        let mut tiles = filling.iter();
        for (level, wanted) in levels(size) {
            let found = tiles.next().map_or(0, Tile::width);
            if found != wanted {
                return Err(InvalidTree { size, level, wanted, found });
            }
        }
        if let Some(more) = tiles.next() {
            let level = levels(size).count() as u8;
            return Err(InvalidTree { size, level, wanted: 0, found: more.width() });
        }
        Ok(Self { frontier, filling })
    }

    /// How many hashes the tile that is being filled at each level has, from the leaves up, in a tree of this size.
    pub fn filling_widths(size: u64) -> impl Iterator<Item = (TileId, usize)> {
        levels(size).map(move |(level, width)| {
            let nodes = size >> (TILE_HEIGHT * u32::from(level));
            (TileId { level, index: nodes / TILE_WIDTH as u64 }, width)
        })
    }

    /// Its right edge.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Its root.
    pub fn root(&self) -> NodeHash {
        self.frontier.root()
    }

    /// The tile that is being filled at a level; it may be empty.
    pub fn filling(&self, level: u8) -> Option<&Tile> {
        self.filling.get(usize::from(level))
    }

    /// Appends a leaf; `full` is given each tile that it fills.
    pub fn append(&mut self, leaf: NodeHash, mut full: impl FnMut(TileId, Tile)) {
        let Self { frontier, filling } = self;
        let size = frontier.size();
        frontier.append(leaf, |level, hash| {
            if level % TILE_HEIGHT != 0 {
                return;
            }
            let tile_level = level / TILE_HEIGHT;
            let place = tile_level as usize;
            if filling.len() == place {
                filling.push(Tile::default());
            }
            let tile = &mut filling[place];
            tile.push(hash);
            if tile.width() == TILE_WIDTH {
                let index = size >> (level + TILE_HEIGHT);
                full(TileId { level: tile_level as u8, index }, std::mem::take(tile));
            }
        });
    }
}

/// Every level that a tree of this size has tiles at, and how many hashes its last tile has there, which may be
/// none.
fn levels(size: u64) -> impl Iterator<Item = (u8, usize)> {
    let nodes = move |level: u8| size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0);
    (0..u8::MAX)
        .take_while(move |level| nodes(*level) > 0)
        .map(move |level| (level, (nodes(level) % TILE_WIDTH as u64) as usize))
}
