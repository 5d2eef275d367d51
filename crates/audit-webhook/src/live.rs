//! Endpoints as deliveries use them: prepared once a version, kept current from `control`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audit_journal::Control;
use audit_secret::Keyring;
use tokio::sync::{Semaphore, watch};

use crate::endpoint::{Endpoint, EndpointId, KIND};
use crate::send::Target;
use crate::stats::EndpointStats;

/// An endpoint at a version, ready to be sent to.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) endpoint: Endpoint,
    /// Its version among the settings.
    pub(crate) version: u64,
    pub(crate) target: Target,
    /// Whether its filter asks for anything.
    pub(crate) filters: bool,
    /// Its deliveries in flight, in this process.
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) stats: Arc<EndpointStats>,
    /// Its receiver wants nothing more: nothing is begun until the settings say so too.
    stopped: AtomicBool,
}

impl Live {
    fn new(endpoint: Endpoint, version: u64, before: Option<&Self>) -> Self {
        let in_flight = before
            .filter(|before| before.endpoint.max_in_flight == endpoint.max_in_flight)
            .map(|before| Arc::clone(&before.in_flight));
        Self {
            version,
            target: Target::new(&endpoint),
            filters: endpoint.filter != audit_record::Filter::default(),
            in_flight: in_flight
                .unwrap_or_else(|| Arc::new(Semaphore::new(endpoint.max_in_flight.max(1) as usize))),
            stats: before.map(|before| Arc::clone(&before.stats)).unwrap_or_default(),
            stopped: AtomicBool::new(false),
            endpoint,
        }
    }

    /// Whether deliveries may begin.
    pub(crate) fn is_on(&self) -> bool {
        self.endpoint.enabled && !self.endpoint.paused && !self.stopped.load(Ordering::Relaxed)
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

    fn is_same(&self, other: &Self) -> bool {
        let versions = |known: &Self| -> Vec<(EndpointId, u64)> {
            known.iter().map(|(id, live)| (id.clone(), live.version)).collect()
        };
        self.0.unreadable == other.0.unreadable && versions(self) == versions(other)
    }
}

/// Keeps the endpoints current for as long as anybody looks: with the settings, and with the keys that open them.
pub(crate) async fn keep_current(control: Control, keyring: Keyring, live: watch::Sender<LiveEndpoints>) {
    let mut revision = control.revision();
    let mut keys = keyring.changes();
    loop {
        // Marked as seen before it is read, so that no change falls between.
        revision.borrow_and_update();
        let current = read(&control, &keyring, &live.borrow());
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
pub(crate) fn read(control: &Control, keyring: &Keyring, before: &LiveEndpoints) -> LiveEndpoints {
    let mut known = Known::default();
    for entity in control.list(KIND) {
        let id = EndpointId::from(entity.id.as_str());
        let earlier = before.get(&id);
        if let Some(live) = earlier.filter(|live| live.version == entity.version) {
            known.readable.insert(id, Arc::clone(live));
            continue;
        }
        match Endpoint::from_entity(&entity, keyring) {
            Ok(endpoint) => {
                let live = Live::new(endpoint, entity.version, earlier.map(AsRef::as_ref));
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
    LiveEndpoints(Arc::new(known))
}
