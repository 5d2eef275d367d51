//! A log of one partition whose file can be altered between two lives of it, its archive, and exports of that.

use std::path::Path;
use std::time::Duration;

use audit_archive::{ArchiveConfig, Archiver, Reader};
use audit_export::{
    Compression, ExportJob, ExportKey, Format, Manifest, PartitionEvidence, SealKeys, Sealer, SealerConfig,
    Vouching, run_export,
};
use audit_journal::{AppendOutcome, EmbeddedConfig, Journal, JournalConfig, ReadLimit, Topic};
use audit_record::{AuditRecord, Filter, Period, Timestamp};
use flagtrail_testkit::wait;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{WITHIN, record};

const ALL: ReadLimit = ReadLimit { messages: 10_000, bytes: 64 * 1024 * 1024 };

pub(super) fn keys() -> SealKeys {
    SealKeys::new([1; 32])
}

/// Opens the log's file, which whoever is stopped may hold for a moment.
pub(super) async fn journal(dir: &Path) -> Journal {
    wait::some(WITHIN, "the log opens", || async {
        let config = EmbeddedConfig { path: dir.join("journal.sqlite"), partitions: 1 };
        Journal::open(JournalConfig::Embedded(config)).await.ok()
    })
    .await
}

/// A log that is sealed while it grows.
pub(super) struct Log {
    pub(super) journal: Journal,
    stop: CancellationToken,
    sealing: JoinHandle<()>,
}

impl Log {
    pub(super) async fn open(dir: &Path) -> Self {
        let journal = journal(dir).await;
        let config = SealerConfig { interval: Duration::from_millis(100), idle: Duration::from_secs(3_600) };
        let sealer = Sealer::new(journal.clone(), keys(), &config).unwrap();
        let stop = CancellationToken::new();
        // Checkpoints tell seconds: what is signed now is of an earlier one than what happens now.
        let now_ms = || chrono::Utc::now().timestamp_millis() - 2_000;
        let sealing = tokio::spawn(sealer.run(now_ms, stop.clone()));
        Self { journal, stop, sealing }
    }

    pub(super) async fn append(&self, records: &[AuditRecord]) {
        for outcome in self.journal.append_records(records).await {
            assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        }
    }

    /// Appends records of these numbers, and waits until so many messages are sealed as the last of them is.
    pub(super) async fn grow(&self, numbers: std::ops::Range<u64>) {
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

    pub(super) async fn close(self) {
        self.stop.cancel();
        self.sealing.await.unwrap();
        self.journal.close().await;
    }
}

/// The archive of a log, and who keeps it level.
pub(super) struct Archive {
    pub(super) reader: Reader,
    stop: CancellationToken,
    archiving: JoinHandle<()>,
}

impl Archive {
    /// Follows the log, from where it was stopped.
    pub(super) fn follow(dir: &Path, log: &Log) -> Self {
        let place = dir.join("archive");
        let config =
            ArchiveConfig { free_bytes_min: 0, log_keys: keys().log_keys(), ..ArchiveConfig::new(&place) };
        let archiver = Archiver::open(config, &log.journal).unwrap();
        let stop = CancellationToken::new();
        let archiving = tokio::spawn(archiver.run(log.journal.clone(), stop.clone()));
        Self { reader: Reader::open(place), stop, archiving }
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.archiving.await.unwrap();
    }
}

/// An export of everything, or of what happened since a moment.
pub(super) async fn export(
    dir: &Path,
    log: &Log,
    archive: &Archive,
    name: &str,
    from: Option<&str>,
) -> (ExportJob, Manifest) {
    let job = ExportJob {
        id: name.to_owned(),
        filter: Filter::default(),
        period: Period { from: from.map(|from| Timestamp::parse(from).unwrap()), to: None },
        text: None,
        format: Format::Ndjson,
        compression: Compression::None,
        destination: dir.join(name),
        asked_by: "a test".to_owned(),
    };
    let export = Some(ExportKey::new([2; 32]));
    let vouching = Vouching { log: Some(keys()), export, previous: None };
    let stop = CancellationToken::new();
    let manifest = run_export(&log.journal, &archive.reader, &job, &vouching, |_| {}, stop).await.unwrap();
    (job, manifest)
}

/// The evidence of the one partition.
pub(super) fn the_only(manifest: &Manifest) -> &PartitionEvidence {
    let [part] = &manifest.evidence.as_ref().unwrap().partitions[..] else { panic!("one partition") };
    part
}
