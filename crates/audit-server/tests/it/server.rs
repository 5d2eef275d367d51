//! One running server, as the binary puts it together.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use audit_archive::{ArchiveConfig, Archiver, Reader};
use audit_export::{ExportJobs, SealKeys, Sealer, SealerConfig, SegmentsConfig};
use audit_journal::{
    Control, EmbeddedConfig, Journal, JournalConfig, Message, ReadLimit, Spool, SpoolConfig, Topic,
};
use audit_secret::Keyring;
use audit_server::{AdminToken, App, Limits, Named, Parts, ServerConfig, serve};
use audit_webhook::{Deliverer, DelivererConfig, Egress, EgressConfig, Endpoints};
use bytes::Bytes;
use flagtrail_testkit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, send};

/// Longest wait for anything that ought to happen soon, on a machine busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(120);

/// How long a hook waits for the log unless a test wants otherwise: a slow disk is no outage.
const PATIENT: Duration = Duration::from_secs(60);

/// The admin token of every test server.
pub(crate) const ADMIN: &str = "ft_test_admin";

/// The secrets key of every test server, unless told otherwise: the same after a restart.
pub(crate) const TEST_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What a test may want otherwise.
pub(crate) struct Wanted {
    pub(crate) config: ServerConfig,
    pub(crate) limits: Limits,
    pub(crate) spool_bytes_max: u64,
    pub(crate) keyring: Keyring,
    pub(crate) archive: bool,
    /// Whether this process delivers, to receivers on loopback.
    pub(crate) deliver: bool,
    /// Where the segments go of what this process seals; absent where it seals nothing.
    pub(crate) seal: Option<SegmentsConfig>,
}

