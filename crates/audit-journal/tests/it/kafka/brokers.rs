//! Brokers that are killed, paused, or not there yet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use audit_journal::{
    AppendError, AppendOutcome, Bookmark, CommitError, FollowEvent, Journal, JournalConfig, OpenError, Owned,
    OwnedCommit, OwnedEvent, PartitionCommit, Topic,
};
use bytes::Bytes;
use flagtrail_testkit::kafka::{self, Cluster};
use flagtrail_testkit::wait;

use super::{blocking, config, in_time, topic_name};
use crate::contract::{
    PARTITIONS, PATIENCE, append_all, append_numbers, append_together, collect, fixed, keyed, next, read_all,
    text, until,
};

async fn open(cluster: &Cluster, prefix: &str) -> Journal {
    let config = JournalConfig::Kafka(config(&cluster.bootstrap(), prefix));
    in_time("opening", Journal::open(config)).await.expect("it opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_record_is_lost_when_leaders_are_killed_under_load() {
    /// Before each kill and after the last so many are acknowledged.
    const BETWEEN: usize = 100;
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(blocking(|| Cluster::start(3)).await.expect("three brokers start"));
    let prefix = kafka::unique("log");
    let journal = open(&cluster, &prefix).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;

    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (journal, stop, count) = (journal.clone(), Arc::clone(&stop), Arc::clone(&count));
            tokio::spawn(async move {
                let mut acknowledged = BTreeSet::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let values: Vec<String> = (0..5).map(|n| format!("{writer}-{number}-{n}")).collect();
                    let messages = values.iter().map(|v| keyed(&format!("key {writer}"), v.clone()));
                    let outcomes = journal.append(Topic::Records, messages.collect()).await;
                    for (value, outcome) in values.into_iter().zip(outcomes) {
                        if matches!(outcome, AppendOutcome::Appended(_)) {
                            acknowledged.insert(value);
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                acknowledged
            })
        })
        .collect();
    let more = async || {
        let before = count.load(Ordering::Relaxed);
        until(|| async { count.load(Ordering::Relaxed) >= before + BETWEEN }).await;
    };
    for partition in 0..2 {
        more().await;
        let (cluster, name) = (Arc::clone(&cluster), topic_name(&prefix, Topic::Records));
        blocking(move || {
            let mut leader = None;
            wait::blocking(PATIENCE, "there is a leader", || {
                leader = cluster.leader_of(&name, partition).ok();
                leader.is_some()
            });
            let leader = leader.expect("there is one");
            cluster.kill_broker(leader).expect("it can be killed");
            wait::blocking(PATIENCE, "another leads", || {
                cluster.leader_of(&name, partition).is_ok_and(|leads| leads != leader)
            });
            cluster.restart_broker(leader).expect("it comes back");
        })
        .await;
    }
    more().await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        acknowledged.extend(in_time("a writer", writer).await.expect("a writer does not fail"));
    }
    assert!(acknowledged.len() > 100, "only {} were acknowledged", acknowledged.len());

    // The follower that ran all the time has each of them, and in a writer's order.
    let mut there = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    let mut missing = acknowledged.clone();
    while !missing.is_empty() {
        assert!(Instant::now() < deadline, "{} acknowledged records are missing", missing.len());
        if let FollowEvent::Messages(batch) = next(&mut follow).await {
            for message in &batch.messages {
                missing.remove(&text(message));
                there.push(text(message));
            }
        }
    }
    let unique: BTreeSet<&String> = there.iter().collect();
    assert_eq!(unique.len(), there.len(), "a record is on the log twice");
    for writer in 0..8 {
        let mine: Vec<(u64, u64)> = there
            .iter()
            .filter_map(|value| {
                let mut parts = value.split('-').map(|part| part.parse::<u64>().expect("numbers"));
                let [of, number, n] = [parts.next()?, parts.next()?, parts.next()?];
                (of == writer).then_some((number, n))
            })
            .collect();
        assert!(mine.is_sorted(), "the order of writer {writer} was lost");
    }
    in_time("closing", journal.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_down_at_start_is_unavailable_and_serves_when_it_comes() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(blocking(|| Cluster::start(1)).await.expect("the broker starts"));
    let prefix = kafka::unique("log");
    let down = Arc::clone(&cluster);
    blocking(move || down.stop_broker(1)).await.expect("it stops");
    let settings = JournalConfig::Kafka(config(&cluster.bootstrap(), &prefix));
    let opened = in_time("opening", Journal::open(settings)).await;
    assert!(matches!(opened, Err(OpenError::Unavailable(_))), "{opened:?}");
    let up = Arc::clone(&cluster);
    blocking(move || up.restart_broker(1)).await.expect("it comes");
    let journal = open(&cluster, &prefix).await;
    append_numbers(&journal, 0, 0..1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_and_comes_back_ends_nothing() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(blocking(|| Cluster::start(1)).await.expect("the broker starts"));
    let prefix = kafka::unique("log");
    let journal = open(&cluster, &prefix).await;
    append_numbers(&journal, 0, 0..5).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let mut owned = journal.follow_owned("flagtrail-deliver").await;
    collect(&mut follow, 5).await;

    let down = Arc::clone(&cluster);
    blocking(move || down.kill_broker(1)).await.expect("it can be killed");
    // The first appends may be in doubt; soon they are refused, so that they can be spooled.
    until(|| async {
        let outcome = journal.append(Topic::Records, vec![fixed(0, "while down")]).await.remove(0);
        assert!(!matches!(outcome, AppendOutcome::Appended(_)), "there is no broker");
        matches!(outcome, AppendOutcome::NotAppended(_))
    })
    .await;
    assert!(!journal.is_writable());
    let refused =
        in_time("a settings change", journal.append_together(vec![(Topic::Control, fixed(0, "x"))]));
    assert!(matches!(refused.await, Err(AppendError::NotAppended(_))));

    let up = Arc::clone(&cluster);
    blocking(move || up.restart_broker(1)).await.expect("it comes back");
    until(|| async { journal.is_writable() }).await;
    append_all(&journal, Topic::Records, vec![fixed(0, "after")]).await;
    loop {
        if let FollowEvent::Messages(batch) = next(&mut follow).await
            && batch.messages.iter().any(|message| text(message) == "after")
        {
            break;
        }
    }
    let mut after = false;
    while !after {
        if let audit_journal::OwnedEvent::Messages(batch) = crate::contract::next_owned(&mut owned).await {
            after = batch.messages.iter().any(|message| text(message) == "after");
        }
    }
    append_together(&journal, vec![(Topic::Records, fixed(0, "both"))]).await;
    in_time("leaving", owned.leave()).await;
    in_time("closing", journal.close()).await;
    assert_eq!(journal.identity().partitions, PARTITIONS);
}

/// Commits as the owner of partition 1, a numbered document and message at a time, until it is told to stop: what was said
/// to be committed, and what was denied. `count` is how many were.
async fn keep_committing(
    mut owned: Owned,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut there, mut not_there) = (BTreeSet::new(), BTreeSet::new());
    let mut generation = None;
    for number in 0.. {
        while let Some(event) = match generation {
            None => owned.next().await,
            Some(_) => tokio::time::timeout(Duration::ZERO, owned.next()).await.ok().flatten(),
        } {
            match event {
                OwnedEvent::Assigned { partition: 1, generation: assigned, .. } => {
                    generation = Some(assigned);
                }
                // With the broker the membership may be lost.
                OwnedEvent::Revoked { partition: 1, done, .. } => {
                    generation = None;
                    drop(done);
                }
                _ => {}
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        let Some(generation) = generation.filter(|_| !stop.load(Ordering::Relaxed)) else { break };
        let value = format!("attempt {number}");
        let state = PartitionCommit {
            partition: 1,
            generation,
            bookmark: Bookmark::default(),
            documents: vec![(Bytes::from_static(b"last"), Some(Bytes::from(value.clone())))],
        };
        let messages = vec![(Topic::Deliveries, fixed(1, value.clone()))];
        match owned.committer().commit(OwnedCommit { partitions: vec![state], messages }).await {
            Ok(()) => {
                there.insert(value);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(CommitError::Fenced(_) | CommitError::NotCommitted(_)) => {
                not_there.insert(value);
            }
        }
    }
    (there, not_there)
}

/// librdkafka waits for a coordinator that died after it was looked up until it is back, whoever has taken its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_commits_on_though_its_groups_coordinator_dies_and_stays_dead() {
    const GROUP: &str = "flagtrail-deliver";
    const KILLS: usize = 2;
    /// Around each kill so many are committed.
    const BETWEEN: usize = 20;
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(blocking(|| Cluster::start(3)).await.expect("three brokers start"));
    let prefix = kafka::unique("log");
    let journal = open(&cluster, &prefix).await;
    append_numbers(&journal, 0, 0..1).await;
    let owned = journal.follow_owned(GROUP).await;
    let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let owner = tokio::spawn(keep_committing(owned, Arc::clone(&stop), Arc::clone(&committed)));
    let is_further = async || {
        let before = committed.load(Ordering::Relaxed);
        until(|| async { committed.load(Ordering::Relaxed) >= before + BETWEEN }).await;
    };
    is_further().await;
    for _ in 0..KILLS {
        let (killing, group) = (Arc::clone(&cluster), format!("{prefix}.{GROUP}"));
        let dead = blocking(move || {
            let coordinator = killing.coordinator_of(&group).expect("there is one");
            killing.kill_broker(coordinator).expect("it can be killed");
            coordinator
        });
        let dead = dead.await;
        is_further().await;
        let restarting = Arc::clone(&cluster);
        blocking(move || restarting.restart_broker(dead)).await.expect("it comes back");
    }
    stop.store(true, Ordering::Relaxed);
    let (committed, denied) = in_time("committing", owner).await.expect("it does not fail");
    let there: BTreeSet<String> = read_all(&journal, Topic::Deliveries, 1).await.iter().map(text).collect();
    assert!(committed.is_subset(&there), "lost: {:?}", committed.difference(&there));
    assert!(denied.is_disjoint(&there), "denied: {:?}", denied.intersection(&there));
    in_time("closing", journal.close()).await;
}

/// The second failure of a durable write, many times: the broker is killed under a stream of commits, so that
/// some are on it whose answer is lost and some are not. Every answer must be what readers find.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_commit_or_an_append_together_is_answered_is_what_became_of_it_though_brokers_die() {
    const KILLS: usize = 3;
    /// Between two kills at least so many are committed.
    const BETWEEN: usize = 20;
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(blocking(|| Cluster::start(1)).await.expect("the broker starts"));
    let prefix = kafka::unique("log");
    let journal = open(&cluster, &prefix).await;
    append_numbers(&journal, 0, 0..1).await;
    let owned = journal.follow_owned("flagtrail-deliver").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (together, committed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));

    let appender = {
        let (journal, stop, count) = (journal.clone(), Arc::clone(&stop), Arc::clone(&together));
        tokio::spawn(async move {
            let (mut there, mut not_there) = (BTreeSet::new(), BTreeSet::new());
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let value = format!("together {number}");
                let pair = vec![
                    (Topic::Rejected, fixed(0, value.clone())),
                    (Topic::Checkpoints, fixed(2, value.clone())),
                ];
                match journal.append_together(pair).await {
                    Ok(_) => {
                        there.insert(value);
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(AppendError::NotAppended(_)) => {
                        not_there.insert(value);
                    }
                    Err(AppendError::Unknown(_)) => {}
                }
            }
            (there, not_there)
        })
    };
    let owner = tokio::spawn(keep_committing(owned, Arc::clone(&stop), Arc::clone(&committed)));
    let is_further = async |than: (usize, usize)| {
        let (together, committed) = (Arc::clone(&together), Arc::clone(&committed));
        until(|| async {
            together.load(Ordering::Relaxed) >= than.0 + BETWEEN
                && committed.load(Ordering::Relaxed) >= than.1 + BETWEEN
        })
        .await;
    };
    is_further((0, 0)).await;
    for _ in 0..KILLS {
        let cluster = Arc::clone(&cluster);
        blocking(move || {
            cluster.kill_broker(1).expect("it can be killed");
            cluster.restart_broker(1).expect("it comes back");
        })
        .await;
        is_further((together.load(Ordering::Relaxed), committed.load(Ordering::Relaxed))).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (appended, not_appended) = in_time("appending", appender).await.expect("it does not fail");
    let (committed, not_committed) = in_time("committing", owner).await.expect("it does not fail");
    // What was answered last is to be seen a moment later, in each topic in its own.
    let found = async |topic, partition, last: &BTreeSet<String>| {
        let values =
            async || -> Vec<String> { read_all(&journal, topic, partition).await.iter().map(text).collect() };
        until(|| async { last.is_subset(&values().await.into_iter().collect()) }).await;
        let all = values().await;
        let once: BTreeSet<String> = all.iter().cloned().collect();
        assert_eq!(once.len(), all.len(), "each is there once");
        once
    };
    let attempts = found(Topic::Deliveries, 1, &committed).await;
    assert!(not_committed.is_disjoint(&attempts), "denied: {:?}", not_committed.intersection(&attempts));
    let (rejected, checkpoints) =
        (found(Topic::Rejected, 0, &appended).await, found(Topic::Checkpoints, 2, &appended).await);
    assert_eq!(rejected, checkpoints, "both topics or neither");
    assert!(not_appended.is_disjoint(&rejected), "denied: {:?}", not_appended.intersection(&rejected));
    in_time("closing", journal.close()).await;
}
