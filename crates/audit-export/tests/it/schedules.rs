//! Schedules over a real embedded log and archive: what their exports hold together, whoever makes them and whatever becomes of
//! those that do.

use std::path::{Path, PathBuf};

use audit_export::{
    CLAIM_MAX, Destination, Destinations, Directory, ExportJobs, ExportRunner, ExportState, NewSchedule,
    RUN_KIND, RUN_MAX, SCHEDULE_KIND, Schedule, Scheduler,
};
use audit_journal::{Control, SettingsChange, Topic};
use audit_record::{AuditRecord, Timestamp};
use audit_verify::verify_export;
use flagtrail_testkit::wait;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::export::payload;
use crate::harness::{Bench, WITHIN};

/// When the schedule of these tests is made.
const MADE_AT: &str = "2026-11-20T12:00:00.000000Z";

/// A process that makes exports.
struct Process {
    jobs: ExportJobs,
    /// Until it runs.
    runner: Option<ExportRunner>,
    running: Option<JoinHandle<()>>,
    scheduler: Scheduler,
}

impl Process {
    fn start(bench: &Bench, control: &Control, name: &str) -> Self {
        let vault = Destination::new("vault", "", Directory::new(there(bench)));
        let folder = bench.dir.path().join(name);
        let (jobs, runner) = ExportJobs::open_with(folder, Destinations::new([vault])).unwrap();
        let namespace = bench.journal.identity().namespace;
        let scheduler = Scheduler::new(control.clone(), jobs.clone(), bench.reader.clone(), namespace);
        Self { jobs, runner: Some(runner), running: None, scheduler }
    }

    /// From now on it makes what it asks for.
    fn run(&mut self, bench: &Bench) {
        let runner = self.runner.take().unwrap();
        let run = runner.run(bench.journal.clone(), bench.reader.clone(), bench.stop.clone());
        self.running = Some(tokio::spawn(run));
    }

    fn asked_for(&self) -> Vec<String> {
        let mut asked: Vec<String> =
            self.jobs.list(None, 100, |_| true).into_iter().map(|(request, _)| request.id).collect();
        asked.sort();
        asked
    }

    /// Until all that it asked for is at its destination, and the archive knows.
    async fn arrived(&self, bench: &Bench) {
        let jobs = self.jobs.clone();
        wait::until(WITHIN, "the exports are at their destination, and nowhere else", || async {
            jobs.list(None, 1, |_| true).is_empty()
        })
        .await;
        level(bench).await;
    }

    /// Makes what is due then.
    async fn make(&mut self, bench: &Bench, now_ms: i64) {
        self.scheduler.look(now_ms).await;
        self.arrived(bench).await;
    }

    /// After the bench was told to stop.
    async fn end(self) {
        if let Some(running) = self.running {
            running.await.unwrap();
        }
    }
}

/// Until the archive has all that is on the log.
async fn level(bench: &Bench) {
    let log = bench.journal.bounds(Topic::Records).await.unwrap();
    wait::until(WITHIN, "the archive is level", || async {
        let is_whole = bench.reader.ends().is_ok_and(|ends| ends.len() == log.len());
        is_whole && bench.reader.covers(&log).unwrap_or(false)
    })
    .await;
}

fn there(bench: &Bench) -> PathBuf {
    bench.dir.path().join("there")
}

fn at(text: &str) -> i64 {
    Timestamp::parse(text).unwrap().micros() / 1_000
}

/// Every day at six in Berlin, which is an hour ahead of UTC, since noon of 20 November.
async fn schedule(control: &Control) -> Schedule {
    schedule_with(control, MADE_AT, json!({})).await
}

async fn schedule_with(control: &Control, made_at: &str, more: Value) -> Schedule {
    let mut new = json!({
        "name": "daily", "cron": "0 6 * * *", "time_zone": "Europe/Berlin", "destination": "vault",
        "filter": {"source": ["test"]},
    });
    if let (Value::Object(new), Value::Object(more)) = (&mut new, more) {
        new.extend(more);
    }
    let new: NewSchedule = serde_json::from_value(new).unwrap();
    let schedule = new.make(Timestamp::parse(made_at).unwrap()).unwrap();
    change(control, 0, Some(serde_json::to_value(&schedule).unwrap())).await;
    schedule
}

async fn change(control: &Control, base_version: u64, value: Option<Value>) {
    let (kind, id) = (SCHEDULE_KIND.to_owned(), "daily".to_owned());
    control.write(SettingsChange { kind, id, base_version, value }, None).await.unwrap();
}

