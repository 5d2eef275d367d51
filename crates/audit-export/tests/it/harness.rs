//! A log, its archive, and exports of it.

use std::sync::Mutex;
use std::time::Duration;

use audit_archive::{ArchiveConfig, Archiver, Reader};
use audit_export::{Compression, ExportError, ExportJob, Format, Manifest, Vouching, run_export};
use audit_journal::{AppendOutcome, EmbeddedConfig, Journal, JournalConfig};
use audit_record::{AuditRecord, Filter, Period};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything here may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(180);

/// A log, its archive, and somebody who keeps the archive level.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) journal: Journal,
    pub(crate) reader: Reader,
    pub(crate) stop: CancellationToken,
    archiving: Mutex<Option<JoinHandle<()>>>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { path: dir.path().join("journal.sqlite"), partitions: 3 };
        let journal = Journal::open(JournalConfig::Embedded(config)).await.unwrap();
        let archive = ArchiveConfig { free_bytes_min: 0, ..ArchiveConfig::new(dir.path().join("archive")) };
        let archiver = Archiver::open(archive, &journal).unwrap();
        let stop = CancellationToken::new();
        let run = archiver.run(journal.clone(), stop.clone());
        let archiving = Mutex::new(Some(tokio::spawn(run)));
        let reader = Reader::open(dir.path().join("archive"));
        Self { dir, journal, reader, stop, archiving }
    }

    pub(crate) async fn append(&self, numbers: std::ops::Range<usize>) {
        let records: Vec<AuditRecord> = numbers.map(record).collect();
        self.append_records(&records).await;
    }

    pub(crate) async fn append_records(&self, records: &[AuditRecord]) {
        for outcome in self.journal.append_records(records).await {
            assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        }
    }

    pub(crate) fn job(&self, name: &str, format: Format) -> ExportJob {
        ExportJob {
            id: name.to_owned(),
            filter: Filter { source: vec!["test".to_owned()], ..Filter::default() },
            period: Period::default(),
            text: None,
            format,
            compression: Compression::None,
            destination: self.dir.path().join(name),
            asked_by: "a test".to_owned(),
        }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        let archiving = self.archiving.lock().unwrap().take().unwrap();
        archiving.await.unwrap();
        self.journal.close().await;
    }
}

pub(crate) fn record(number: usize) -> AuditRecord {
    let json = format!(
        r#"{{"id":"r{number}","action":"flag.value.changed","log":"=change {number}","occurred_at":"2026-01-02T03:04:05Z",
        "recorded_at":"2026-01-02T03:04:06Z","author":{{"type":"user","email":"ada@example.com"}},"organisation":{{"key":"acme"}},
        "project":{{"id":"p{}"}},"flag":{{"name":"checkout"}},"related_object_type":"FEATURE","attributes":{{"exact":9007199254740993}},
        "source":{{"name":"test","system":"native","event":"e","received_at":"2026-01-02T03:04:06Z","authenticated":"token"}}}}"#,
        number % 7
    );
    AuditRecord::from_json(json.as_bytes()).unwrap()
}

pub(crate) async fn export(bench: &Bench, job: &ExportJob) -> Result<Manifest, ExportError> {
    run_export(&bench.journal, &bench.reader, job, &Vouching::default(), |_| {}, CancellationToken::new())
        .await
}
