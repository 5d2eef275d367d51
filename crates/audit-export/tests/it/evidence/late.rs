//! Exports from an archive that was made after a retention had removed the log's start: it has neither the first messages
//! nor what proves those before the checkpoint that its tree begins with.

use std::path::Path;
use std::time::Duration;

use audit_archive::{ArchiveConfig, Archiver, Reader};
use audit_export::{
    Compression, ExportJob, ExportKey, Format, Manifest, PartitionEvidence, SealKeys, Sealer, SealerConfig,
    Vouching, run_export,
};
use audit_journal::{AppendOutcome, EmbeddedConfig, Journal, JournalConfig, ReadLimit, Topic};
use audit_record::{AuditRecord, Filter, Period, Timestamp};
use audit_verify::verify_export_with;
use flagtrail_testkit::clients::Clients;
use flagtrail_testkit::wait;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::guide::{run, steps, text};
use super::{dated, found, says, trust};
use crate::export::the_manifest_is_what_its_schema_says;
use crate::harness::{WITHIN, record};

/// Messages that the log had.
const COUNT: u64 = 100;

/// The first message that retention left.
const FIRST: u64 = 50;

const ALL: ReadLimit = ReadLimit { messages: 10_000, bytes: 64 * 1024 * 1024 };

fn keys() -> SealKeys {
    SealKeys::new([1; 32])
}

/// A log of one partition that is sealed while it grows.
struct Log {
    journal: Journal,
    stop: CancellationToken,
    sealing: JoinHandle<()>,
}

impl Log {
    async fn open(dir: &Path) -> Self {
        let config = EmbeddedConfig { path: dir.join("journal.sqlite"), partitions: 1 };
        let journal = Journal::open(JournalConfig::Embedded(config)).await.unwrap();
        let config = SealerConfig { interval: Duration::from_millis(100), idle: Duration::from_secs(3_600) };
        let sealer = Sealer::new(journal.clone(), keys(), &config).unwrap();
        let stop = CancellationToken::new();
        // Checkpoints tell seconds: what is signed now is of an earlier one than what happens now.
        let now_ms = || chrono::Utc::now().timestamp_millis() - 2_000;
        let sealing = tokio::spawn(sealer.run(now_ms, stop.clone()));
        Self { journal, stop, sealing }
    }

    async fn append(&self, records: &[AuditRecord]) {
        for outcome in self.journal.append_records(records).await {
            assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        }
    }

    /// Appends records, and waits until so many messages are sealed.
    async fn grow(&self, numbers: std::ops::Range<u64>) {
        let size = numbers.end;
        let records: Vec<AuditRecord> = numbers.map(|number| record(number as usize)).collect();
        self.append(&records).await;
        wait::until(WITHIN, "what was appended is sealed", || async {
            let Ok(range) = self.journal.read(Topic::Checkpoints, 0, 0, ALL).await else { return false };
            let last = range.messages.last().and_then(|message| message.value.as_deref());
            let last = last.and_then(|value| audit_proof::Sealed::read(value).ok());
            last.is_some_and(|(_, _, checkpoint, _)| checkpoint.size >= size)
        })
        .await;
    }

    async fn close(self) {
        self.stop.cancel();
        self.sealing.await.unwrap();
        self.journal.close().await;
    }
}

/// What an operator's retention does on Kafka.
fn remove_before(dir: &Path, offset: u64) {
    let file = rusqlite::Connection::open(dir.join("journal.sqlite")).unwrap();
    file.execute("DELETE FROM records_0 WHERE offset < ?1", [offset]).unwrap();
    let first = "UPDATE partitions SET first_offset = ?1 WHERE topic = 'records' AND partition = 0";
    file.execute(first, [offset]).unwrap();
}

/// The log, and an archive of what retention left of it.
struct Late {
    dir: TempDir,
    log: Log,
    reader: Reader,
    stop: CancellationToken,
    archiving: JoinHandle<()>,
}

