//! Schedules over a real embedded log: one export for each due time, whoever looks and whenever.

use std::path::{Path, PathBuf};

use audit_export::{
    CLAIM_MAX, Destination, Destinations, Directory, ExportJobs, ExportRunner, NewSchedule, RUN_KIND,
    SCHEDULE_KIND, Schedule, Scheduler,
};
use audit_journal::{Control, SettingsChange};
use audit_record::Timestamp;
use audit_verify::verify_export;
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{Bench, WITHIN};

/// A process that makes exports.
struct Process {
    jobs: ExportJobs,
    runner: ExportRunner,
    scheduler: Scheduler,
}

impl Process {
    fn start(bench: &Bench, control: &Control, name: &str) -> Self {
        let vault = Destination::new("vault", "", Directory::new(there(bench)));
        let folder = bench.dir.path().join(name);
        let (jobs, runner) = ExportJobs::open_with(folder, Destinations::new([vault])).unwrap();
        let namespace = bench.journal.identity().namespace;
        let scheduler = Scheduler::new(control.clone(), jobs.clone(), namespace);
        Self { jobs, runner, scheduler }
    }

    fn asked_for(&self) -> Vec<String> {
        let mut asked: Vec<String> =
            self.jobs.list(None, 100, |_| true).into_iter().map(|(request, _)| request.id).collect();
        asked.sort();
        asked
    }
}

fn there(bench: &Bench) -> PathBuf {
    bench.dir.path().join("there")
}

fn at(text: &str) -> i64 {
    Timestamp::parse(text).unwrap().micros() / 1_000
}

/// Every day at six, since noon of 20 November.
async fn schedule(control: &Control) -> Schedule {
    let new: NewSchedule = serde_json::from_value(json!({
        "name": "daily", "cron": "0 6 * * *", "time_zone": "Europe/Berlin", "destination": "vault",
        "filter": {"source": ["test"]},
    }))
    .unwrap();
    let schedule = new.make(Timestamp::parse("2026-11-20T12:00:00Z").unwrap()).unwrap();
    write(control, SCHEDULE_KIND, serde_json::to_value(&schedule).unwrap()).await;
    schedule
}

async fn write(control: &Control, kind: &str, value: Value) {
    let (kind, id) = (kind.to_owned(), "daily".to_owned());
    let change = SettingsChange { kind, id, base_version: 0, value: Some(value) };
    control.write(change, None).await.unwrap();
}

fn bags(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder.join("exports"))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_make_one_export_for_each_due_time_and_it_reaches_its_destination_alone() {
    let bench = Bench::new().await;
    bench.append(0..20).await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let mut first = Process::start(&bench, &control, "first");
    let mut second = Process::start(&bench, &control, "second");
    // Berlin is an hour ahead of UTC.
    for early in ["2026-11-20T12:00:00Z", "2026-11-21T04:59:59Z"] {
        first.scheduler.look(at(early)).await;
    }
    assert!(first.asked_for().is_empty());
    for _ in 0..2 {
        first.scheduler.look(at("2026-11-21T05:00:00Z")).await;
        second.scheduler.look(at("2026-11-21T05:00:01Z")).await;
    }
    assert_eq!((first.asked_for().len(), second.asked_for().len()), (1, 0));
    let asked = first.jobs.get(&first.asked_for()[0]).unwrap().0;
    assert_eq!(asked.query.from.as_deref(), Some("2026-11-20T12:00:00.000000Z"));
    assert_eq!(asked.query.to.as_deref(), Some("2026-11-21T05:00:00Z"));

    let (journal, reader, stop) = (bench.journal.clone(), bench.reader.clone(), bench.stop.clone());
    let running = tokio::spawn(first.runner.run(journal, reader, stop));
    let jobs = first.jobs.clone();
    wait::until(WITHIN, "the export is at its destination, and nowhere else", || async {
        jobs.list(None, 1, |_| true).is_empty()
    })
    .await;
    let [bag] = &bags(&there(&bench))[..] else { panic!("one bag") };
    assert_eq!(bag.file_name().unwrap().to_str(), Some(asked.id.as_str()));
    assert!(verify_export(bag).unwrap().passes());

    bench.stop.cancel();
    running.await.unwrap();
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_caught_up_by_one_export_that_covers_it_all() {
    let bench = Bench::new().await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let mut process = Process::start(&bench, &control, "first");
    process.scheduler.look(at("2026-11-21T05:00:00Z")).await;
    // Nobody looked for three days.
    process.scheduler.look(at("2026-11-24T09:00:00Z")).await;
    process.scheduler.look(at("2026-11-24T09:00:05Z")).await;
    let asked = process.asked_for();
    assert_eq!(asked.len(), 2, "ids are in the order of due times");
    let latest = process.jobs.get(&asked[1]).unwrap().0;
    assert_eq!(latest.query.from.as_deref(), Some("2026-11-21T05:00:00Z"));
    assert_eq!(latest.query.to.as_deref(), Some("2026-11-24T05:00:00Z"));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_claimed_and_not_asked_for_is_asked_for_by_its_process_or_later_by_another() {
    let bench = Bench::new().await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    let schedule = schedule(&control).await;
    let mut own = Process::start(&bench, &control, "own");
    let mut other = Process::start(&bench, &control, "other");
    let claimed_at_ms = at("2026-11-21T05:00:00Z");
    // The process died between the claim and the export.
    let claim = json!({
        "v": 1, "of": schedule.created_at, "from": "2026-11-20T12:00:00Z", "due": "2026-11-21T05:00:00Z",
        "by": own.jobs.instance(), "claimed_at_ms": claimed_at_ms, "is_asked_for": false,
    });
    write(&control, RUN_KIND, claim).await;
    let claim_max_ms = CLAIM_MAX.as_millis() as i64;
    other.scheduler.look(claimed_at_ms + claim_max_ms).await;
    assert!(other.asked_for().is_empty(), "its process may come back");
    other.scheduler.look(claimed_at_ms + claim_max_ms + 1).await;
    assert_eq!(other.asked_for().len(), 1);
    own.scheduler.look(claimed_at_ms + claim_max_ms + 2).await;
    assert!(own.asked_for().is_empty(), "it is not its run any more");
    bench.end().await;
}
