//! The spool.

use std::process::{Command, Stdio};

use audit_journal::{ReadLimit, Spool, SpoolConfig, SpoolError};
use bytes::Bytes;
use tempfile::TempDir;

use crate::contract::kill::{child_arguments, kill_after, say};

/// Tells a child process which file to push to.
const FILE_VARIABLE: &str = "FLAGTRAIL_TEST_SPOOL_FILE";

fn config(directory: &TempDir) -> SpoolConfig {
    SpoolConfig { path: directory.path().join("spool.db"), bytes_max: 1000 }
}

/// So many entries, whatever they weigh.
fn few(messages: usize) -> ReadLimit {
    ReadLimit { messages, bytes: usize::MAX }
}

async fn open(directory: &TempDir) -> Spool {
    Spool::open(config(directory)).await.expect("the spool opens")
}

#[tokio::test]
async fn what_was_pushed_is_there_in_order_after_a_restart() {
    let directory = TempDir::new().expect("a directory for the test");
    let spool = open(&directory).await;
    for number in 0..5_u8 {
        spool.push("flagsmith", i64::from(number), Bytes::from(vec![number])).await.expect("there is room");
    }
    drop(spool);
    let spool = open(&directory).await;
    assert_eq!(spool.backlog(), (5, 5));
    assert!(spool.holds("flagsmith"));
    assert!(!spool.holds("unleash"));
    let oldest = spool.oldest(few(3)).await.expect("it can be read");
    let requests: Vec<(u64, i64, u8)> =
        oldest.iter().map(|spooled| (spooled.number, spooled.received_at_us, spooled.request[0])).collect();
    assert_eq!(requests, [(1, 0, 0), (2, 1, 1), (3, 2, 2)]);
}

#[tokio::test]
async fn a_request_is_forgotten_once_and_its_number_is_never_used_again() {
    let directory = TempDir::new().expect("a directory for the test");
    let spool = open(&directory).await;
    let number = spool.push("a", 0, Bytes::from_static(b"x")).await.expect("there is room");
    spool.remove(vec![number]).await.expect("it is there");
    spool.remove(vec![number]).await.expect("it is gone already, which is as well");
    assert!(!spool.holds("a"));
    assert_eq!(spool.backlog(), (0, 0));
    drop(spool);
    let spool = open(&directory).await;
    let next = spool.push("a", 0, Bytes::from_static(b"y")).await.expect("there is room");
    assert!(next > number);
}

#[tokio::test]
async fn a_full_spool_says_so_and_takes_again_what_was_made_room_for() {
    let directory = TempDir::new().expect("a directory for the test");
    let spool = open(&directory).await;
    let first = spool.push("a", 0, Bytes::from(vec![0; 600])).await.expect("there is room");
    let full = spool.push("b", 0, Bytes::from(vec![0; 600])).await;
    assert!(matches!(full, Err(SpoolError::Full { bytes: 600, bytes_max: 1000 })), "{full:?}");
    assert!(!spool.holds("b"), "what was refused does not wait");
    spool.remove(vec![first]).await.expect("it is there");
    spool.push("b", 0, Bytes::from(vec![0; 600])).await.expect("there is room again");
}

#[tokio::test]
async fn a_request_that_is_being_pushed_already_holds_its_source() {
    let directory = TempDir::new().expect("a directory for the test");
    let spool = open(&directory).await;
    let mut push = std::pin::pin!(spool.push("a", 0, Bytes::from_static(b"x")));
    // Polled once, so that it has begun.
    let began = tokio::time::timeout(std::time::Duration::ZERO, push.as_mut()).await;
    assert!(spool.holds("a"), "{began:?}");
    if began.is_err() {
        push.await.expect("there is room");
    }
}

/// The second failure of a durable write: the answer was lost.
#[tokio::test]
async fn a_push_whose_caller_went_away_is_kept_or_not_but_counted_right() {
    let directory = TempDir::new().expect("a directory for the test");
    let spool = open(&directory).await;
    for micros in 0..20 {
        let push = spool.push("a", 0, Bytes::from_static(b"x"));
        let _ = tokio::time::timeout(std::time::Duration::from_micros(micros * 20), push).await;
    }
    spool.push("b", 0, Bytes::from_static(b"y")).await.expect("there is room");
    let waiting = spool.oldest(few(100)).await.expect("it can be read");
    assert_eq!(spool.backlog(), (waiting.len() as u64, waiting.len() as u64));
    drop(spool);
    assert_eq!(open(&directory).await.backlog().0, waiting.len() as u64);
}

