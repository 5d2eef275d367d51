//! Deliveries through takeovers, on real brokers: an owner is killed, another is paused past its session's end
//! and woken, owners come and go, a broker dies; while endpoints are level with the log, far behind it, held up by a
//! failing record, replaying and hanging.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::receiver::{Answer, Received, Receiver};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, NOT_WRITTEN, Node, PATIENT_APPENDS, http};

const PROJECTS: usize = 4;
const RECORDS: usize = 1_600;
const RECORDS_AMONG_THREE: usize = 1_200;

/// What the topics' names begin with.
const TOPICS: &str = "takeovers";

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Longer than a paused owner is waited for: its partitions are another's by then.
const PAST_THE_SESSION: Duration = Duration::from_secs(14);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_takeovers_nothing_is_lost_for_any_endpoint_and_each_project_stays_in_order() {
    if kafka::available().is_none() {
        return;
    }
    let scene = Scene::set(1, RECORDS).await;
    let mut owners = [scene.owner("one"), scene.owner("two")];
    let late = Receiver::start().unwrap();
    let load = scene.write();
    load.reaches(25).await;
    // One endpoint begins far behind and one replays, and then an owner dies.
    let begins_behind =
        json!({ "name": "late", "url": late.url("/"), "events": ["flag.*"], "start": "earliest" });
    create(&scene.ingest, begins_behind).await;
    let replayed: BTreeSet<String> = ids(&arrived(&scene.level));
    let replay = format!("/v1/endpoints/{}/replay", scene.endpoint);
    let replay = post(&scene.ingest, &replay, json!({}), 202).await;
    assert!(replay["id"].is_string(), "{replay}");
    owners[0].kill();
    owners[0].start();
    load.reaches(55).await;
    owners[1].pause();
    tokio::time::sleep(PAST_THE_SESSION).await;
    owners[1].resume();
    load.ends().await;
    scene.everything_came(Some(&late)).await;
    wait::until(LIMIT, "the replay is through", || async {
        let of_replay = |request: &&Received| request.header("x-flagtrail-replay").is_some();
        let received = scene.level.received();
        let again: BTreeSet<&str> =
            received.iter().filter(of_replay).filter_map(|request| request.header("webhook-id")).collect();
        replayed.iter().all(|id| again.contains(id.as_str()))
    })
    .await;
    scene.ends(&mut owners, Some(&late));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_owners_come_and_go_and_a_leading_broker_dies_nothing_is_lost_and_each_project_stays_in_order()
{
    if kafka::available().is_none() {
        return;
    }
    let scene = Scene::set(3, RECORDS_AMONG_THREE).await;
    let mut owners = [scene.owner("stays"), scene.owner("comes-and-goes")];
    let load = scene.write();
    for share in [15, 30, 45] {
        load.reaches(share).await;
        owners[1].stop_whatever_it_says();
        load.reaches(share + 8).await;
        owners[1].start();
    }
    load.reaches(65).await;
    let (cluster, topic) = (Arc::clone(&scene.cluster), format!("{TOPICS}.records"));
    let dead = tokio::task::spawn_blocking(move || {
        let leader = cluster.leader_of(&topic, 0).unwrap();
        cluster.kill_broker(leader).unwrap();
        leader
    });
    let dead = dead.await.unwrap();
    load.ends().await;
    scene.everything_came(None).await;
    let cluster = Arc::clone(&scene.cluster);
    // What is still to be committed when the owners end is not what is looked at here.
    tokio::task::spawn_blocking(move || cluster.restart_broker(dead).unwrap()).await.unwrap();
    scene.ends(&mut owners, None);
}

/// A log, a process that takes records in, and three endpoints: one that takes all, an ordered one that refuses now and
/// then, and one that hangs all the time.
struct Scene {
    cluster: Arc<Cluster>,
    root: tempfile::TempDir,
    settings: String,
    ingest: Node,
    records: usize,
    level: Receiver,
    ordered: Receiver,
    /// Open for as long as the rest is.
    _hanging: Receiver,
    /// The id of the endpoint that takes all.
    endpoint: String,
}

impl Scene {
    async fn set(brokers: u16, records: usize) -> Self {
        let cluster = tokio::task::spawn_blocking(move || Cluster::start(brokers).unwrap()).await.unwrap();
        let root = tempfile::tempdir().unwrap();
        let settings = format!(
            "[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {:?}\npartitions = 4\nprefix = {TOPICS:?}\n{PATIENT_APPENDS}",
            cluster.bootstrap()
        );
        let mut ingest = Node::new(root.path(), "ingest", &["serve", "--roles", "ingest"], &settings);
        ingest.start();
        ingest.ready().await;
        let [level, ordered, hanging] = [(); 3].map(|()| Receiver::start().unwrap());
        hanging.answer(Answer::hang());
        let count = AtomicU64::new(0);
        // Every fortieth is refused once, and holds its project up until it is tried again.
        ordered.answer_by(move |_| {
            Answer::status(if count.fetch_add(1, Ordering::Relaxed) % 40 == 39 { 422 } else { 200 })
        });
        let takes_all = json!({ "name": "level", "url": level.url("/"), "events": ["flag.*"] });
        let endpoint = create(&ingest, takes_all).await;
        let in_order = json!({ "name": "ordered", "url": ordered.url("/"), "events": ["flag.*"], "ordered": true, "timeout": "1s" });
        create(&ingest, in_order).await;
        create(&ingest, json!({ "name": "hanging", "url": hanging.url("/"), "events": ["flag.*"] })).await;
        let cluster = Arc::new(cluster);
        Self { cluster, root, settings, ingest, records, level, ordered, _hanging: hanging, endpoint }
    }

    /// A process that delivers, started.
    fn owner(&self, name: &str) -> Node {
        let mut owner = Node::new(self.root.path(), name, &["serve", "--roles", "deliver"], &self.settings);
        owner.start();
        owner
    }

    /// Begins to write the records of all projects at once.
    fn write(&self) -> Load {
        let taken = Arc::new(AtomicUsize::new(0));
        let each = self.records / PROJECTS;
        let writers = (0..PROJECTS)
            .map(|project| tokio::spawn(write(self.ingest.admin.clone(), project, each, Arc::clone(&taken))))
            .collect();
        Load { records: self.records, taken, writers }
    }

    fn ids(&self) -> BTreeSet<String> {
        let of = |project| (0..self.records / PROJECTS).map(move |number| format!("p{project}-{number:05}"));
        (0..PROJECTS).flat_map(of).collect()
    }

    /// Those that everything is to come to, by name; one may have been added.
    fn receivers<'a>(
        &'a self,
        late: Option<&'a Receiver>,
    ) -> impl Iterator<Item = (&'static str, &'a Receiver)> {
        [("level", &self.level), ("ordered", &self.ordered)]
            .into_iter()
            .chain(late.map(|late| ("late", late)))
    }

    async fn everything_came(&self, late: Option<&Receiver>) {
        let all = self.ids();
        for (name, receiver) in self.receivers(late) {
            wait::until(LIMIT, &format!("everything has come to {name}"), || async {
                ids(&arrived(receiver)).is_superset(&all)
            })
            .await;
        }
    }

    /// Ends all processes, and looks at the order and the repeats of what came.
    fn ends(mut self, owners: &mut [Node], late: Option<&Receiver>) {
        for owner in owners {
            owner.stop_whatever_it_says();
        }
        self.ingest.stop();
        in_order(&arrived(&self.ordered));
        for (name, receiver) in self.receivers(late) {
            let own = arrived(receiver).len();
            let repeats = own - self.records;
            eprintln!("{name}: {repeats} of {own} came again");
            assert!(repeats < self.records / 2, "{name}: {repeats} repeats");
        }
    }
}

