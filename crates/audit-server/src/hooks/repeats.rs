//! Probable repeats: the same source sent the same bytes a short while ago.
//!
//! A platform without ids that sends one request twice and one that makes the same change twice look alike. So a
//! repeat is linked, never merged. Known to this process only, and since its start.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::{Mutex, PoisonError};

use audit_digest::Sha256;
use audit_record::Timestamp;

use crate::hooks::request::HeldRequest;

/// How long a request is remembered.
const REMEMBERED_US: i64 = 10 * 60 * 1_000_000;

/// Most requests remembered; beyond it the oldest are forgotten early.
const REMEMBERED_MAX: usize = 10_000;

/// Most ids remembered of one request: of a larger batch that is sent again, the records after these are not linked.
const IDS_OF_ONE_MAX: usize = 100;

/// Most ids remembered in all; beyond it the oldest requests are forgotten early.
const IDS_MAX: usize = 100_000;

/// What a request said, and to which source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a request to the source of that name.
    pub(crate) fn of(source: &str, held: &HeldRequest) -> Self {
        let mut hasher = Sha256::new();
        for part in [source.as_bytes(), held.query.as_deref().unwrap_or_default().as_bytes(), &held.body] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize())
    }
}

/// The requests of the last while.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ids: HashMap<Fingerprint, Vec<String>>,
    /// Oldest first.
    order: VecDeque<(Timestamp, Fingerprint)>,
    /// How many ids are held in `ids`.
    held: usize,
}

impl Repeats {
    /// The ids of the first such request's records.
    pub(crate) fn find(&self, fingerprint: &Fingerprint, now: Timestamp) -> Option<Vec<String>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now);
        seen.ids.get(fingerprint).cloned()
    }

    /// Remembers a request, unless the same is remembered already.
    pub(crate) fn remember(&self, fingerprint: Fingerprint, ids: &[String], now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now);
        let Seen { ids: known, order, held } = &mut *seen;
        if let Entry::Vacant(place) = known.entry(fingerprint) {
            let ids = &ids[..ids.len().min(IDS_OF_ONE_MAX)];
            place.insert(ids.to_vec());
            order.push_back((now, fingerprint));
            *held += ids.len();
        }
    }
}

impl Seen {
    fn forget(&mut self, now: Timestamp) {
        while let Some((at, fingerprint)) = self.order.front() {
            let has_room = self.order.len() <= REMEMBERED_MAX && self.held <= IDS_MAX;
            if has_room && now.micros() - at.micros() < REMEMBERED_US {
                return;
            }
            self.held -= self.ids.remove(fingerprint).map_or(0, |ids| ids.len());
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_repeat_is_known_for_ten_minutes_after_the_first() {
        let repeats = Repeats::default();
        let fingerprint = Fingerprint([1; 32]);
        assert_eq!(repeats.find(&fingerprint, at(0)), None);
        repeats.remember(fingerprint, &["a".to_owned()], at(0));
        repeats.remember(fingerprint, &["b".to_owned()], at(300));
        assert_eq!(repeats.find(&fingerprint, at(599)), Some(vec!["a".to_owned()]));
        assert_eq!(repeats.find(&fingerprint, at(600)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let repeats = Repeats::default();
        for index in 0..REMEMBERED_MAX + 10 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&index.to_be_bytes());
            repeats.remember(Fingerprint(bytes), &[], at(0));
        }
        assert!(repeats.seen.lock().unwrap().ids.len() <= REMEMBERED_MAX + 1);
    }

    #[test]
    fn the_ids_of_large_batches_are_bounded_each_and_together() {
        let repeats = Repeats::default();
        let batch: Vec<String> = (0..IDS_OF_ONE_MAX * 3).map(|id| id.to_string()).collect();
        for index in 0..IDS_MAX / IDS_OF_ONE_MAX + 10 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&index.to_be_bytes());
            repeats.remember(Fingerprint(bytes), &batch, at(0));
            assert_eq!(repeats.find(&Fingerprint(bytes), at(0)).map(|ids| ids.len()), Some(IDS_OF_ONE_MAX));
        }
        let seen = repeats.seen.lock().unwrap();
        assert_eq!(seen.held, seen.ids.values().map(Vec::len).sum::<usize>());
        assert!(seen.held <= IDS_MAX + IDS_OF_ONE_MAX);
    }
}
