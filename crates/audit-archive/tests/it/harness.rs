//! A log, an archive of it, and records to put in.

use std::path::PathBuf;
use std::time::Duration;

use audit_archive::{ArchiveConfig, Archiver, Reader};
use audit_journal::{AppendOutcome, EmbeddedConfig, Journal, JournalConfig, Topic};
use audit_record::{AuditRecord, Draft};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long an archive may take to catch up, on a busy machine.
pub(crate) const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(300);

/// A directory with a log and an archive.
pub(crate) struct Place {
    directory: TempDir,
    partitions: u32,
}

impl Place {
    pub(crate) fn new(partitions: u32) -> Self {
        Self { directory: TempDir::new().expect("a directory for the test"), partitions }
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }

    pub(crate) fn archive_dir(&self) -> PathBuf {
        self.directory.path().join("archive")
    }

    /// Another directory within.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) async fn journal(&self) -> Journal {
        open_journal(self.log_file(), self.partitions).await
    }

    /// No floor: a test machine may be full.
    pub(crate) fn config(&self) -> ArchiveConfig {
        ArchiveConfig { free_bytes_min: 0, ..ArchiveConfig::new(self.archive_dir()) }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.archive_dir())
    }
}

pub(crate) async fn open_journal(path: PathBuf, partitions: u32) -> Journal {
    let config = JournalConfig::Embedded(EmbeddedConfig { path, partitions });
    Journal::open(config).await.expect("the log opens")
}

/// An archiver at work; told to stop by [`Running::stop`].
pub(crate) struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(config: ArchiveConfig, journal: &Journal) -> Self {
        let archiver = Archiver::open(config, journal).expect("the archive opens");
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(archiver.run(journal.clone(), shutdown.clone()));
        Self { shutdown, task }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("the archiver does not panic");
    }
}

/// A log with these records, its archive, which has them all, and who writes that.
pub(crate) async fn archived(partitions: u32, records: &[AuditRecord]) -> (Place, Journal, Reader, Running) {
    let place = Place::new(partitions);
    let journal = place.journal().await;
    append(&journal, records).await;
    let reader = place.reader();
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    (place, journal, reader, running)
}

/// Waits until everything that is on the log now is archived.
pub(crate) async fn covered(reader: &Reader, journal: &Journal) {
    let bounds = journal.bounds(Topic::Records).await.expect("bounds");
    let archived = || async { reader.covers(&bounds).unwrap_or(false) };
    flagtrail_testkit::wait::until(CAUGHT_UP_WITHIN, "the archive covers the log", archived).await;
}

/// A record of a project's flag.
pub(crate) fn record(id: &str, project: &str, over: Value) -> AuditRecord {
    let mut fields = json!({
        "id": id,
        "action": "flag.state.changed",
        "log": "Flag checkout was turned on",
        "occurred_at": "2026-09-30T12:00:00Z",
        "recorded_at": "2026-09-30T12:00:01Z",
        "author": {"type": "user", "email": "ada@example.com"},
        "organisation": {"key": "acme"},
        "project": {"key": project},
        "flag": {"key": "checkout"},
        "related_object_type": "FEATURE_STATE",
        "related_object": {"id": id},
        "source": {"name": "main", "system": "native", "event": "test",
                   "received_at": "2026-09-30T12:00:01Z", "authenticated": "token"},
    });
    if let (Value::Object(fields), Value::Object(over)) = (&mut fields, over) {
        fields.extend(over);
    }
    AuditRecord::try_new(Draft::from_value(fields).expect("well-formed fields")).expect("a valid record")
}

/// `r0`, `r1`, … spread over ten projects.
pub(crate) fn records(range: std::ops::Range<u64>) -> Vec<AuditRecord> {
    range.map(|n| record(&format!("r{n}"), &format!("project-{}", n % 10), json!({}))).collect()
}

pub(crate) async fn append(journal: &Journal, records: &[AuditRecord]) {
    for outcome in journal.append_records(records).await {
        assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
    }
}

/// The id within a record's JSON.
pub(crate) fn id_of(json: &str) -> String {
    let value: Value = serde_json::from_str(json).expect("a record");
    value["id"].as_str().expect("a record's id").to_owned()
}
