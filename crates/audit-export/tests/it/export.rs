//! Exports from a real archive over a real embedded log, checked by `audit-verify`, which shares no code with what
//! writes them, and by `sha256sum`.

use std::path::{Path, PathBuf};
use std::process::Command;

use audit_export::{
    Compression, ExportError, ExportJob, ExportJobs, ExportState, Format, QueryText, Vouching, run_export,
};
use audit_record::Filter;
use audit_verify::verify_export;
use flagtrail_testkit::wait;
use tokio_util::sync::CancellationToken;

use crate::harness::{Bench, WITHIN, export, record};

/// The text of all payload files, in order.
pub(crate) fn payload(export: &Path, end: &str) -> String {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(export.join("data")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with("records-"));
    files.sort();
    assert!(files.iter().all(|file| file.extension().is_some_and(|found| found == end)), "{files:?}");
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ndjson_export_holds_every_record_byte_for_byte_and_checks() {
    let bench = Bench::new().await;
    bench.append(0..500).await;
    let job = bench.job("ndjson", Format::Ndjson);
    let manifest = export(&bench, &job).await.unwrap();
    assert_eq!(manifest.records, 500);
    assert!(manifest.partitions.iter().all(|partition| partition.complete));
    let mut found: Vec<String> = payload(&job.destination, "ndjson").lines().map(str::to_owned).collect();
    let mut expected: Vec<String> =
        (0..500).map(|number| String::from_utf8(record(number).canonical().to_vec()).unwrap()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let report = verify_export(&job.destination).unwrap();
    assert!(report.passes(), "{:?}", report.findings);
    the_manifest_is_what_its_schema_says(&job.destination);
    for sums in ["manifest-sha256.txt", "tagmanifest-sha256.txt"] {
        let checked = Command::new("sha256sum")
            .args(["--check", "--strict", sums])
            .current_dir(&job.destination)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    bench.end().await;
}

/// Judged by an independent JSON Schema implementation.
pub(crate) fn the_manifest_is_what_its_schema_says(export: &Path) {
    let json = |path: &Path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let schema = jsonschema::validator_for(&json(&schemas.join("export-manifest.v1.schema.json"))).unwrap();
    let manifest: serde_json::Value = json(&export.join("manifest.json"));
    let problems: Vec<String> = schema.iter_errors(&manifest).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csv_export_is_read_by_another_implementation_and_guards_formulas() {
    let bench = Bench::new().await;
    bench.append(0..20).await;
    let job = bench.job("csv", Format::Csv);
    let manifest = export(&bench, &job).await.unwrap();
    assert_eq!(manifest.formula_guard.as_deref(), Some("'"));
    let text = payload(&job.destination, "csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let log = reader.headers().unwrap().iter().position(|column| column == "log").unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 20);
    assert!(rows.iter().all(|row| row[log].starts_with("'=change ")));
    assert!(verify_export(&job.destination).unwrap().passes());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_nothing_is_whole_too() {
    let bench = Bench::new().await;
    let job = bench.job("nothing", Format::Csv);
    assert_eq!(export(&bench, &job).await.unwrap().records, 0);
    assert_eq!(payload(&job.destination, "csv").lines().count(), 1, "the header");
    assert!(verify_export(&job.destination).unwrap().passes());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been() {
    let bench = Bench::new().await;
    bench.append(0..4_000).await;
    let job = bench.job("stopped", Format::Ndjson);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let told = move |progress: audit_export::Progress| {
        if progress.records >= 2_000 {
            stopping.cancel();
        }
    };
    let stopped = run_export(&bench.journal, &bench.reader, &job, &Vouching::default(), told, stop).await;
    assert!(matches!(stopped, Err(ExportError::Stopped)), "{stopped:?}");
    assert!(!job.destination.exists(), "it is there whole or not at all");
    // What arrives meanwhile is beyond the cut.
    bench.append(4_000..4_100).await;
    assert_eq!(export(&bench, &job).await.unwrap().records, 4_000);
    assert!(verify_export(&job.destination).unwrap().passes());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_answer_was_lost_finds_its_export_and_another_job_is_refused_its_place() {
    let bench = Bench::new().await;
    bench.append(0..10).await;
    let job = bench.job("lost-answer", Format::Ndjson);
    let first = export(&bench, &job).await.unwrap();
    assert_eq!(export(&bench, &job).await.unwrap(), first);
    let other = ExportJob { id: "another".to_owned(), ..job };
    assert!(matches!(export(&bench, &other).await, Err(ExportError::Exists(_))));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_on_the_record_when_asked_for_and_when_done_once_each() {
    let bench = Bench::new().await;
    bench.append(0..10).await;
    let job = bench.job("recorded", Format::Ndjson);
    export(&bench, &job).await.unwrap();
    export(&bench, &job).await.unwrap();
    let own = ExportJob {
        filter: Filter { related_object_type: vec!["FLAGTRAIL_EXPORT".to_owned()], ..Filter::default() },
        ..bench.job("own", Format::Ndjson)
    };
    export(&bench, &own).await.unwrap();
    let found = payload(&own.destination, "ndjson");
    let count = |action: &str| {
        found.lines().filter(|line| line.contains(action) && line.contains("\"recorded\"")).count()
    };
    assert_eq!((count("flagtrail.export.requested"), count("flagtrail.export.completed")), (1, 1));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_found_again_and_made_after_a_restart() {
    let bench = Bench::new().await;
    bench.append(0..50).await;
    let dir = bench.dir.path().join("exports");
    // Asked for, and the process dies before the job is begun.
    let (jobs, runner) = ExportJobs::open(&dir).unwrap();
    let asked =
        jobs.submit(QueryText::default(), Format::Ndjson, Compression::None, "a test".to_owned()).unwrap();
    drop((jobs, runner));
    let (jobs, runner) = ExportJobs::open(&dir).unwrap();
    let running = tokio::spawn(runner.run(bench.journal.clone(), bench.reader.clone(), bench.stop.clone()));
    wait::until(WITHIN, "the job is done", || {
        let done = matches!(jobs.get(&asked.id), Some((_, ExportState::Done { .. })));
        async move { done }
    })
    .await;
    assert!(verify_export(&jobs.bag(&asked.id).unwrap()).unwrap().passes());
    assert!(jobs.remove(&asked.id).unwrap() && jobs.get(&asked.id).is_none());
    bench.stop.cancel();
    running.await.unwrap();
    bench.end().await;
}
