//! Which log it is, and what happens when it is another one.

use audit_journal::{Bookmark, FollowEvent, Journal, OwnedEvent, ReadLimit, Stop, Topic};
use serde_json::Value;

use super::follow::bookmark_after;
use super::{Harness, PATIENCE, append_all, append_numbers, collect, fixed, next, next_owned, text};

const GROUP: &str = "flagtrail-deliver";

/// A log that ten messages were read of, replaced by one with `count` other messages.
async fn replaced<H: Harness>(count: u32) -> (H, Journal, Bookmark) {
    let log = H::fresh().await;
    let journal = log.open().await;
    let bookmark = bookmark_after(&journal, 10).await;
    journal.close().await;
    drop(journal);
    log.recreate().await;
    let journal = log.open().await;
    let others = (0..count).map(|number| fixed(0, format!("other {number}"))).collect();
    append_all(&journal, Topic::Records, others).await;
    (log, journal, bookmark)
}

/// Why partition 0 stops, which it must.
async fn stop_of(journal: &Journal, bookmark: Bookmark) -> Stop {
    let mut follow = journal.follow(Topic::Records, vec![(0, bookmark)]).await;
    loop {
        match next(&mut follow).await {
            FollowEvent::Stopped(stop) => return stop,
            FollowEvent::Messages(batch) => assert_ne!(batch.partition, 0, "it must not be read"),
            FollowEvent::Level { partition, .. } => assert_ne!(partition, 0, "it must not be read"),
        }
    }
}

pub(crate) async fn a_log_keeps_its_identity<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let identity = journal.identity().clone();
    assert_eq!((identity.partitions, identity.epoch), (super::PARTITIONS, 0));
    journal.close().await;
    drop(journal);
    let journal = log.open().await;
    assert_eq!(*journal.identity(), identity);
    journal.close().await;
    drop(journal);
    log.recreate().await;
    assert_ne!(log.open().await.identity().deployment, identity.deployment);
}

pub(crate) async fn the_identity_is_the_first_settings_event<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let limit = ReadLimit { messages: 1, bytes: 1024 };
    let range = journal.read(Topic::Control, 0, 0, limit).await.expect("control can be read");
    let event: Value = serde_json::from_str(&text(&range.messages[0])).expect("an event is JSON");
    assert_eq!((&event["kind"], &event["id"]), (&"log".into(), &"identity".into()));
    let identity = serde_json::to_value(journal.identity()).expect("an identity is JSON");
    assert_eq!(event["value"], identity);
}

pub(crate) async fn a_replaced_log_stops_its_followers_by_name<H: Harness>() {
    let (_log, journal, bookmark) = replaced::<H>(12).await;
    assert_eq!(stop_of(&journal, bookmark).await, Stop::Replaced { partition: 0, offset: 9 });
}

pub(crate) async fn a_truncated_log_stops_its_followers_by_name<H: Harness>() {
    let (_log, journal, bookmark) = replaced::<H>(3).await;
    assert_eq!(stop_of(&journal, bookmark).await, Stop::Truncated { partition: 0, end: 3, next: 10 });
}

/// An owner's watermark lies in the log itself; it can only be wrong where just the records were replaced,
/// so the test commits one of another log.
pub(crate) async fn a_replaced_log_stops_its_owners_by_name<H: Harness>() {
    let (_log, journal, foreign) = replaced::<H>(12).await;
    let mut owned = journal.follow_owned(GROUP).await;
    let generation = loop {
        if let OwnedEvent::Assigned { partition: 0, generation, .. } = next_owned(&mut owned).await {
            break generation;
        }
    };
    let state =
        audit_journal::PartitionCommit { partition: 0, generation, bookmark: foreign, documents: Vec::new() };
    let commit = audit_journal::OwnedCommit { partitions: vec![state], messages: Vec::new() };
    super::commit(&owned.committer(), commit).await.expect("the owner may commit");
    tokio::time::timeout(PATIENCE, owned.leave()).await.expect("leaving ends");
    let mut owned = journal.follow_owned(GROUP).await;
    loop {
        match next_owned(&mut owned).await {
            OwnedEvent::Stopped(stop) => {
                assert_eq!(stop, Stop::Replaced { partition: 0, offset: 9 });
                break;
            }
            OwnedEvent::Messages(batch) => assert_ne!(batch.partition, 0, "it must not be read"),
            OwnedEvent::Assigned { .. } | OwnedEvent::Level { .. } => {}
            OwnedEvent::Revoked { .. } => panic!("nobody else is there"),
        }
    }
}

pub(crate) async fn a_new_epoch_leads_on<H: Harness>() {
    let (log, journal, bookmark) = replaced::<H>(12).await;
    stop_of(&journal, bookmark).await;
    let identity = journal.new_epoch().await.expect("a new epoch begins");
    assert!(identity.epoch > bookmark.epoch);
    journal.close().await;
    drop(journal);

    let journal = log.open().await;
    assert_eq!(*journal.identity(), identity);
    let mut follow = journal.follow(Topic::Records, vec![(0, bookmark)]).await;
    let messages = collect(&mut follow, 12).await;
    assert_eq!(text(&messages[0]), "other 0", "the reader was moved to the start");
}

pub(crate) async fn a_new_epoch_does_not_excuse_bookmarks_made_in_it<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let identity = journal.new_epoch().await.expect("a new epoch begins");
    journal.close().await;
    drop(journal);
    let journal = log.open().await;
    let mut bookmark = bookmark_after(&journal, 3).await;
    assert_eq!(bookmark.epoch, identity.epoch);
    append_numbers(&journal, 0, 3..4).await;
    bookmark.next = 100;
    let stop = stop_of(&journal, bookmark).await;
    assert!(matches!(stop, Stop::Truncated { partition: 0, next: 100, .. }), "{stop}");
}