impl Late {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path()).await;
        log.grow(0..60).await;
        log.grow(60..COUNT).await;
        log.close().await;
        remove_before(dir.path(), FIRST);
        let log = Log::open(dir.path()).await;
        let place = dir.path().join("archive");
        let config =
            ArchiveConfig { free_bytes_min: 0, log_keys: keys().log_keys(), ..ArchiveConfig::new(&place) };
        let archiver = Archiver::open(config, &log.journal).unwrap();
        let stop = CancellationToken::new();
        let archiving = tokio::spawn(archiver.run(log.journal.clone(), stop.clone()));
        Self { dir, log, reader: Reader::open(place), stop, archiving }
    }

    /// An export of everything, or of what happened since a moment.
    async fn export(&self, name: &str, from: Option<&str>) -> (ExportJob, Manifest) {
        let job = ExportJob {
            id: name.to_owned(),
            filter: Filter::default(),
            period: Period { from: from.map(|from| Timestamp::parse(from).unwrap()), to: None },
            text: None,
            format: Format::Ndjson,
            compression: Compression::None,
            destination: self.dir.path().join(name),
            asked_by: "a test".to_owned(),
        };
        let export = Some(ExportKey::new([2; 32]));
        let vouching = Vouching { log: Some(keys()), export, previous: None };
        let (journal, stop) = (&self.log.journal, CancellationToken::new());
        let manifest = run_export(journal, &self.reader, &job, &vouching, |_| {}, stop).await.unwrap();
        (job, manifest)
    }

    async fn end(self) {
        self.stop.cancel();
        self.archiving.await.unwrap();
        self.log.close().await;
    }
}

fn the_only(manifest: &Manifest) -> &PartitionEvidence {
    let [part] = &manifest.evidence.as_ref().unwrap().partitions[..] else { panic!("one partition") };
    part
}

/// The Python lines of the export's guide, where there is Python.
fn stock_tools_agree(bag: &Path) {
    let Some(clients) = Clients::available() else { return };
    let output = run(&clients, bag, &steps(bag)[2]);
    let told = text(&output);
    assert!(output.status.success() && told.contains("leaves are not looked at"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_made_after_a_retention_exports_what_it_has_and_names_what_it_lacks() {
    let late = Late::new().await;
    for (name, from) in [("whole", None), ("since-january", Some("2026-01-01T00:00:00Z"))] {
        let (job, manifest) = late.export(name, from).await;
        the_manifest_is_what_its_schema_says(&job.destination);
        let part = the_only(&manifest);
        let base = part.base_size.unwrap();
        assert!(base > FIRST && base <= COUNT, "{base}");
        assert_eq!((part.start_size, part.former_records), (base, base - FIRST));
        // All that retention left, and that the export was asked for.
        assert!(manifest.records > COUNT - FIRST, "{}", manifest.records);
        assert_eq!(part.former_records + part.population.delivered, manifest.records);
        let not_proven = &manifest.evidence.as_ref().unwrap().not_proven;
        assert!(says(not_proven, "retention had removed messages"), "{not_proven:#?}");

        let report = verify_export_with(&job.destination, &trust(&manifest)).unwrap();
        assert!(!report.is_damaged() && report.findings.len() == 1, "{:#?}", report.findings);
        found(&report, "headers.ndjson", "retention had removed messages");
        assert!(says(&report.proven, "is, byte for byte, the one that its leaf"), "{:#?}", report.proven);
        let unproven = format!("{} records of partition 0 from before its archive's tree", base - FIRST);
        assert!(says(&report.not_covered, &unproven), "{:#?}", report.not_covered);
        stock_tools_agree(&job.destination);
    }
    late.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_period_after_the_retention_is_proven_whole_by_an_archive_that_was_made_later() {
    let late = Late::new().await;
    let from = wait::next_moment().await;
    let records: Vec<AuditRecord> = (0..10).map(dated).collect();
    late.log.append(&records).await;
    let (job, manifest) = late.export("period", Some(&from)).await;
    let part = the_only(&manifest);
    assert_eq!((part.start_size, part.former_records), (COUNT, 0));
    // And the one that asks for it.
    assert_eq!(manifest.records, 11);
    let report = verify_export_with(&job.destination, &trust(&manifest)).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    assert!(says(&report.not_covered, "which were appended before the period"), "{:#?}", report.not_covered);
    stock_tools_agree(&job.destination);
    late.end().await;
}
