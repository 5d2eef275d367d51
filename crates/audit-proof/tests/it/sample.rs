//! Trees and records for the tests.

use std::collections::BTreeMap;
use std::convert::Infallible;

use audit_proof::{NodeHash, Tile, TileId, TileSource, TileTree, leaf_hash};
use audit_record::{AuditRecord, Draft};
use serde_json::{Value, json};

/// A tree whose full tiles are kept in memory.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) tree: TileTree,
    pub(crate) full: BTreeMap<TileId, Tile>,
}

impl Kept {
    /// A tree of these leaves.
    pub(crate) fn of(leaves: impl IntoIterator<Item = NodeHash>) -> Self {
        let mut kept = Self::default();
        kept.append(leaves);
        kept
    }

    pub(crate) fn append(&mut self, leaves: impl IntoIterator<Item = NodeHash>) {
        let Self { tree, full } = self;
        for leaf in leaves {
            tree.append(leaf, |id, tile| assert!(full.insert(id, tile).is_none(), "{id:?} was filled twice"));
        }
    }

    /// Every tile that is not empty, the partial ones too.
    pub(crate) fn tiles(&self) -> BTreeMap<TileId, Tile> {
        let mut tiles = self.full.clone();
        for (id, width) in TileTree::filling_widths(self.tree.size()) {
            let tile = self.tree.filling(id.level).expect("a tile at each level").clone();
            assert_eq!(tile.width(), width, "{id:?}");
            if width > 0 {
                tiles.insert(id, tile);
            }
        }
        tiles
    }
}

impl TileSource for &Kept {
    type Error = Infallible;

    fn tile(&mut self, id: TileId, width: usize) -> Result<Tile, Infallible> {
        let is_filling = TileTree::filling_widths(self.tree.size()).any(|(filling, _)| filling == id);
        let found = if is_filling { self.tree.filling(id.level) } else { self.full.get(&id) };
        let tile = found.cloned().unwrap_or_default();
        assert!(found.is_none() || tile.width() >= width, "{id:?} has {} hashes of {width}", tile.width());
        Ok(tile)
    }
}

/// The entry of leaf `n`.
pub(crate) fn entry(n: u64) -> Vec<u8> {
    format!("entry {n}").into_bytes()
}

/// The hashes of leaves.
pub(crate) fn leaves(range: std::ops::Range<u64>) -> impl Iterator<Item = NodeHash> {
    range.map(|n| leaf_hash(&entry(n)))
}

/// A valid record with the fields of `over` replaced.
pub(crate) fn record(over: Value) -> AuditRecord {
    let mut fields = json!({
        "id": "r-1",
        "action": "flag.state.changed",
        "log": "Flag checkout was turned on in Production",
        "occurred_at": "2026-09-30T12:00:00.000001Z",
        "recorded_at": "2026-09-30T12:00:01Z",
        "author": {"type": "user", "id": "7", "email": "ada@example.com", "name": "Ada"},
        "organisation": {"key": "acme"},
        "project": {"id": "1", "name": "Shop"},
        "environment": {"key": "prod", "name": "Production"},
        "flag": {"id": "5", "key": "checkout", "name": "Checkout"},
        "related_object_type": "FEATURE_STATE",
        "related_object": {"id": "99"},
        "source": {"name": "main", "system": "flagsmith", "event": "FLAG_UPDATED",
                   "received_at": "2026-09-30T12:00:01Z", "authenticated": "signature"},
    });
    if let (Value::Object(fields), Value::Object(over)) = (&mut fields, over) {
        fields.extend(over);
    }
    AuditRecord::try_new(Draft::from_value(fields).expect("well-formed fields")).expect("a valid record")
}