async fn happened(bench: &Bench, id: &str, source: &str, at: &str) {
    let json = format!(
        r#"{{"id":"{id}","action":"flag.value.changed","log":"a change","occurred_at":"{at}","recorded_at":"{at}",
        "author":{{"type":"user","email":"ada@example.com"}},"organisation":{{"key":"acme"}},"project":{{"id":"p1"}},
        "flag":{{"name":"checkout"}},"related_object_type":"FEATURE","attributes":{{"exact":1}},
        "source":{{"name":"{source}","system":"native","event":"e","received_at":"{at}","authenticated":"token"}}}}"#
    );
    bench.append_records(&[AuditRecord::from_json(json.as_bytes()).unwrap()]).await;
    level(bench).await;
}

/// The bags at the destination that are whole.
fn bags(bench: &Bench) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(there(bench).join("exports"));
    let folders = folders.map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
    let mut bags: Vec<PathBuf> = folders.unwrap_or_default();
    bags.retain(|bag| bag.join("tagmanifest-sha256.txt").exists());
    bags
}

/// What each bag covers, in order of its end.
fn windows(bench: &Bench) -> Vec<(String, String)> {
    let window = |bag: &PathBuf| {
        let manifest: Value =
            serde_json::from_slice(&std::fs::read(bag.join("manifest.json")).unwrap()).unwrap();
        let moment = |field: &str| manifest["query"][field].as_str().unwrap().to_owned();
        (moment("from"), moment("to"))
    };
    let mut windows: Vec<(String, String)> = bags(bench).iter().map(window).collect();
    windows.sort_by_key(|(from, to)| (to.clone(), from.clone()));
    windows
}

fn window(from: &str, to: &str) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

/// The ids of all records that the bags hold together.
fn held(bench: &Bench) -> Vec<String> {
    let id = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["id"].as_str().unwrap().to_owned()
    };
    let of_bag = |bag: &PathBuf| payload(bag, "ndjson").lines().map(id).collect::<Vec<String>>();
    let mut held: Vec<String> = bags(bench).iter().flat_map(of_bag).collect();
    held.sort();
    held.dedup();
    held
}

fn verify(bag: &Path) {
    let report = verify_export(bag).unwrap();
    assert!(report.passes(), "{:?}", report.findings);
}

