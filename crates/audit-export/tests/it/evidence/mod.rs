//! Exports that prove themselves: made over a sealed log, checked by `audit-verify` and by the commands of their own
//! `VERIFY.md`, and tampered with in every way that there is.

mod epochs;
mod erased;
mod forge;
mod guide;
mod late;
mod single;
mod tamper;

use std::path::{Path, PathBuf};
use std::time::Duration;

use audit_export::{
    ExportJob, ExportKey, Format, Manifest, SealKeys, Sealer, SealerConfig, Vouching, run_export,
};
use audit_record::{ActionPattern, AuditRecord, Filter, Period, Timestamp};
use audit_verify::{Report, Trust, verify_export, verify_export_with};
use flagtrail_testkit::wait;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Bench, export, record};

/// A log that is sealed while it grows.
pub(crate) struct Sealed {
    pub(crate) bench: Bench,
    keys: SealKeys,
    export: ExportKey,
    stop: CancellationToken,
    sealing: JoinHandle<()>,
}

impl Sealed {
    pub(crate) async fn new() -> Self {
        Self::behind(Duration::ZERO).await
    }

    /// The sealer's clock is so far behind: what it signs bears an earlier time.
    async fn behind(lag: Duration) -> Self {
        let bench = Bench::new().await;
        let (keys, export) = (SealKeys::new([1; 32]), ExportKey::new([2; 32]));
        let config = SealerConfig { interval: Duration::from_millis(100), idle: Duration::from_secs(3_600) };
        let sealer = Sealer::new(bench.journal.clone(), keys.clone(), &config).unwrap();
        let stop = CancellationToken::new();
        let now_ms = move || (chrono::Utc::now() - lag).timestamp_millis();
        let run = sealer.run(now_ms, stop.clone());
        Self { bench, keys, export, stop, sealing: tokio::spawn(run) }
    }

    pub(crate) fn vouching(&self) -> Vouching {
        Vouching { log: Some(self.keys.clone()), export: Some(self.export.clone()), previous: None }
    }

    async fn export(&self, job: &ExportJob) -> Manifest {
        let Bench { journal, reader, .. } = &self.bench;
        run_export(journal, reader, job, &self.vouching(), |_| {}, CancellationToken::new()).await.unwrap()
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.sealing.await.unwrap();
        self.bench.end().await;
    }
}

/// Of everything, in NDJSON.
pub(crate) fn everything(bench: &Bench, name: &str) -> ExportJob {
    ExportJob { filter: Filter::default(), ..bench.job(name, Format::Ndjson) }
}

/// Of one of the seven projects, some actions and a period.
fn of_one_project(bench: &Bench, name: &str) -> ExportJob {
    ExportJob {
        filter: Filter {
            project: vec!["p3".to_owned()],
            action: vec![ActionPattern::try_new("flag.*").unwrap()],
            ..Filter::default()
        },
        period: Period { from: Timestamp::parse("2026-01-01T00:00:00Z").ok(), to: None },
        ..bench.job(name, Format::Ndjson)
    }
}

/// Of what happens now.
fn dated(number: usize) -> AuditRecord {
    let mut value: serde_json::Value = serde_json::from_slice(record(number).canonical()).unwrap();
    let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    (value["id"], value["occurred_at"]) = (format!("later-{number}").into(), at.into());
    AuditRecord::from_json(value.to_string().as_bytes()).unwrap()
}

/// A copy of an export, to be tampered with.
pub(crate) fn copied(export: &Path) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("bag");
    copy(export, &to);
    (dir, to)
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

pub(crate) fn says(sentences: &[String], words: &str) -> bool {
    sentences.iter().any(|sentence| sentence.contains(words))
}

pub(crate) fn found(report: &Report, file: &str, words: &str) {
    let hit =
        report.findings.iter().any(|finding| finding.file.contains(file) && finding.problem.contains(words));
    assert!(hit, "{file}: {words}, not in {:#?}", report.findings);
}

