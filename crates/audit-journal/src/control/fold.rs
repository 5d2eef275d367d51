//! The fold itself: events in, settings out. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Entity;
use super::event::ControlEvent;

/// What became of one event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It took effect; `None` after a deletion.
    Changed(Option<Arc<Entity>>),
    /// Somebody was earlier; this is what stands.
    Conflict(Option<Arc<Entity>>),
}

/// The settings after some prefix of `control`.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    /// By kind, then id.
    entities: BTreeMap<String, BTreeMap<String, Arc<Entity>>>,
}

impl Fold {
    /// What a fold held once.
    pub(crate) fn of(entities: &[Arc<Entity>]) -> Self {
        let mut fold = Self::default();
        for entity in entities {
            let of_kind = fold.entities.entry(entity.kind.clone()).or_default();
            of_kind.insert(entity.id.clone(), Arc::clone(entity));
        }
        fold
    }

    /// Everything that stands, by kind and id.
    pub(crate) fn all(&self) -> Vec<Arc<Entity>> {
        self.entities.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Folds the next event. It takes effect if it names the version that stands: 0 where nothing does,
    /// so that what was deleted can be made again.
    pub(crate) fn apply(&mut self, event: ControlEvent) -> Verdict {
        let ControlEvent { kind, id, base_version, value, .. } = event;
        let before = self.get(&kind, &id);
        if base_version != before.as_ref().map_or(0, |entity| entity.version) {
            return Verdict::Conflict(before);
        }
        let of_kind = self.entities.entry(kind.clone()).or_default();
        let Some(value) = value else {
            of_kind.remove(&id);
            return Verdict::Changed(None);
        };
        let entity = Arc::new(Entity { kind, id: id.clone(), version: base_version + 1, value });
        of_kind.insert(id, Arc::clone(&entity));
        Verdict::Changed(Some(entity))
    }

    pub(crate) fn get(&self, kind: &str, id: &str) -> Option<Arc<Entity>> {
        self.entities.get(kind)?.get(id).cloned()
    }

    pub(crate) fn list(&self, kind: &str) -> Vec<Arc<Entity>> {
        self.entities.get(kind).map(|of_kind| of_kind.values().cloned().collect()).unwrap_or_default()
    }
}