/// Ends everything.
async fn end(bench: Bench, processes: impl IntoIterator<Item = Process>) {
    bench.stop.cancel();
    for process in processes {
        process.end().await;
    }
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_make_one_export_for_each_due_time_and_it_reaches_its_destination_alone() {
    let bench = Bench::new().await;
    bench.append(0..20).await;
    level(&bench).await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let mut first = Process::start(&bench, &control, "first");
    let mut second = Process::start(&bench, &control, "second");
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

    first.run(&bench);
    first.arrived(&bench).await;
    let [bag] = &bags(&bench)[..] else { panic!("one bag") };
    assert_eq!(bag.file_name().unwrap().to_str(), Some(asked.id.as_str()));
    assert_eq!(windows(&bench), [window(MADE_AT, "2026-11-21T05:00:00.000000Z")]);
    verify(bag);
    // Nothing is due, whoever looks.
    first.make(&bench, at("2026-11-22T04:59:59Z")).await;
    second.scheduler.look(at("2026-11-22T04:59:59Z")).await;
    assert_eq!((bags(&bench).len(), second.asked_for().len()), (1, 0));
    end(bench, [first, second]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_comes_after_the_export_of_its_time_is_in_the_next_one() {
    let bench = Bench::new().await;
    happened(&bench, "early", "test", "2026-11-20T18:00:00Z").await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let mut process = Process::start(&bench, &control, "first");
    process.run(&bench);
    process.make(&bench, at("2026-11-21T05:00:00Z")).await;
    happened(&bench, "late", "test", "2026-11-21T04:59:58.5Z").await;
    happened(&bench, "later", "test", "2026-11-20T20:00:00Z").await;
    happened(&bench, "next", "test", "2026-11-21T08:00:00Z").await;
    // Not asked for: of another source, and from before the schedule was made.
    happened(&bench, "other", "another", "2026-11-20T13:00:00Z").await;
    happened(&bench, "imported", "test", "2021-01-01T00:00:00Z").await;
    process.make(&bench, at("2026-11-22T05:00:03Z")).await;
    // What came late once has come.
    process.make(&bench, at("2026-11-23T05:00:00Z")).await;
    let [first, second, third] =
        ["2026-11-21T05:00:00.000000Z", "2026-11-22T05:00:00.000000Z", "2026-11-23T05:00:00.000000Z"];
    assert_eq!(
        windows(&bench),
        [window(MADE_AT, first), window("2026-11-20T20:00:00.000000Z", second), window(second, third)]
    );
    assert_eq!(held(&bench), ["early", "late", "later", "next"]);
    bags(&bench).iter().for_each(|bag| verify(bag));
    end(bench, [process]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_is_changed_to_ask_for_more_exports_that_from_when_it_was_made() {
    let bench = Bench::new().await;
    happened(&bench, "first", "test", "2026-11-20T18:00:00Z").await;
    happened(&bench, "other", "another", "2026-11-20T19:00:00Z").await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    let mut schedule = schedule(&control).await;
    let mut process = Process::start(&bench, &control, "first");
    process.run(&bench);
    process.make(&bench, at("2026-11-21T05:00:00Z")).await;
    assert_eq!(held(&bench), ["first"]);
    // The claim, that it was asked for, and that it is done, which only the next look writes.
    process.make(&bench, at("2026-11-21T05:00:05Z")).await;
    let covered_until = |schedule: &Schedule| {
        let run = control.get(RUN_KIND, "daily").unwrap();
        schedule.covered_until(&run.value)
    };
    assert_eq!(covered_until(&schedule).as_deref(), Some("2026-11-21T05:00:00Z"));

    schedule.asked.filter.source.push("another".to_owned());
    change(&control, 1, Some(serde_json::to_value(&schedule).unwrap())).await;
    assert_eq!(covered_until(&schedule), None, "nothing of it is there yet");
    for due in ["2026-11-22T05:00:00Z", "2026-11-23T05:00:00Z", "2026-11-23T05:00:05Z"] {
        process.make(&bench, at(due)).await;
    }
    let [first, second, third] =
        ["2026-11-21T05:00:00.000000Z", "2026-11-22T05:00:00.000000Z", "2026-11-23T05:00:00.000000Z"];
    assert_eq!(
        windows(&bench),
        [window(MADE_AT, first), window(MADE_AT, second), window(second, third)],
        "all of what is asked for now is in one export, and the next goes on from there"
    );
    assert_eq!(held(&bench), ["first", "other"]);
    assert_eq!(covered_until(&schedule).as_deref(), Some("2026-11-23T05:00:00Z"));
    end(bench, [process]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_made_up_for_by_one_export_that_covers_it_all() {
    let bench = Bench::new().await;
    level(&bench).await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let mut process = Process::start(&bench, &control, "first");
    process.run(&bench);
    process.make(&bench, at("2026-11-21T05:00:00Z")).await;
    // Nobody looked for three days.
    process.make(&bench, at("2026-11-24T09:00:00Z")).await;
    process.make(&bench, at("2026-11-24T09:00:05Z")).await;
    let (first, last) = ("2026-11-21T05:00:00.000000Z", "2026-11-24T05:00:00.000000Z");
    assert_eq!(windows(&bench), [window(MADE_AT, first), window(first, last)]);
    end(bench, [process]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_run_follows_on_one_that_is_not_done() {
    let bench = Bench::new().await;
    level(&bench).await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let mut process = Process::start(&bench, &control, "first");
    let (first, second) = ("2026-11-21T05:00:00.000000Z", "2026-11-22T05:00:00.000000Z");
    process.scheduler.look(at(first)).await;
    process.scheduler.look(at(second)).await;
    assert_eq!(process.asked_for().len(), 1);
    process.run(&bench);
    process.arrived(&bench).await;
    process.make(&bench, at(second)).await;
    assert_eq!(windows(&bench), [window(MADE_AT, first), window(first, second)]);
    end(bench, [process]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_export_fails_for_a_day_is_made_anew_and_nothing_is_left_out() {
    let bench = Bench::new().await;
    happened(&bench, "early", "test", "2026-11-20T18:00:00Z").await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let mut process = Process::start(&bench, &control, "first");
    let due_ms = at("2026-11-21T05:00:00Z");
    process.scheduler.look(due_ms).await;
    let failing = process.asked_for().remove(0);
    // Something else stands where its bag is to go.
    let folder = there(&bench).join("exports").join(&failing);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("bagit.txt"), "something else").unwrap();
    process.run(&bench);
    let jobs = process.jobs.clone();
    wait::until(WITHIN, "the export has failed", || async {
        matches!(jobs.get(&failing), Some((_, ExportState::Failed { .. })))
    })
    .await;
    level(&bench).await;
    let run_max_ms = RUN_MAX.as_millis() as i64;
    process.scheduler.look(due_ms + run_max_ms).await;
    assert_eq!(process.asked_for(), std::slice::from_ref(&failing), "it is tried again");
    process.make(&bench, due_ms + run_max_ms + 1).await;
    let second = "2026-11-22T05:00:00.000000Z";
    assert_eq!(windows(&bench), [window(MADE_AT, second)]);
    assert_eq!(held(&bench), ["early"]);
    // And it goes on from there.
    let third = "2026-11-23T05:00:00.000000Z";
    process.make(&bench, at(third)).await;
    assert_eq!(windows(&bench), [window(MADE_AT, second), window(second, third)]);
    end(bench, [process]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_machine_is_lost_is_made_anew_by_another_and_both_may_end() {
    let bench = Bench::new().await;
    happened(&bench, "early", "test", "2026-11-20T18:00:00Z").await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let mut lost = Process::start(&bench, &control, "lost");
    let mut other = Process::start(&bench, &control, "other");
    other.run(&bench);
    let due_ms = at("2026-11-21T05:00:00Z");
    lost.scheduler.look(due_ms).await;
    assert_eq!(lost.asked_for().len(), 1);
    let run_max_ms = RUN_MAX.as_millis() as i64;
    other.make(&bench, due_ms + run_max_ms).await;
    assert!(bags(&bench).is_empty(), "its process may come back");
    other.make(&bench, due_ms + run_max_ms + 1).await;
    let [first, second, third] =
        ["2026-11-21T05:00:00.000000Z", "2026-11-22T05:00:00.000000Z", "2026-11-23T05:00:00.000000Z"];
    assert_eq!(windows(&bench), [window(MADE_AT, second)]);
    assert_eq!(held(&bench), ["early"]);
    // It comes back all the same.
    lost.run(&bench);
    lost.arrived(&bench).await;
    assert_eq!(windows(&bench), [window(MADE_AT, first), window(MADE_AT, second)]);
    lost.make(&bench, due_ms + run_max_ms + 2).await;
    other.make(&bench, at(third)).await;
    assert_eq!(windows(&bench), [window(MADE_AT, first), window(MADE_AT, second), window(second, third)]);
    bags(&bench).iter().for_each(|bag| verify(bag));
    end(bench, [lost, other]).await;
}

/// A process that claims the run which is due and dies before it asks for the export; how it starts again.
async fn dies_after_its_claim(bench: &Bench, control: &Control, name: &str, now_ms: i64) {
    let mut process = Process::start(bench, control, name);
    let (folder, aside) = (bench.dir.path().join(name), bench.dir.path().join("aside"));
    // Jobs can't be written down.
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "").unwrap();
    process.scheduler.look(now_ms).await;
    assert!(process.asked_for().is_empty());
    let run = control.get(RUN_KIND, "daily").expect("its claim");
    assert_eq!(run.value["by"], json!(process.jobs.instance()));
    drop(process);
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_claimed_and_not_asked_for_is_asked_for_by_the_next_start_of_its_process() {
    let bench = Bench::new().await;
    level(&bench).await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let due_ms = at("2026-11-21T05:00:00Z");
    dies_after_its_claim(&bench, &control, "own", due_ms).await;
    let mut other = Process::start(&bench, &control, "other");
    other.scheduler.look(due_ms + 1).await;
    let mut own = Process::start(&bench, &control, "own");
    own.scheduler.look(due_ms + 2).await;
    assert_eq!((own.asked_for().len(), other.asked_for().len()), (1, 0));
    own.run(&bench);
    own.arrived(&bench).await;
    assert_eq!(windows(&bench), [window(MADE_AT, "2026-11-21T05:00:00.000000Z")]);
    end(bench, [own, other]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_claimed_and_never_asked_for_is_made_by_another_in_the_end() {
    let bench = Bench::new().await;
    level(&bench).await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule(&control).await;
    let claimed_at_ms = at("2026-11-21T05:00:00Z");
    dies_after_its_claim(&bench, &control, "own", claimed_at_ms).await;
    let mut other = Process::start(&bench, &control, "other");
    let claim_max_ms = CLAIM_MAX.as_millis() as i64;
    other.scheduler.look(claimed_at_ms + claim_max_ms).await;
    assert!(other.asked_for().is_empty(), "its process may come back");
    other.scheduler.look(claimed_at_ms + claim_max_ms + 1).await;
    assert_eq!(other.asked_for().len(), 1);
    let mut own = Process::start(&bench, &control, "own");
    own.scheduler.look(claimed_at_ms + claim_max_ms + 2).await;
    assert!(own.asked_for().is_empty(), "it is not its run any more");
    end(bench, [own, other]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_was_made_between_two_seconds_is_due_on_a_whole_one() {
    let bench = Bench::new().await;
    level(&bench).await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    let made_at = "2026-11-20T12:00:00.483920Z";
    let schedule = schedule_with(&control, made_at, json!({})).await;
    let next = schedule.next_due(Timestamp::parse(made_at).unwrap());
    assert_eq!(next.as_deref(), Some("2026-11-21T06:00:00+01:00"));
    let mut process = Process::start(&bench, &control, "first");
    process.run(&bench);
    process.make(&bench, at("2026-11-21T05:00:00Z")).await;
    process.make(&bench, at("2026-11-22T05:00:00.25Z")).await;
    let (first, second) = ("2026-11-21T05:00:00.000000Z", "2026-11-22T05:00:00.000000Z");
    assert_eq!(windows(&bench), [window(made_at, first), window(first, second)]);
    end(bench, [process]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_covers_as_much_as_its_schedule_says_and_what_came_late_into_the_time_of_runs_before_it() {
    let bench = Bench::new().await;
    level(&bench).await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule_with(&control, MADE_AT, json!({"covers": "12h"})).await;
    let mut process = Process::start(&bench, &control, "first");
    process.run(&bench);
    process.make(&bench, at("2026-11-21T05:00:00Z")).await;
    happened(&bench, "late", "test", "2026-11-20T18:00:00.5Z").await;
    // Before any run began, and between the times of two runs: not asked for.
    happened(&bench, "before", "test", "2026-11-20T16:59:59Z").await;
    happened(&bench, "other", "another", "2026-11-20T17:00:00Z").await;
    process.make(&bench, at("2026-11-22T05:00:00Z")).await;
    happened(&bench, "between", "test", "2026-11-22T12:00:00Z").await;
    process.make(&bench, at("2026-11-23T05:00:00Z")).await;
    let expected = [
        window("2026-11-20T17:00:00.000000Z", "2026-11-21T05:00:00.000000Z"),
        window("2026-11-20T18:00:00.500000Z", "2026-11-22T05:00:00.000000Z"),
        window("2026-11-22T17:00:00.000000Z", "2026-11-23T05:00:00.000000Z"),
    ];
    assert_eq!(windows(&bench), expected);
    assert_eq!(held(&bench), ["late"]);
    bags(&bench).iter().for_each(|bag| verify(bag));

    // Nobody looked for two days: one export makes up for what was missed.
    process.make(&bench, at("2026-11-26T05:00:00Z")).await;
    let made_up = window("2026-11-23T17:00:00.000000Z", "2026-11-26T05:00:00.000000Z");
    assert_eq!(windows(&bench).last(), Some(&made_up));
    end(bench, [process]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_run_begins_before_1970_and_a_schedule_that_is_made_again_begins_anew() {
    let bench = Bench::new().await;
    level(&bench).await;
    let control = Control::open(bench.journal.clone()).await.unwrap();
    schedule_with(&control, MADE_AT, json!({"covers": "12h"})).await;
    let mut process = Process::start(&bench, &control, "first");
    process.run(&bench);
    process.make(&bench, at("2026-11-21T05:00:00Z")).await;
    happened(&bench, "early", "test", "2026-11-20T18:00:00Z").await;
    // Deleted, its run is forgotten; and another of the same name begins anew.
    change(&control, 1, None).await;
    process.scheduler.look(at("2026-11-22T05:00:01Z")).await;
    assert!(control.get(RUN_KIND, "daily").is_none());
    schedule_with(&control, "2026-11-22T12:00:00Z", json!({"covers": "5000w"})).await;
    process.make(&bench, at("2026-11-23T05:00:00Z")).await;
    assert_eq!(
        windows(&bench).last(),
        Some(&window("1970-01-01T00:00:00.000000Z", "2026-11-23T05:00:00.000000Z"))
    );
    assert_eq!(held(&bench), ["early"]);
    end(bench, [process]).await;
}
