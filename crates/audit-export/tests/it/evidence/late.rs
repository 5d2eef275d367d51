//! Exports from an archive that was made after a retention had removed the log's start: it has neither the first messages
//! nor what proves those before the checkpoint that its tree begins with.

use std::path::Path;

use audit_export::{ExportJob, Manifest};
use audit_record::AuditRecord;
use audit_verify::verify_export_with;
use flagtrail_testkit::clients::Clients;
use flagtrail_testkit::wait;
use tempfile::TempDir;

use super::guide::{run, steps, text};
use super::single::{Archive, Log, export, the_only};
use super::{dated, found, says, trust};
use crate::export::the_manifest_is_what_its_schema_says;

/// Messages that the log had.
const COUNT: u64 = 100;

/// The first message that retention left.
const FIRST: u64 = 50;

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
    archive: Archive,
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
        let archive = Archive::follow(dir.path(), &log);
        Self { dir, log, archive }
    }

    async fn export(&self, name: &str, from: Option<&str>) -> (ExportJob, Manifest) {
        export(self.dir.path(), &self.log, &self.archive, name, from).await
    }

    async fn end(self) {
        self.archive.stop().await;
        self.log.close().await;
    }
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