pub(crate) struct Server {
    pub(crate) app: App,
    pub(crate) journal: Journal,
    pub(crate) spool: Spool,
    pub(crate) admin: SocketAddr,
    pub(crate) hooks: SocketAddr,
    pub(crate) dir: Arc<TempDir>,
    pub(crate) shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(wish: impl FnOnce(&mut Wanted)) -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), wish).await
    }

    pub(crate) async fn start_in(dir: Arc<TempDir>, wish: impl FnOnce(&mut Wanted)) -> Self {
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hooks = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (admin_address, hooks_address) = (admin.local_addr().unwrap(), hooks.local_addr().unwrap());
        let mut wanted = Wanted {
            config: ServerConfig {
                hooks_public_url: format!("http://{hooks_address}"),
                admin_token: Some(AdminToken { shown: ADMIN.into(), organisation: Named::by_key("acme") }),
                hook_acknowledge_timeout: PATIENT,
                ..ServerConfig::default()
            },
            limits: Limits { drain_timeout: Duration::from_secs(2), ..Limits::default() },
            spool_bytes_max: 64 * 1024 * 1024,
            keyring: keyring(),
            archive: false,
            deliver: false,
            seal: None,
        };
        wish(&mut wanted);
        let journal = open_journal(dir.path()).await;
        let control = Control::open(journal.clone()).await.unwrap();
        let spool = SpoolConfig { path: dir.path().join("spool.sqlite"), bytes_max: wanted.spool_bytes_max };
        let spool = Spool::open(spool).await.unwrap();
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (mut archive, mut exports) = (None, None);
        if wanted.archive {
            let archiver = Archiver::open(ArchiveConfig::new(dir.path().join("archive")), &journal).unwrap();
            let reader = Reader::open(dir.path().join("archive"));
            let (jobs, runner) = ExportJobs::open(dir.path().join("exports")).unwrap();
            tasks.spawn(archiver.run(journal.clone(), shutdown.clone()));
            tasks.spawn(runner.run(journal.clone(), reader.clone(), shutdown.clone()));
            (archive, exports) = (Some(reader), Some(jobs));
        }
        let egress = Egress::new(EgressConfig {
            networks: if wanted.deliver { vec!["127.0.0.1/32".parse().unwrap()] } else { Vec::new() },
            ..EgressConfig::default()
        });
        let deliverer = wanted.deliver.then(|| {
            let keyring = wanted.keyring.clone();
            let config = DelivererConfig { egress: egress.clone(), keyring, ..DelivererConfig::default() };
            Deliverer::new(journal.clone(), control.clone(), config).unwrap()
        });
        if let Some(deliverer) = deliverer.clone() {
            let shutdown = shutdown.clone();
            tasks.spawn(async move { deliverer.run(shutdown).await.unwrap() });
        }
        let sealing = wanted.seal.take().map(|segments| {
            let config =
                SealerConfig { interval: Duration::from_millis(100), idle: Duration::from_secs(3_600) };
            let sealer = Sealer::new(journal.clone(), SealKeys::generate(), &config).unwrap();
            let sealer = sealer.with_segments(&segments);
            let standing = sealer.standing();
            tasks.spawn(sealer.run(|| chrono::Utc::now().timestamp_millis(), shutdown.clone()));
            standing
        });
        let parts = Parts {
            journal: journal.clone(),
            control: control.clone(),
            spool: Some(spool.clone()),
            endpoints: Endpoints::new(journal.clone(), control, egress, wanted.keyring.clone()),
            keyring: wanted.keyring,
            deliverer,
            archive,
            exports,
            sealing,
        };
        wanted.config.counters_file = Some(dir.path().join("sources.json"));
        let app = App::new(parts, wanted.config, shutdown.clone());
        let routers = [("admin", admin, app.admin_router()), ("hooks", hooks, app.hooks_router())];
        for (name, listener, router) in routers {
            let serving = serve(name, listener, None, router, wanted.limits.clone(), shutdown.clone());
            tasks.spawn(async move { serving.await.unwrap() });
        }
        let running = app.clone();
        tasks.spawn(async move { running.run().await });
        let watching = app.clone();
        tasks.spawn(async move { watching.watch_sources().await });
        Self { app, journal, spool, admin: admin_address, hooks: hooks_address, dir, shutdown, tasks }
    }

    /// Stops as the binary does, and gives the directory back.
    pub(crate) async fn stop(mut self) -> Arc<TempDir> {
        self.shutdown.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.journal.close().await;
        self.dir.clone()
    }

    /// Ends every task where it stands, as a kill would; files stay as they are. `dying` happens when the tasks are gone, and what they
    /// had asked of the log is still under way.
    pub(crate) async fn crash(mut self, dying: impl FnOnce()) -> Arc<TempDir> {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        dying();
        self.dir.clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// A request to the administration with the admin token.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_as(ADMIN, method, path, &[], body).await
    }

    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut all = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        send(method, &self.url(path), &all, body).await
    }

    /// `POST /v1/records` with the admin token.
    pub(crate) async fn append(&self, content_type: &str, body: impl Into<Bytes>) -> Answer {
        let bearer = format!("Bearer {ADMIN}");
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
        send("POST", &self.url("/v1/records"), &headers, body).await
    }

    /// Makes a source and returns the URL to call.
    pub(crate) async fn source(&self, name: &str, platform: &str, more: Value) -> String {
        let mut body = json!({
            "name": name, "platform": platform, "organisation": {"key": "acme"}, "project": {"id": "1", "name": "Main"},
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        let made = self.call("POST", "/v1/sources", Some(body)).await.expect(201);
        made["url"].as_str().unwrap().to_owned()
    }

    /// Makes a token and returns it.
    pub(crate) async fn token(&self, scopes: &[&str], more: Value) -> String {
        let mut body = json!({"name": "some", "scopes": scopes});
        for (field, value) in more.as_object().into_iter().flatten() {
            body[field] = value.clone();
        }
        let made = self.call("POST", "/v1/tokens", Some(body)).await.expect(201);
        made["token"].as_str().unwrap().to_owned()
    }

    /// Every message of a topic, partition by partition.
    pub(crate) async fn messages(&self, topic: Topic) -> Vec<Message> {
        let mut messages = Vec::new();
        for bounds in self.journal.bounds(topic).await.unwrap() {
            let mut next = bounds.start;
            while next < bounds.end {
                let limit = ReadLimit { messages: 10_000, bytes: 64 * 1024 * 1024 };
                let range = self.journal.read(topic, bounds.partition, next, limit).await.unwrap();
                messages.extend(range.messages);
                next = range.next;
            }
        }
        messages
    }

    /// Every record on the log but our own.
    pub(crate) async fn records(&self) -> Vec<Value> {
        let messages = self.messages(Topic::Records).await;
        let records = messages.iter().map(|m| serde_json::from_slice(m.value.as_ref().unwrap()).unwrap());
        records.filter(|record: &Value| record["source"]["system"] != "flagtrail").collect()
    }

    /// Waits until the log holds so many records.
    #[track_caller]
    pub(crate) fn until_records(&self, count: usize) -> impl Future<Output = Vec<Value>> {
        wait::some(SOON, "the records on the log", move || async move {
            let records = self.records().await;
            (records.len() >= count).then_some(records)
        })
    }
}

/// What every test server seals with.
pub(crate) fn keyring() -> Keyring {
    Keyring::new(TEST_KEY.parse().unwrap(), Vec::new()).unwrap()
}

/// Opens the log; one that was just let go of may take a moment.
async fn open_journal(dir: &Path) -> Journal {
    wait::some(SOON, "the log opens", || async {
        let config = EmbeddedConfig { path: dir.join("log.sqlite"), partitions: 4 };
        Journal::open(JournalConfig::Embedded(config)).await.ok()
    })
    .await
}

/// A record of our own form, without what is filled in.
pub(crate) fn record(flag: &str) -> Value {
    json!({
        "action": "flag.state.changed",
        "log": format!("{flag} was switched on"),
        "author": {"type": "user", "email": "ada@example.com"},
        "project": {"id": "1", "name": "Main"},
        "flag": {"key": flag},
        "related_object_type": "FEATURE",
        "related_object": {"key": flag},
    })
}