/// What an auditor knows who got the keys in another way.
pub(crate) fn trust(manifest: &Manifest) -> Trust {
    let keys = &manifest.evidence.as_ref().unwrap().keys;
    let mut trust = Trust::default();
    keys.log.iter().chain(&keys.export).for_each(|vkey| trust.add_keys(vkey).unwrap());
    trust
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_everything_is_proven_whole_to_whoever_has_the_keys() {
    let sealed = Sealed::new().await;
    sealed.bench.append(0..300).await;
    // Said again: a leaf of its own, and no record of its own.
    sealed.bench.append(10..13).await;
    let job = everything(&sealed.bench, "everything");
    let manifest = sealed.export(&job).await;
    crate::export::the_manifest_is_what_its_schema_says(&job.destination);
    let evidence = manifest.evidence.as_ref().unwrap();
    assert!(evidence.not_proven.is_empty() && evidence.asserted.is_empty(), "{evidence:#?}");
    // Nobody outside was asked, and that is told.
    assert!(evidence.anchored.is_empty());
    let guide = std::fs::read_to_string(job.destination.join("VERIFY.md")).unwrap();
    assert!(guide.contains("No outside witness that the exporting system knows"), "{guide}");
    let leaves: u64 = evidence.partitions.iter().map(|part| part.population.in_range).sum();
    // The record that asks for the export among them.
    assert_eq!((manifest.records, leaves), (301, 304));
    assert_eq!(evidence.totals.by_action["flag.value.changed"], 300);

    let report = verify_export_with(&job.destination, &trust(&manifest)).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    assert!(says(&report.proven, "is signed with flagtrail/"), "{:#?}", report.proven);
    assert!(says(&report.proven, "301 records is, byte for byte"), "{:#?}", report.proven);
    assert!(
        says(&report.proven, "301 records delivered (0 beyond the scope), 3 repeats"),
        "{:#?}",
        report.proven
    );
    // A partition to which nothing came since is not sealed again for the export's sake.
    let rest: Vec<_> =
        report.asserted.iter().filter(|said| !said.contains("nothing came to partition")).collect();
    assert!(rest.is_empty(), "{rest:#?}");
    assert!(says(&report.not_covered, "no witness has cosigned any checkpoint"), "{:#?}", report.not_covered);
    let by_itself = verify_export(&job.destination).unwrap();
    assert!(says(&by_itself.asserted, "taken from the export itself"), "{:#?}", by_itself.asserted);
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_one_project_is_proven_complete_and_discloses_no_other_projects_key() {
    let sealed = Sealed::new().await;
    sealed.bench.append(0..210).await;
    let job = of_one_project(&sealed.bench, "one-project");
    let manifest = sealed.export(&job).await;
    assert_eq!(manifest.records, 30);
    let scopes = std::fs::read_to_string(job.destination.join("data/keys/scopes.ndjson")).unwrap();
    assert_eq!(scopes.lines().count(), 1, "{scopes}");
    assert!(scopes.contains("acme/test/p3"), "{scopes}");
    let names: Vec<&str> = manifest.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["test"]);
    let report = verify_export_with(&job.destination, &trust(&manifest)).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    let whole = "30 leaves are in scope in the scopes acme/test/p3 by what headers show, and every one is accounted for";
    assert!(says(&report.proven, whole), "{:#?}", report.proven);
    assert!(says(&report.asserted, "that the scopes listed are all"), "{:#?}", report.asserted);
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_by_another_name_is_looked_up_and_told_to_be_asserted() {
    let sealed = Sealed::new().await;
    sealed.bench.append(0..70).await;
    let filter = Filter {
        project: vec!["p3".to_owned()],
        flag: vec!["checkout".to_owned()],
        author: vec!["ada@example.com".to_owned()],
        ..Filter::default()
    };
    let job = ExportJob { filter, text: Some("change".to_owned()), ..sealed.bench.job("words", Format::Csv) };
    let manifest = sealed.export(&job).await;
    let provable = &manifest.evidence.as_ref().unwrap().provable;
    let labels = |all: &Option<Vec<audit_export::Subject>>| -> Vec<(String, String)> {
        all.iter().flatten().map(|subject| (subject.label.clone(), subject.text.clone())).collect()
    };
    let pair = |label: &str, text: &str| vec![(label.to_owned(), text.to_owned())];
    assert_eq!(labels(&provable.flags), pair("name", "checkout"));
    assert_eq!(labels(&provable.authors), pair("email", "ada@example.com"));
    let report = verify_export_with(&job.destination, &trust(&manifest)).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    for words in ["hold the words of the text", "that each flag of the query", "only NDJSON is compared"] {
        assert!(says(&report.asserted, words), "{words}: {:#?}", report.asserted);
    }
    sealed.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_without_keys_says_what_is_then_not_proven() {
    let bench = Bench::new().await;
    bench.append(0..20).await;
    let job = everything(&bench, "without-keys");
    let manifest = export(&bench, &job).await.unwrap();
    let evidence = manifest.evidence.unwrap();
    for words in ["is not signed", "keys are not known", "No checkpoint of partition"] {
        assert!(says(&evidence.not_proven, words), "{words}: {:#?}", evidence.not_proven);
        let guide = std::fs::read_to_string(job.destination.join("VERIFY.md")).unwrap();
        assert!(guide.contains(words), "{guide}");
    }
    let report = verify_export(&job.destination).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    for words in ["it is not signed", "no checkpoint is here"] {
        assert!(says(&report.asserted, words), "{words}: {:#?}", report.asserted);
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_period_rests_on_the_checkpoint_before_it_and_names_what_it_does_not_look_at() {
    // Checkpoints tell seconds: one is before the period if its second is.
    let sealed = Sealed::behind(Duration::from_secs(2)).await;
    sealed.bench.append(0..60).await;
    // Everything so far is sealed, and then the period begins.
    sealed.export(&everything(&sealed.bench, "before")).await;
    let from = Timestamp::parse(&wait::next_moment().await).unwrap();
    let records: Vec<AuditRecord> = (0..40).map(dated).collect();
    sealed.bench.journal.append_records(&records).await;
    let job = ExportJob {
        period: Period { from: Some(from), to: None },
        ..sealed.bench.job("period", Format::Ndjson)
    };
    let manifest = sealed.export(&job).await;
    assert_eq!(manifest.records, 40);
    let evidence = manifest.evidence.as_ref().unwrap();
    let begun: Vec<_> = evidence.partitions.iter().filter(|part| part.start_size > 0).collect();
    assert!(!begun.is_empty(), "{:#?}", evidence.partitions);
    for part in begun {
        assert!(job.destination.join(format!("data/proofs/{}/consistency", part.partition)).exists());
    }
    let report = verify_export_with(&job.destination, &trust(&manifest)).unwrap();
    assert!(report.passes(), "{:#?}", report.findings);
    assert!(says(&report.not_covered, "which were appended before the period"), "{:#?}", report.not_covered);
    sealed.end().await;
}
