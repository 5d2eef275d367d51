//! What each source has been up to, as counted by this process and those before it in its data directory.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use audit_record::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::hooks::remembered::SourceCounts;

/// A minute in microseconds.
const MINUTE_US: i64 = 60 * 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: String,
}

/// The counters of every source. There are as many as sources exist: a request of an unknown one is not counted.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    sources: Mutex<HashMap<String, Arc<SourceActivity>>>,
    received: Family<SourceLabel, Counter>,
    accepted: Family<SourceLabel, Counter>,
    rejected: Family<SourceLabel, Counter>,
    bad_signatures: Family<SourceLabel, Counter>,
    last_received: Family<SourceLabel, Gauge>,
    silent: Family<SourceLabel, Gauge>,
}

/// The counters of one source.
#[derive(Debug)]
pub(crate) struct SourceActivity {
    received: Counter,
    accepted: Counter,
    rejected: Counter,
    bad_signatures: Counter,
    last_received_s: Gauge,
    silent: Gauge,
    last_received_us: AtomicI64,
    /// The minute of the last badly signed body that was kept, and how many were kept in it.
    kept: Mutex<(i64, u32)>,
}

/// A source's counters at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) bad_signatures: u64,
    pub(crate) last_received: Option<Timestamp>,
}

impl Activity {
    /// Goes on from what was counted before.
    pub(crate) fn resumed(remembered: BTreeMap<String, SourceCounts>) -> Self {
        let activity = Self::default();
        for (source, counts) in remembered {
            let of = activity.of(&source);
            of.received.inc_by(counts.received);
            of.accepted.inc_by(counts.accepted);
            of.rejected.inc_by(counts.rejected);
            of.bad_signatures.inc_by(counts.bad_signatures);
            of.last_received_us.store(counts.last_received_us, Ordering::Relaxed);
            of.last_received_s.set(counts.last_received_us / 1_000_000);
        }
        activity
    }

    /// The counters of every source that was heard of.
    pub(crate) fn all(&self) -> BTreeMap<String, SourceCounts> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = |of: &SourceActivity| SourceCounts {
            received: of.received.get(),
            accepted: of.accepted.get(),
            rejected: of.rejected.get(),
            bad_signatures: of.bad_signatures.get(),
            last_received_us: of.last_received_us.load(Ordering::Relaxed),
        };
        sources.iter().map(|(name, of)| (name.clone(), counts(of))).collect()
    }

    /// Makes the counters visible.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("hooks_received", "Webhooks received under a right token", self.received.clone());
        registry.register("hooks_accepted", "Webhooks that are durable as records", self.accepted.clone());
        registry.register("hooks_rejected", "Webhooks kept in rejected", self.rejected.clone());
        registry.register(
            "hooks_bad_signatures",
            "Webhooks whose signature was missing or wrong",
            self.bad_signatures.clone(),
        );
        registry.register(
            "hooks_last_received_timestamp_seconds",
            "When a source last sent anything",
            self.last_received.clone(),
        );
        registry.register(
            "source_silent",
            "Whether nothing came from a source for longer than its silent_after, as far as the archive here knows",
            self.silent.clone(),
        );
    }

    /// The counters of a source that exists.
    pub(crate) fn of(&self, source: &str) -> Arc<SourceActivity> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(activity) = sources.get(source) {
            return activity.clone();
        }
        let label = SourceLabel { source: source.to_owned() };
        let activity = Arc::new(SourceActivity {
            received: self.received.get_or_create_owned(&label),
            accepted: self.accepted.get_or_create_owned(&label),
            rejected: self.rejected.get_or_create_owned(&label),
            bad_signatures: self.bad_signatures.get_or_create_owned(&label),
            last_received_s: self.last_received.get_or_create_owned(&label),
            silent: self.silent.get_or_create_owned(&label),
            last_received_us: AtomicI64::new(0),
            kept: Mutex::new((0, 0)),
        });
        sources.insert(source.to_owned(), activity.clone());
        activity
    }

    /// Drops the counters of a source that was deleted.
    pub(crate) fn forget(&self, source: &str) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
        let label = SourceLabel { source: source.to_owned() };
        for family in [&self.received, &self.accepted, &self.rejected, &self.bad_signatures] {
            family.remove(&label);
        }
        self.last_received.remove(&label);
        self.silent.remove(&label);
    }

    /// A source's counters now.
    pub(crate) fn counts(&self, source: &str) -> Counts {
        let activity = self.of(source);
        let at = activity.last_received_us.load(Ordering::Relaxed);
        Counts {
            received: activity.received.get(),
            accepted: activity.accepted.get(),
            rejected: activity.rejected.get(),
            bad_signatures: activity.bad_signatures.get(),
            last_received: (at > 0).then(|| Timestamp::from_micros(at).ok()).flatten(),
        }
    }
}

impl SourceActivity {
    pub(crate) fn received(&self, at: Timestamp) {
        self.received.inc();
        self.last_received_us.fetch_max(at.micros(), Ordering::Relaxed);
        self.last_received_s.set(at.micros() / 1_000_000);
    }

    pub(crate) fn silent(&self, is_silent: bool) {
        self.silent.set(i64::from(is_silent));
    }

    pub(crate) fn accepted(&self) {
        self.accepted.inc();
    }

    pub(crate) fn rejected(&self) {
        self.rejected.inc();
    }

    pub(crate) fn bad_signature(&self) {
        self.bad_signatures.inc();
    }

    /// Whether another badly signed body may be kept in this minute: whoever has the URL can send any number.
    pub(crate) fn may_keep_bad_signature(&self, per_minute: u32, at: Timestamp) -> bool {
        let minute = at.micros() / MINUTE_US;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != minute {
            *kept = (minute, 0);
        }
        kept.1 += 1;
        kept.1 <= per_minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn badly_signed_bodies_are_kept_up_to_a_rate() {
        let activity = Activity::default();
        let source = activity.of("a");
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let kept = (0..5).filter(|_| source.may_keep_bad_signature(2, at(30))).count();
        assert_eq!(kept, 2);
        assert!(source.may_keep_bad_signature(2, at(60)));
    }
}
