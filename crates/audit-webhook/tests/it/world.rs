//! A log in a temporary directory, its settings, and a deliverer that can be stopped, killed and started.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use audit_journal::{
    AppendOutcome, Control, EmbeddedConfig, Journal, JournalConfig, Message, Position, ReadLimit, Topic,
};
use audit_record::{AuditRecord, Author};
use audit_secret::{Keyring, SecretKey};
use audit_webhook::{
    AttemptEntry, CircuitConfig, Clock, Deliverer, DelivererConfig, Egress, EgressConfig, EndpointId,
    EndpointState, EndpointUpdate, EndpointView, Endpoints, GROUP, NewEndpoint, RetrySchedule,
};
use flagtrail_testkit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Partitions of the log.
pub(crate) const PARTITIONS: u32 = 2;

pub(crate) struct World {
    pub(crate) journal: Journal,
    pub(crate) control: Control,
    pub(crate) endpoints: Endpoints,
    pub(crate) config: DelivererConfig,
    /// What secrets are sealed with.
    pub(crate) key: SecretKey,
    ahead_ms: Arc<AtomicI64>,
    directory: TempDir,
}

/// A deliverer at work. Dropping it is a crash: nothing is drained, nothing committed.
pub(crate) struct Running {
    pub(crate) deliverer: Deliverer,
    shutdown: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Running {
    /// Stops it in good order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("the deliverer ends");
    }

    /// Kills it, and waits until it is dead.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Waits until it has heard that an endpoint is in a state.
    pub(crate) async fn hears_that_it_is(&self, id: &str, state: EndpointState) {
        let id = EndpointId::from(id);
        wait::until(LIMIT, "the deliverer has heard of the change", || async {
            self.deliverer.status().await.iter().any(|s| s.id == id && s.state == state)
        })
        .await;
    }

    /// Waits until an endpoint has nothing left to do, in a deliverer that owns every partition.
    pub(crate) async fn caught_up(&self, id: &str) {
        let id = EndpointId::from(id);
        wait::until(LIMIT, "the endpoint is caught up", || async {
            let status = self.deliverer.status().await;
            status.iter().any(|s| {
                s.id == id
                    && s.partitions == PARTITIONS
                    && s.state == EndpointState::CaughtUp
                    && s.pending == 0
                    && s.in_flight == 0
                    // What waits in a project is neither, while it is looked for on the log.
                    && s.blocked == 0
            })
        })
        .await;
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let (journal, control) = open(&directory).await;
        let egress = Egress::new(EgressConfig {
            networks: vec!["127.0.0.1/32".parse().expect("a network")],
            ..EgressConfig::default()
        });
        let key = SecretKey::generate();
        let keyring = Keyring::new(key.clone(), Vec::new()).expect("one key");
        let endpoints = Endpoints::new(journal.clone(), control.clone(), egress.clone(), keyring.clone());
        let schedule = RetrySchedule::new(vec![Duration::from_millis(60); 4]);
        // Circuits that open and close quickly: what a test waits for need not take its time.
        let circuit = CircuitConfig {
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_millis(100),
            ..CircuitConfig::default()
        };
        let ahead_ms = Arc::new(AtomicI64::new(0));
        let told = Arc::clone(&ahead_ms);
        let clock =
            Clock::from_fn(move || chrono::Utc::now().timestamp_millis() + told.load(Ordering::Relaxed));
        let config =
            DelivererConfig { egress, schedule, keyring, circuit, clock, ..DelivererConfig::default() };
        Self { journal, control, endpoints, config, key, ahead_ms, directory }
    }

    /// Puts the deliverers' clock forward.
    pub(crate) fn put_clock_forward(&self, time: Duration) {
        self.ahead_ms.fetch_add(time.as_millis() as i64, Ordering::Relaxed);
    }

    /// The same log, closed and opened again.
    pub(crate) async fn reopened(self) -> Self {
        self.journal.close().await;
        let Self { journal, control, endpoints, config, key, ahead_ms, directory } = self;
        drop((journal, control, endpoints));
        let (journal, control) = open(&directory).await;
        let (egress, keyring) = (config.egress.clone(), config.keyring.clone());
        let endpoints = Endpoints::new(journal.clone(), control.clone(), egress, keyring);
        Self { journal, control, endpoints, config, key, ahead_ms, directory }
    }

    /// With another retry schedule.
    pub(crate) fn pauses_ms(mut self, pauses: &[u64]) -> Self {
        let pauses = pauses.iter().map(|millis| Duration::from_millis(*millis));
        self.config.schedule = RetrySchedule::new(pauses.collect());
        self
    }

    pub(crate) fn start(&self) -> Running {
        let deliverer = Deliverer::new(self.journal.clone(), self.control.clone(), self.config.clone())
            .expect("an HTTP client");
        let shutdown = CancellationToken::new();
        let (running, stop) = (deliverer.clone(), shutdown.clone());
        let task = tokio::spawn(async move { running.run(stop).await.expect("deliveries go on") });
        Running { deliverer, shutdown, task: AbortOnDropHandle::new(task) }
    }

    /// Makes an endpoint from JSON, with the least that must be said.
    pub(crate) async fn endpoint(&self, url: &str, more: Value) -> EndpointView {
        self.endpoint_with_secret(url, more).await.0
    }

    /// The same, with its signing secret.
    pub(crate) async fn endpoint_with_secret(&self, url: &str, more: Value) -> (EndpointView, String) {
        use secrecy::ExposeSecret;
        let mut new = json!({ "name": uuid::Uuid::new_v4().to_string(), "url": url });
        for (field, value) in more.as_object().expect("an object") {
            new[field] = value.clone();
        }
        let new: NewEndpoint = serde_json::from_value(new).expect("the fields of an endpoint");
        let created = self.endpoints.create(new, Author::user("ada@example.com")).await.expect("created");
        (created.view, created.secrets[0].expose_secret().to_owned())
    }