/// Records being written.
struct Load {
    records: usize,
    taken: Arc<AtomicUsize>,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    /// Waits until so many of a hundred records are taken.
    async fn reaches(&self, share: usize) {
        wait::until(LIMIT, "the load reaches the moment", || async {
            self.taken.load(Ordering::Relaxed) >= self.records * share / 100
        })
        .await;
    }

    async fn ends(self) {
        for writer in self.writers {
            writer.await.unwrap();
        }
    }
}

/// What came, replays aside.
fn arrived(receiver: &Receiver) -> Vec<Received> {
    let mut received = receiver.received();
    received.retain(|request| request.header("x-flagtrail-replay").is_none());
    received
}

fn ids(received: &[Received]) -> BTreeSet<String> {
    received.iter().filter_map(|request| request.header("webhook-id")).map(str::to_owned).collect()
}

/// The sequence of a project may begin again at an earlier record, and then runs in order: nothing comes before
/// everything that precedes it has come. And each names its predecessor, where one is known.
fn in_order(received: &[Received]) {
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let mut positions: BTreeMap<String, String> = BTreeMap::new();
    for request in received {
        let (project, number) = request.header("webhook-id").unwrap().split_once('-').unwrap();
        let number: usize = number.parse().unwrap();
        let next = last.get(project).map_or(0, |last| last + 1);
        assert!(number <= next, "{project}: {number} came before {next}");
        last.insert(project.to_owned(), number.max(next.saturating_sub(1)));
        positions.insert(
            format!("{project}-{number}"),
            request.header("x-flagtrail-position").unwrap().to_owned(),
        );
        if let Some(previous) = request.header("x-flagtrail-previous") {
            let before = &positions[&format!("{project}-{}", number - 1)];
            assert_eq!(previous, before, "{project}-{number}");
        }
    }
}

async fn create(node: &Node, endpoint: Value) -> String {
    post(node, "/v1/endpoints", endpoint, 201).await["id"].as_str().unwrap().to_owned()
}

async fn post(node: &Node, path: &str, body: Value, expected: u16) -> Value {
    wait::some(LIMIT, path, || async {
        let request = http().post(format!("{}{path}", node.admin)).bearer_auth(ADMIN_TOKEN).json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        if answer["detail"] == NOT_WRITTEN {
            return None;
        }
        assert_eq!(status, expected, "{path}: {answer}");
        Some(answer)
    })
    .await
}

/// Writes one record after the other, each until it is taken.
async fn write(server: String, project: usize, records: usize, taken: Arc<AtomicUsize>) {
    let client = http();
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for number in 0..records {
        ticks.tick().await;
        let record = json!({
            "id": format!("p{project}-{number:05}"), "action": "flag.value.changed", "log": "changed",
            "author": {"type": "user", "email": "ada@example.com"}, "project": {"key": format!("p{project}")},
            "flag": {"key": "checkout"}, "related_object_type": "FEATURE",
        });
        wait::until(LIMIT, "a record is taken", || async {
            let request = client.post(format!("{server}/v1/records")).bearer_auth(ADMIN_TOKEN).json(&record);
            request.send().await.is_ok_and(|answer| answer.status() == 201)
        })
        .await;
        taken.fetch_add(1, Ordering::Relaxed);
    }
}