#[tokio::test]
async fn what_is_read_at_a_time_is_bounded_by_bytes_and_is_one_entry_at_least() {
    let directory = TempDir::new().expect("a directory for the test");
    let spool = open(&directory).await;
    for _ in 0..3 {
        spool.push("a", 0, Bytes::from(vec![0; 300])).await.expect("there is room");
    }
    let count = async |bytes| {
        let oldest = spool.oldest(ReadLimit { messages: 10, bytes }).await;
        oldest.expect("it can be read").len()
    };
    assert_eq!((count(1).await, count(600).await, count(899).await, count(900).await), (1, 2, 2, 3));
}

#[tokio::test]
async fn many_entries_are_forgotten_together() {
    let directory = TempDir::new().expect("a directory for the test");
    let spool = open(&directory).await;
    let mut numbers = Vec::new();
    for source in ["a", "a", "b", "c"] {
        numbers.push(spool.push(source, 0, Bytes::from_static(b"x")).await.expect("there is room"));
    }
    let last = numbers.pop().expect("there are four");
    spool.remove([numbers, vec![last + 1]].concat()).await.expect("what is not there does not matter");
    assert_eq!(spool.backlog(), (1, 1));
    assert_eq!((spool.holds("a"), spool.holds("b"), spool.holds("c")), (false, false, true));
    assert_eq!(spool.oldest(few(10)).await.expect("it can be read")[0].number, last);
}

#[tokio::test]
async fn a_spool_keeps_its_id_and_one_of_an_earlier_release_is_given_one() {
    let directory = TempDir::new().expect("a directory for the test");
    let id = open(&directory).await.id().to_owned();
    assert_eq!(open(&directory).await.id(), id);

    let file = rusqlite::Connection::open(config(&directory).path).expect("the file opens");
    file.execute_batch("DROP TABLE spool").expect("the first version had none");
    file.pragma_update(None, "user_version", 1).expect("the version can be set");
    drop(file);
    let migrated = open(&directory).await;
    assert!(migrated.id().len() == 32 && migrated.id() != id, "{}", migrated.id());
    assert_eq!(migrated.push("a", 0, Bytes::from_static(b"x")).await.expect("there is room"), 1);
}

#[tokio::test]
async fn a_second_process_is_refused_by_name() {
    let directory = TempDir::new().expect("a directory for the test");
    let _spool = open(&directory).await;
    let second = Spool::open(config(&directory)).await;
    assert!(matches!(second, Err(SpoolError::Held(_))), "{second:?}");
}

#[tokio::test]
async fn a_spool_of_a_later_release_is_not_touched() {
    let directory = TempDir::new().expect("a directory for the test");
    drop(open(&directory).await);
    let file = rusqlite::Connection::open(config(&directory).path).expect("the file opens");
    file.pragma_update(None, "user_version", 99).expect("the version can be set");
    drop(file);
    let refused = Spool::open(config(&directory)).await;
    assert!(matches!(refused, Err(SpoolError::Newer { found: 99, known: 2 })), "{refused:?}");
}

/// A child's whole life: it pushes until it is killed. Does nothing in any other process.
#[tokio::test]
async fn a_child_process_pushes_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE_VARIABLE) else { return };
    let config = SpoolConfig { path: path.into(), bytes_max: 1 << 30 };
    let spool = Spool::open(config).await.expect("the spool opens");
    for number in 0_u64.. {
        let pushed = spool.push("a", 0, Bytes::from(number.to_string())).await.expect("there is room");
        say(&format!("pushed {pushed}"));
    }
}

#[tokio::test]
async fn every_answered_push_survives_a_killed_process() {
    let directory = TempDir::new().expect("a directory for the test");
    let mut child = Command::new(std::env::current_exe().expect("the test binary has a path"));
    child.args(child_arguments("spool::a_child_process_pushes_until_it_is_killed"));
    child.env(FILE_VARIABLE, config(&directory).path).stdout(Stdio::piped());
    let child = child.spawn().expect("the child starts");
    let said = tokio::task::spawn_blocking(|| kill_after(child, "pushed ", 100)).await;
    let said = said.expect("the child was heard");
    let answered: u64 = said[said.len() - 2].parse().expect("a number");

    let spool = open(&directory).await;
    let there = spool.oldest(few(1_000_000)).await.expect("it can be read");
    assert!(there.len() as u64 >= answered, "{} < {answered}", there.len());
    for (index, spooled) in there.iter().enumerate() {
        assert_eq!((spooled.number, &spooled.request[..]), (index as u64 + 1, index.to_string().as_bytes()));
    }
}
