//! A log whose sealers go by the test's clock: what the tests of checkpoints and those of segments set up alike.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use audit_export::{SealKeys, Sealer};
use audit_journal::{AppendOutcome, EmbeddedConfig, Journal, JournalConfig};
use audit_record::AuditRecord;
use flagtrail_testkit::wait;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PARTITIONS: u32 = 2;

/// How long anything here may take, on a busy machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(120);

/// 21 November 2026.
pub(crate) const BEGIN_MS: i64 = 1_795_219_200_000;

/// Both of checkpoints and of segments.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

/// A log, and the time that its sealers are told.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) journal: Journal,
    now_ms: Arc<AtomicI64>,
}

/// A sealer at work.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As a crash would end it: nothing is finished, nobody is told.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir).await;
        Self { dir, journal, now_ms: Arc::new(AtomicI64::new(BEGIN_MS)) }
    }

    /// The same log, opened anew, after something was done to its file.
    pub(crate) async fn reopened(self, alter: impl FnOnce(&rusqlite::Connection)) -> Self {
        let Self { dir, journal, now_ms } = self;
        journal.close().await;
        drop(journal);
        let path = dir.path().join("journal.sqlite");
        // Whoever is stopped may hold the file for a moment.
        let file = wait::some(WITHIN, "the log's file is free", || async {
            let file = rusqlite::Connection::open(&path).ok()?;
            file.execute_batch("BEGIN IMMEDIATE; COMMIT").ok().map(|()| file)
        })
        .await;
        alter(&file);
        drop(file);
        let journal = open(&dir).await;
        Self { dir, journal, now_ms }
    }

    pub(crate) fn run(&self, sealer: Sealer) -> Running {
        let (stop, now_ms) = (CancellationToken::new(), Arc::clone(&self.now_ms));
        let run = sealer.run(move || now_ms.load(Ordering::Relaxed), stop.clone());
        Running { stop, task: tokio::spawn(run) }
    }

    pub(crate) fn pass(&self, duration: Duration) {
        self.now_ms.fetch_add(duration.as_millis() as i64, Ordering::Relaxed);
    }

    /// Gives a table of the log's file another name, so that what is in it can't be read, or can be read again.
    pub(crate) fn rename(&self, from: &str, to: &str) {
        let file = rusqlite::Connection::open(self.dir.path().join("journal.sqlite")).unwrap();
        file.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap();
    }

    /// From now on everything that comes to a partition is removed before anybody has read it.
    pub(crate) fn remove_unread(&self, partition: u32) {
        let file = rusqlite::Connection::open(self.dir.path().join("journal.sqlite")).unwrap();
        let place = format!("topic = 'records' AND partition = {partition}");
        let trigger = format!(
            "CREATE TRIGGER unread AFTER UPDATE ON partitions
             WHEN NEW.topic = 'records' AND NEW.partition = {partition}
             BEGIN UPDATE partitions SET first_offset = next_offset WHERE {place}; END"
        );
        file.execute_batch(&trigger).unwrap();
    }

    pub(crate) async fn append(&self, numbers: Range<usize>) {
        let records: Vec<AuditRecord> = numbers.map(record).collect();
        for outcome in self.journal.append_records(&records).await {
            assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        }
    }
}

async fn open(dir: &TempDir) -> Journal {
    let path = dir.path().join("journal.sqlite");
    wait::some(WITHIN, "the log opens", || async {
        let config = EmbeddedConfig { path: path.clone(), partitions: PARTITIONS };
        Journal::open(JournalConfig::Embedded(config)).await.ok()
    })
    .await
}

pub(crate) fn keys() -> SealKeys {
    SealKeys::new([7; 32])
}

fn record(number: usize) -> AuditRecord {
    let json = format!(
        r#"{{"id":"r{number}","action":"flag.value.changed","log":"change {number}","occurred_at":"2026-01-02T03:04:05Z",
        "recorded_at":"2026-01-02T03:04:06Z","author":{{"type":"user","email":"ada@example.com"}},"organisation":{{"key":"acme"}},
        "project":{{"id":"p{}"}},"flag":{{"name":"checkout"}},"related_object_type":"FEATURE",
        "source":{{"name":"test","system":"native","event":"e","received_at":"2026-01-02T03:04:06Z","authenticated":"token"}}}}"#,
        number % 7
    );
    AuditRecord::from_json(json.as_bytes()).unwrap()
}
