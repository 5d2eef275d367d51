//! A log, an archive of it, and questions.

use std::time::Duration;

use audit_archive::{ArchiveConfig, Archiver, Reader};
use audit_journal::{AppendOutcome, EmbeddedConfig, Journal, JournalConfig, NewMessage, Topic};
use audit_record::{AuditRecord, Draft, Period, Timestamp};
use audit_report::{Cell, Compliance, Question, Report, ReportError, Surroundings, run};
use flagtrail_testkit::wait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long the archive may take, on a machine busy with other tests.
const ARCHIVED_WITHIN: Duration = Duration::from_secs(180);

/// When every question is asked.
pub(crate) const NOW: &str = "2026-11-21T12:00:00Z";

pub(crate) struct Bench {
    _dir: TempDir,
    pub(crate) journal: Journal,
    reader: Reader,
    stop: CancellationToken,
    archiving: JoinHandle<()>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    /// The same log and its archive in the log's next epoch: it is accepted as it stands.
    pub(crate) async fn in_next_epoch(self) -> Self {
        let Self { _dir: dir, journal, stop, archiving, .. } = self;
        stop.cancel();
        archiving.await.unwrap();
        journal.new_epoch().await.unwrap();
        journal.close().await;
        drop(journal);
        Self::open(dir).await
    }

    async fn open(dir: TempDir) -> Self {
        let path = dir.path().join("journal.sqlite");
        // Whoever is stopped may hold the file for a moment.
        let journal = wait::some(ARCHIVED_WITHIN, "the log opens", || async {
            let config = EmbeddedConfig { path: path.clone(), partitions: 2 };
            Journal::open(JournalConfig::Embedded(config)).await.ok()
        })
        .await;
        let archive = ArchiveConfig { free_bytes_min: 0, ..ArchiveConfig::new(dir.path().join("archive")) };
        let archiver = Archiver::open(archive, &journal).unwrap();
        let stop = CancellationToken::new();
        let archiving = tokio::spawn(archiver.run(journal.clone(), stop.clone()));
        let reader = Reader::open(dir.path().join("archive"));
        Self { _dir: dir, journal, reader, stop, archiving }
    }

    /// Appends records, waits until they are archived, and tells in which partition each is.
    pub(crate) async fn append(&self, records: &[AuditRecord]) -> Vec<u32> {
        let outcomes = self.journal.append_records(records).await;
        let partition = |outcome: AppendOutcome| match outcome {
            AppendOutcome::Appended(position) => position.partition,
            other => panic!("{other:?}"),
        };
        let partitions = outcomes.into_iter().map(partition).collect();
        let ends = self.journal.bounds(Topic::Records).await.unwrap();
        wait::until(ARCHIVED_WITHIN, "the records are archived", || async {
            self.reader.covers(&ends).unwrap_or(false)
        })
        .await;
        partitions
    }

    /// Appends delivery attempts and waits until all of them are archived.
    pub(crate) async fn append_attempts(&self, messages: Vec<NewMessage>) {
        for outcome in self.journal.append(Topic::Deliveries, messages).await {
            assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        }
        let ends = self.journal.bounds(Topic::Deliveries).await.unwrap();
        let there: u64 = ends.iter().map(|bounds| bounds.end - bounds.start).sum();
        wait::until(ARCHIVED_WITHIN, "the attempts are archived", || async {
            let archived = self.reader.frontier().unwrap();
            archived.partitions.iter().map(|end| end.attempts).sum::<u64>() >= there
        })
        .await;
    }

    pub(crate) fn ask(&self, name: &str, question: &Question) -> Result<Report, ReportError> {
        let surroundings = Surroundings {
            compliance: Compliance::default(),
            endpoints: [("ep-1".to_owned(), "cache".to_owned())].into(),
            partitions: 2,
            anchored: "nowhere".to_owned(),
            ..Surroundings::default()
        };
        run(&self.reader, name, question, &surroundings)
    }

    pub(crate) fn report(&self, name: &str) -> Report {
        self.ask(name, &question()).unwrap()
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.archiving.await.unwrap();
        self.journal.close().await;
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// All there is, asked by somebody who may see all.
pub(crate) fn question() -> Question {
    Question {
        projects: Vec::new(),
        limited: false,
        period: Period::default(),
        at: at(NOW),
        list: None,
        asked_by: "a test".to_owned(),
        asked_at: at(NOW),
    }
}

/// A record with the fields of `over` replaced.
pub(crate) fn record(id: &str, over: Value) -> AuditRecord {
    let mut fields = json!({
        "id": id, "action": "flag.value.changed", "log": "The value of checkout was changed",
        "occurred_at": "2026-09-30T12:00:00Z", "recorded_at": "2026-09-30T12:00:01Z",
        "author": {"type": "user", "email": "ada@example.com"}, "organisation": {"key": "acme"},
        "project": {"key": "shop"}, "environment": {"key": "production"}, "flag": {"key": "checkout"},
        "related_object_type": "FEATURE_STATE",
        "source": {"name": "main", "system": "flagsmith", "event": "e", "received_at": "2026-09-30T12:00:01Z",
                   "authenticated": "signature"},
    });
    fields.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    AuditRecord::try_new(Draft::from_value(fields).unwrap()).unwrap()
}

/// A record of Flagtrail's own.
pub(crate) fn own(id: &str, action: &str, object_type: &str, over: Value) -> AuditRecord {
    let mut fields = json!({
        "action": action, "log": format!("{action} was done"), "organisation": {"key": "~flagtrail"},
        "author": {"type": "api_key", "id": "t-1", "name": "ops"}, "related_object_type": object_type,
        "related_object": {"id": "thing", "name": "Thing"}, "project": null, "environment": null, "flag": null,
        "source": {"name": "~flagtrail", "system": "flagtrail", "event": action,
                   "received_at": "2026-09-30T12:00:01Z", "authenticated": "token"},
    });
    fields.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    record(id, fields)
}

/// A column of every row, as text.
pub(crate) fn column(report: &Report, name: &str) -> Vec<String> {
    let number = report.definition.columns.iter().position(|column| column.name == name);
    let number = number.unwrap_or_else(|| panic!("{} has no column {name}", report.definition.name));
    report.rows.iter().map(|row| row[number].shown().unwrap_or_default()).collect()
}

/// One cell.
pub(crate) fn cell<'r>(report: &'r Report, row: usize, name: &str) -> &'r Cell {
    let number = report.definition.columns.iter().position(|column| column.name == name).unwrap();
    &report.rows[row][number]
}

/// How many, of a total.
pub(crate) fn total(report: &Report, what: &str) -> u64 {
    report.totals.iter().find(|total| total.what == what).map_or(0, |total| total.count)
}
