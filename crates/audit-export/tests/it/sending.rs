//! Exports on their way to a destination that fails, by a process that is killed: each arrives whole, once, and is told of once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use audit_export::{
    Compression, Destination, Destinations, ExportJob, ExportJobs, ExportOrder, ExportState, Format,
    QueryText,
};
use audit_record::Filter;
use audit_verify::verify_export;
use flagtrail_testkit::wait;
use tokio::task::JoinHandle;

use crate::export::payload;
use crate::faulty::{Fault, Faulty};
use crate::harness::{Bench, WITHIN, export};

/// What vouches for all other files of a bag, and is put last.
const LAST: &str = "tagmanifest-sha256.txt";

/// How long it is waited for a hanging put before it is looked whether the job is done.
const LOOK: Duration = Duration::from_millis(20);

/// A process that makes exports, and brings them to a destination.
struct Process {
    jobs: ExportJobs,
    running: JoinHandle<()>,
}

impl Process {
    fn start(bench: &Bench, store: &Faulty) -> Self {
        let vault = Destination::new("vault", "audit", store.clone());
        let folder = bench.dir.path().join("jobs");
        let (jobs, runner) = ExportJobs::open_with(folder, Destinations::new([vault])).unwrap();
        let run = runner.run(bench.journal.clone(), bench.reader.clone(), bench.stop.clone());
        Self { jobs, running: tokio::spawn(run) }
    }

    fn ask(&self) -> String {
        let order = ExportOrder {
            id: None,
            query: QueryText {
                filter: Filter { source: vec!["test".to_owned()], ..Filter::default() },
                ..QueryText::default()
            },
            format: Format::Ndjson,
            compression: Compression::None,
            destination: Some("vault".to_owned()),
            is_kept: true,
            asked_by: "a test".to_owned(),
        };
        self.jobs.submit_order(order).unwrap().id
    }

    fn is_done(&self, id: &str) -> bool {
        matches!(self.jobs.get(id), Some((_, ExportState::Done { .. })))
    }

    /// As a crash would end it: nothing is finished, nobody is told.
    async fn kill(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

fn there(bench: &Bench) -> PathBuf {
    bench.dir.path().join("there")
}

/// Where the bag of an export is brought to.
fn brought(bench: &Bench, id: &str) -> PathBuf {
    there(bench).join("audit/exports").join(id)
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

/// The bags are at the destination, whole, and the log tells once of each that it was asked for and that it was completed.
async fn arrived_once(bench: &Bench, ids: &[String]) {
    for id in ids {
        let report = verify_export(&brought(bench, id)).unwrap();
        assert!(report.passes(), "{:?}", report.findings);
    }
    let own = ExportJob {
        filter: Filter { related_object_type: vec!["FLAGTRAIL_EXPORT".to_owned()], ..Filter::default() },
        ..bench.job("own", Format::Ndjson)
    };
    export(bench, &own).await.unwrap();
    let told = payload(&own.destination, "ndjson");
    for id in ids {
        let of_it = |action: &str| {
            told.lines().filter(|line| line.contains(action) && line.contains(id.as_str())).count()
        };
        assert_eq!(
            (of_it("flagtrail.export.requested"), of_it("flagtrail.export.completed")),
            (1, 1),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_fails_in_either_way_gets_the_whole_export_once() {
    let bench = Bench::new().await;
    bench.append(0..200).await;
    let faults =
        [(0, Fault::NotWritten), (2, Fault::AnswerLost), (4, Fault::NotWritten), (6, Fault::AnswerLost)];
    let store = Faulty::new(there(&bench), faults);
    let process = Process::start(&bench, &store);
    let id = process.ask();
    wait::until(WITHIN, "the export is done", || async { process.is_done(&id) }).await;
    assert_eq!(store.faults_left(), 0, "all came to pass");
    assert_eq!(files_below(&brought(&bench, &id)), files_below(&process.jobs.bag(&id).unwrap()));
    process.kill().await;
    arrived_once(&bench, &[id]).await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_put_before_or_after_it_the_next_start_brings_the_export_and_tells_of_it_once() {
    let bench = Bench::new().await;
    bench.append(0..200).await;
    let mut ids = Vec::new();
    for fault in [Fault::HangsBefore, Fault::HangsAfter] {
        let mut asked: Option<String> = None;
        // One put further at each start, until there is none that hangs.
        for put in 0.. {
            let store = Faulty::new(there(&bench), [(put, fault)]);
            let process = Process::start(&bench, &store);
            let id = asked.get_or_insert_with(|| process.ask()).clone();
            wait::until(WITHIN, "a put hangs, or the export is done", || async {
                tokio::time::timeout(LOOK, store.hung()).await.is_ok() || process.is_done(&id)
            })
            .await;
            let is_done = process.is_done(&id);
            process.kill().await;
            let bag = brought(&bench, &id);
            if is_done {
                assert_eq!(put, files_below(&bag), "a start for each file, and the last one");
                ids.push(id);
                break;
            }
            if bag.join(LAST).exists() {
                assert!(verify_export(&bag).unwrap().passes(), "what vouches for the rest comes last");
            }
        }
    }
    arrived_once(&bench, &ids).await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_not_to_be_kept_goes_though_the_process_died_before_it_was_removed() {
    let bench = Bench::new().await;
    bench.append(0..10).await;
    let store = Faulty::new(there(&bench), []);
    let process = Process::start(&bench, &store);
    let id = process.ask();
    wait::until(WITHIN, "the export is done", || async { process.is_done(&id) }).await;
    process.kill().await;
    // As it stands between the two: on the record, and still here.
    let request = bench.dir.path().join("jobs").join(&id).join("job.json");
    let mut asked: serde_json::Value = serde_json::from_slice(&std::fs::read(&request).unwrap()).unwrap();
    asked["is_kept"] = false.into();
    std::fs::write(&request, asked.to_string()).unwrap();
    let process = Process::start(&bench, &store);
    wait::until(WITHIN, "it is removed", || async { process.jobs.get(&id).is_none() }).await;
    wait::until(WITHIN, "so are its files", || async { !bench.dir.path().join("jobs").join(&id).exists() })
        .await;
    process.kill().await;
    arrived_once(&bench, &[id]).await;
    bench.end().await;
}
