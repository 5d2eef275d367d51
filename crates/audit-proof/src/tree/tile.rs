//! Tiles: 256 neighbouring nodes of every eighth level, which is how a tree is stored and served (C2SP tlog-tiles).

use std::fmt;

use crate::hash::NodeHash;

/// How many hashes a full tile has.
pub const TILE_WIDTH: usize = 256;

/// How many levels of the tree a tile spans.
pub(crate) const TILE_HEIGHT: u32 = 8;

/// The highest level of tiles that a tree of fewer than 2^64 leaves has.
const TILE_LEVEL_MAX: u8 = 7;

/// Which tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// Its level: tiles of level 0 hold leaf hashes, those above the roots of full tiles below.
    pub level: u8,
    /// Its place among the tiles of its level, from the left.
    pub index: u64,
}

/// The text or the bytes are no tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTile {
    /// Not the path of a tile.
    #[error("it is not the path of a tile, such as 0/x001/234 or 1/000.p/17")]
    Path,
    /// Not the bytes of a tile.
    #[error("a tile is at most {TILE_WIDTH} hashes of 32 bytes")]
    Bytes,
}

impl TileId {
    /// How many hashes the tile has in a tree of this size; 0 where the tree has no such tile.
    pub fn width(self, tree_size: u64) -> usize {
        let shift = TILE_HEIGHT * u32::from(self.level);
        let nodes = tree_size.checked_shr(shift).unwrap_or(0);
        let before = self.index.saturating_mul(TILE_WIDTH as u64);
        nodes.saturating_sub(before).min(TILE_WIDTH as u64) as usize
    }

    /// The path of this many hashes of the tile: `<level>/<index>`, with `.p/<width>` where it is not full.
    pub fn path(self, width: usize) -> String {
        let partial = if width < TILE_WIDTH { format!(".p/{width}") } else { String::new() };
        format!("{}/{}{partial}", self.level, IndexPath(self.index))
    }

    /// Reads the path of a tile and how many of its hashes are meant.
    pub fn parse(path: &str) -> Result<(Self, usize), InvalidTile> {
        let (level, rest) = path.split_once('/').ok_or(InvalidTile::Path)?;
        let level: u8 = canonical_number(level).ok_or(InvalidTile::Path)?;
        let (index, width) = Self::parse_index(rest)?;
        if level > TILE_LEVEL_MAX {
            return Err(InvalidTile::Path);
        }
        Ok((Self { level, index }, width))
    }

    /// Reads what follows the level, which is what follows `entries/` in the path of an entry bundle too.
    pub fn parse_index(path: &str) -> Result<(u64, usize), InvalidTile> {
        let (index, width) = match path.split_once(".p/") {
            None => (path, TILE_WIDTH),
            Some((index, width)) => {
                let width = canonical_number(width).ok_or(InvalidTile::Path)?;
                if width == 0 || width >= TILE_WIDTH {
                    return Err(InvalidTile::Path);
                }
                (index, width)
            }
        };
        let mut number = 0_u64;
        for part in index.split('/') {
            let digits = part.strip_prefix('x').unwrap_or(part);
            if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(InvalidTile::Path);
            }
            let group: u64 = digits.parse().map_err(|_| InvalidTile::Path)?;
            number = number.checked_mul(1_000).and_then(|n| n.checked_add(group)).ok_or(InvalidTile::Path)?;
        }
        // Only one way to write an index is allowed.
        if IndexPath(number).to_string() == index { Ok((number, width)) } else { Err(InvalidTile::Path) }
    }
}

/// A number as text without leading zeros or signs.
fn canonical_number<N: std::str::FromStr + ToString>(text: &str) -> Option<N> {
    let number: N = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// An index in groups of three digits, all but the last preceded by `x`.
struct IndexPath(u64);

impl fmt::Display for IndexPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let digits = format!("{digits:0>width$}", width = digits.len().next_multiple_of(3));
        let last = digits.len() - 3;
        for start in (0..last).step_by(3) {
            write!(f, "x{}/", &digits[start..start + 3])?;
        }
        f.write_str(&digits[last..])
    }
}

/// Hashes of a tile, from one of its places on. A tree that was taken up in the middle (see
/// [`crate::TileTree::resume`]) never saw what stood before; there the first ones are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tile {
    missing: usize,
    hashes: Vec<NodeHash>,
}

impl Tile {
    /// The hashes from place `missing` on.
    pub fn new(missing: usize, hashes: Vec<NodeHash>) -> Self {
        Self { missing, hashes }
    }

    /// Reads the hashes from place `missing` on, one after another.
    pub fn from_bytes(missing: usize, bytes: &[u8]) -> Result<Self, InvalidTile> {
        let (hashes, rest) = bytes.as_chunks::<{ NodeHash::BYTES }>();
        if !rest.is_empty() || missing + hashes.len() > TILE_WIDTH {
            return Err(InvalidTile::Bytes);
        }
        Ok(Self { missing, hashes: hashes.iter().copied().map(NodeHash::from_bytes).collect() })
    }

    /// The hashes one after another, from place [`Tile::missing`] on.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
    }

    /// How many hashes are missing at its beginning.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// How many places are filled or missing.
    pub fn width(&self) -> usize {
        self.missing + self.hashes.len()
    }

    /// The hash at a place.
    pub fn get(&self, place: usize) -> Option<NodeHash> {
        self.hashes.get(place.checked_sub(self.missing)?).copied()
    }

    pub(crate) fn push(&mut self, hash: NodeHash) {
        self.hashes.push(hash);
    }
}
