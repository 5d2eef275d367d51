//! What tests of the engine stand on: what its tasks share, over a log of its own and with a single turn; and an endpoint.

use std::sync::Arc;
use std::time::Duration;

use audit_journal::{Control, EmbeddedConfig, Journal, JournalConfig, Message, Offset};
use audit_record::Author;
use audit_secret::{Keyring, SecretKey};
use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::{Room, Shared, Turns};
use crate::checkpoints::Checkpoints;
use crate::clock::Clock;
use crate::endpoint::{Endpoints, NewEndpoint};
use crate::entry::Entry;
use crate::limit::CircuitConfig;
use crate::live::{Live, LiveEndpoints, LiveRules, read};
use crate::schedule::RetrySchedule;
use crate::send::{Egress, EgressConfig, Sender};

/// Deliveries that may be in flight, of the endpoint and of all: more than a test begins.
const IN_FLIGHT: usize = 16;

/// So many processors have one turn.
const PROCESSORS: usize = 1;

pub(super) struct Bench {
    pub(super) shared: Arc<Shared>,
    /// An endpoint that wants what [`entry`] makes. Nobody listens there.
    pub(super) live: Arc<Live>,
    _dir: TempDir,
}

impl Bench {
    /// From here on time stands still, so that what is live stays so, whatever else the machine does.
    pub(super) async fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let config = EmbeddedConfig { path: dir.path().join("journal.sqlite"), partitions: 1 };
        let journal = Journal::open(JournalConfig::Embedded(config)).await.expect("the log opens");
        let control = Control::open(journal.clone()).await.expect("the settings open");
        let egress = Egress::new(EgressConfig {
            networks: vec!["127.0.0.1/32".parse().expect("a network")],
            ..EgressConfig::default()
        });
        let keyring = Keyring::new(SecretKey::generate(), Vec::new()).expect("one key");
        let fields = json!({ "name": "one", "url": "http://127.0.0.1:9/", "events": ["flag.*"] });
        let new: NewEndpoint = serde_json::from_value(fields).expect("the fields of an endpoint");
        let endpoints = Endpoints::new(journal.clone(), control.clone(), egress.clone(), keyring.clone());
        endpoints.create(new, Author::user("ada@example.com")).await.expect("created");

        let (circuit, clock) = (CircuitConfig::default(), Clock::system());
        let rules = LiveRules { keyring: keyring.clone(), circuit, clock: clock.clone() };
        let known = read(&control, &rules, &LiveEndpoints::default());
        let live = known.iter().map(|(_, live)| Arc::clone(live)).next().expect("the endpoint");
        live.gate.window.set_share(IN_FLIGHT);
        let shared = Shared {
            sender: Sender::new(egress).expect("an HTTP client"),
            journal,
            control,
            keyring,
            schedule: RetrySchedule::default(),
            clock,
            checkpoints: Checkpoints::default(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            in_flight_max: IN_FLIGHT,
            turns: Turns::new(PROCESSORS),
            room: Room::new(),
            disable_after: Duration::from_secs(3_600),
            doors: watch::Sender::new(0),
            live: watch::channel(known).1,
            commit_now: Notify::new(),
            disabling: TaskTracker::new(),
        };
        tokio::time::pause();
        Self { shared: Arc::new(shared), live, _dir: dir }
    }
}

/// A record that the endpoint wants, of when the log took it.
pub(super) fn entry(offset: Offset, appended_at_ms: i64) -> Arc<Entry> {
    Arc::new(Entry::new(message(offset, appended_at_ms)))
}

/// The same, as it stands on the log.
pub(super) fn message(offset: Offset, appended_at_ms: i64) -> Message {
    let value = json!({
        "id": format!("r{offset}"),
        "action": "flag.state.changed",
        "occurred_at": "2026-08-21T17:30:57Z",
    });
    Message {
        partition: 0,
        offset,
        appended_at_ms,
        key: Bytes::from_static(b"alpha"),
        headers: Vec::new(),
        value: Some(value.to_string().into()),
    }
}
