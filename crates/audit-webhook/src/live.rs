//! Endpoints as deliveries use them: prepared once a version, kept current from `control`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audit_journal::{Control, Entity};
use audit_secret::Keyring;
use tokio::sync::watch;

use crate::audience::Audience;
use crate::clock::Clock;
use crate::endpoint::{Endpoint, EndpointId, KIND};
use crate::entry::Entry;
use crate::limit::{CircuitConfig, Gate};
use crate::send::Target;
use crate::stats::EndpointStats;

/// What endpoints are prepared by.
#[derive(Clone, Debug)]
pub(crate) struct LiveRules {
    /// What their secrets are opened with.
    pub(crate) keyring: Keyring,
    pub(crate) circuit: CircuitConfig,
    pub(crate) clock: Clock,
}

/// An endpoint at a version, ready to be sent to.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) endpoint: Endpoint,
    /// Its version among the settings.
    pub(crate) version: u64,
    pub(crate) target: Target,
    /// Whether its filter asks for anything.
    pub(crate) filters: bool,
    /// Whether a delivery may begin, in this process.
    pub(crate) gate: Arc<Gate>,
    pub(crate) stats: Arc<EndpointStats>,
    /// Its receiver wants nothing more: nothing is begun until the settings say so too.
    stopped: AtomicBool,
}

impl Live {
    fn new(endpoint: Endpoint, version: u64, before: Option<&Self>, rules: &LiveRules) -> Self {
        let gate = before.map(|before| Arc::clone(&before.gate)).unwrap_or_else(|| {
            // The shares follow within moments; until then it is one at a time.
            Gate::new(1, rules.circuit, rules.clock.clone())
        });
        let rate = endpoint.rate_limit_per_second;
        if before.is_none_or(|before| before.endpoint.rate_limit_per_second != rate) {
            gate.set_rate(rate.map(f64::from));
        }
        let live = Self {
            version,
            target: Target::new(&endpoint),
            filters: endpoint.filter != audit_record::Filter::default(),
            gate,
            stats: before.map(|before| Arc::clone(&before.stats)).unwrap_or_default(),
            stopped: AtomicBool::new(false),
            endpoint,
        };
        if before.is_some_and(|before| live.forgives(before)) {
            live.gate.forgive();
        }
        live
    }

    /// Whether what failed at the version `before` no longer counts: it was changed by people, or switched on
    /// again. A replay that was ordered is no such change, nor is switching it off: that says what failed.
    pub(crate) fn forgives(&self, before: &Self) -> bool {
        let (now, then) = (&self.endpoint, &before.endpoint);
        // A move clears the replays, and an order may be read together with the switching on.
        let is_anew = now.enabled_at != then.enabled_at || now.incarnation != then.incarnation;
        now.enabled && (is_anew || now.replays == then.replays)
    }

    /// Whether it is what stands among the settings. The version alone does not tell: a declared endpoint that
    /// was deleted and made again has its old id, and begins with the first version once more.
    fn is(&self, entity: &Entity) -> bool {
        let incarnation = entity.value.get("incarnation").and_then(serde_json::Value::as_u64);
        self.version == entity.version && incarnation == Some(self.endpoint.incarnation)
    }

    /// Whether deliveries may begin.
    pub(crate) fn is_on(&self) -> bool {
        self.endpoint.enabled && !self.endpoint.paused && !self.stopped.load(Ordering::Relaxed)
    }

    /// Whether the endpoint wants what stands in `entry`.
    pub(crate) fn wants(&self, entry: &Entry) -> bool {
        let endpoint = &self.endpoint;
        let action = entry.action();
        // The action of what is no record is empty, and no pattern but `*` fits that.
        !action.is_empty()
            && endpoint.events.iter().any(|pattern| pattern.matches(action))
            && entry.about().is_none_or(|about| about != endpoint.id.as_str())
            && (!self.filters || entry.record().is_some_and(|record| endpoint.filter.matches(record)))
    }

    /// Begins nothing more at this version. True for who stopped it first.
    pub(crate) fn stop(&self) -> bool {
        !self.stopped.swap(true, Ordering::Relaxed)
    }
}

/// All endpoints, as of some moment. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveEndpoints(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    readable: BTreeMap<EndpointId, Arc<Live>>,
    audience: Audience,
    /// Those that this release can't read, by version. They are there, and must not be taken for deleted.
    unreadable: BTreeMap<EndpointId, u64>,
}

impl LiveEndpoints {
    /// One endpoint.
    pub(crate) fn get(&self, id: &EndpointId) -> Option<&Arc<Live>> {
        self.0.readable.get(id)
    }

    /// All that can be delivered to.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&EndpointId, &Arc<Live>)> {
        self.0.readable.iter()
    }

    /// Whether there is an endpoint of that id, readable or not.
    pub(crate) fn contains(&self, id: &EndpointId) -> bool {
        self.0.readable.contains_key(id) || self.0.unreadable.contains_key(id)
    }

    /// Who wants what stands in `entry`.
    pub(crate) fn audience(&self, entry: &Entry) -> Vec<EndpointId> {
        self.0.audience.of(entry)
    }

    fn is_same(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.0.readable, &other.0.readable);
        self.0.unreadable == other.0.unreadable
            && ours.len() == theirs.len()
            && ours.values().zip(theirs.values()).all(|(one, another)| Arc::ptr_eq(one, another))
    }
}

/// Keeps the endpoints current for as long as anybody looks: with the settings, and with the keys that open them.
pub(crate) async fn keep_current(control: Control, rules: LiveRules, live: watch::Sender<LiveEndpoints>) {
    let mut revision = control.revision();
    let mut keys = rules.keyring.changes();
    loop {
        // Marked as seen before it is read, so that no change falls between.
        revision.borrow_and_update();
        let current = read(&control, &rules, &live.borrow());
        live.send_if_modified(|known| {
            let changed = !known.is_same(&current);
            if changed {
                *known = current;
            }
            changed
        });
        tokio::select! {
            changed = revision.changed() => if changed.is_err() { return },
            () = keys.changed() => {}
            () = live.closed() => return,
        }
    }
}

/// The endpoints as the settings have them; those that have not changed stay as they are.
pub(crate) fn read(control: &Control, rules: &LiveRules, before: &LiveEndpoints) -> LiveEndpoints {
    let mut known = Known::default();
    for entity in control.list(KIND) {
        let id = EndpointId::from(entity.id.as_str());
        let earlier = before.get(&id);
        if let Some(live) = earlier.filter(|live| live.is(&entity)) {
            known.readable.insert(id, Arc::clone(live));
            continue;
        }
        match Endpoint::from_entity(&entity, &rules.keyring) {
            Ok(endpoint) => {
                let live = Live::new(endpoint, entity.version, earlier.map(AsRef::as_ref), rules);
                known.readable.insert(id, Arc::new(live));
            }
            Err(error) => {
                if before.0.unreadable.get(&id) != Some(&entity.version) {
                    tracing::error!(endpoint = %id, %error, "an endpoint is not delivered to");
                }
                known.unreadable.insert(id, entity.version);
            }
        }
    }
    known.audience = Audience::new(known.readable.values());
    LiveEndpoints(Arc::new(known))
}