    /// Changes an endpoint.
    pub(crate) async fn update(&self, id: &str, update: Value) -> EndpointView {
        let id = EndpointId::from(id);
        let update: EndpointUpdate = serde_json::from_value(update).expect("the fields of an update");
        let version = self.endpoints.get(&id).expect("it is there").version;
        let author = Author::user("ada@example.com");
        self.endpoints.update(&id, version, update, author).await.expect("updated")
    }

    /// From now on everything that comes to a partition is removed before anybody has read it.
    pub(crate) fn remove_unread(&self, partition: u32) {
        let place = format!("topic = 'records' AND partition = {partition}");
        self.alter(&format!(
            "CREATE TRIGGER unread AFTER UPDATE ON partitions
             WHEN NEW.topic = 'records' AND NEW.partition = {partition}
             BEGIN UPDATE partitions SET first_offset = next_offset WHERE {place}; END"
        ));
    }

    /// From now on it is kept again.
    pub(crate) fn keep_again(&self) {
        self.alter("DROP TRIGGER unread");
    }

    fn alter(&self, sql: &str) {
        let log =
            rusqlite::Connection::open(self.directory.path().join("journal.db")).expect("the log's file");
        log.execute_batch(sql).expect("altered");
    }

    /// Appends records; each must be acknowledged.
    pub(crate) async fn append(&self, records: &[AuditRecord]) -> Vec<Position> {
        let outcomes = self.journal.append_records(records).await;
        let position = |outcome| match outcome {
            AppendOutcome::Appended(position) => position,
            other => panic!("not appended: {other:?}"),
        };
        outcomes.into_iter().map(position).collect()
    }

    /// Every message of a topic.
    pub(crate) async fn all(&self, topic: Topic) -> Vec<Message> {
        let limit = ReadLimit { messages: 1_000, bytes: 4 << 20 };
        let mut all = Vec::new();
        for bounds in self.journal.bounds(topic).await.expect("bounds") {
            let mut next = bounds.start;
            while next < bounds.end {
                let range = self.journal.read(topic, bounds.partition, next, limit).await.expect("a range");
                all.extend(range.messages);
                next = range.next;
            }
        }
        all
    }

    /// Every attempt in the log of attempts.
    pub(crate) async fn attempts(&self) -> Vec<AttemptEntry> {
        let read = |message: &Message| {
            serde_json::from_slice(message.value.as_ref().expect("a value")).expect("an attempt")
        };
        self.all(Topic::Deliveries).await.iter().map(read).collect()
    }

    /// Every record of an action, as JSON.
    pub(crate) async fn records_of(&self, action: &str) -> Vec<Value> {
        let read = |message: &Message| -> Value {
            serde_json::from_slice(message.value.as_ref().expect("a value")).expect("a record")
        };
        let records = self.all(Topic::Records).await;
        records.iter().map(read).filter(|record| record["action"] == action).collect()
    }

    /// An endpoint's documents, by partition.
    pub(crate) async fn documents(&self, id: &str) -> Vec<Value> {
        let documents = self.journal.documents(GROUP).await.expect("documents");
        let of = |key: &[u8]| key == id.as_bytes();
        documents
            .iter()
            .filter(|(_, key, _)| of(key))
            .map(|(_, _, value)| serde_json::from_slice(value).expect("a document"))
            .collect()
    }

    /// Waits until an endpoint's documents are as wanted.
    pub(crate) async fn documents_are(&self, id: &str, what: &str, hold: impl Fn(&[Value]) -> bool) {
        wait::until(LIMIT, what, || async { hold(&self.documents(id).await) }).await;
    }
}

async fn open(directory: &TempDir) -> (Journal, Control) {
    let config = EmbeddedConfig { path: directory.path().join("journal.db"), partitions: PARTITIONS };
    let journal = Journal::open(JournalConfig::Embedded(config)).await.expect("the log opens");
    let control = Control::open(journal.clone()).await.expect("the settings open");
    (journal, control)
}

/// A record of a project, numbered so that it can be told from others.
pub(crate) fn record(project: &str, number: u64) -> AuditRecord {
    record_of("flag.state.changed", project, number)
}

/// A record with an action.
pub(crate) fn record_of(action: &str, project: &str, number: u64) -> AuditRecord {
    let json = json!({
        "id": format!("{project}-{number:05}"),
        "schema_version": 1,
        "action": action,
        "log": format!("Flag \"naïve\" nr {number} changed 😀"),
        "occurred_at": "2026-08-21T17:30:57.006318Z",
        "recorded_at": "2026-08-21T17:30:58.000001Z",
        "author": { "type": "user", "email": "grace@example.com" },
        "organisation": { "id": "1", "name": "Acme" },
        "project": { "id": project },
        "flag": { "key": format!("flag-{}", number % 3) },
        "related_object_type": "FEATURE",
        "related_object": { "id": "7" },
        "source": {
            "name": "production", "system": "native", "event": "test",
            "received_at": "2026-08-21T17:30:58.000000Z", "authenticated": "token",
        },
        "attributes": { "number": number },
    });
    AuditRecord::from_json(json.to_string().as_bytes()).expect("a valid record")
}

/// Records `from..to` of a project.
pub(crate) fn records(project: &str, numbers: std::ops::Range<u64>) -> Vec<AuditRecord> {
    numbers.map(|number| record(project, number)).collect()
}

/// The ids of what a receiver got, in order of arrival.
pub(crate) fn ids(received: &[flagtrail_testkit::receiver::Received]) -> Vec<String> {
    received.iter().map(|request| request.header("webhook-id").expect("an id").to_owned()).collect()
}
