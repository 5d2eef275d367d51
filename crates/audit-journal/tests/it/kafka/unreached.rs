//! A journal whose log does not answer at start, and the settings that are known without it.

use std::sync::Arc;

use audit_journal::{
    AppendError, AppendOutcome, Control, Journal, JournalConfig, OpenError, OwnedEvent, ReadError,
    SettingsChange, SettingsFile, Topic, WriteError,
};
use flagtrail_testkit::kafka::{self, Cluster};
use serde_json::json;

use super::{blocking, config, in_time};
use crate::contract::control::write;
use crate::contract::{PARTITIONS, append_all, collect, fixed, next_owned, text, until};

fn change(id: &str, base_version: u64) -> SettingsChange {
    let (kind, id) = ("source".to_owned(), id.to_owned());
    SettingsChange { kind, id, base_version, value: Some(json!({"name": "x"})) }
}

/// Waits until the copy has as much as the test made.
async fn copied(path: &std::path::Path, id: &str) {
    until(|| async { std::fs::read_to_string(path).is_ok_and(|copy| copy.contains(id)) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_away_at_start_is_refused_by_word_and_followed_when_it_comes() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(blocking(|| Cluster::start(1)).await.expect("the broker starts"));
    let settings = JournalConfig::Kafka(config(&cluster.bootstrap(), &kafka::unique("log")));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("settings.json");

    let journal = in_time("opening", Journal::open(settings.clone())).await.expect("it opens");
    let identity = journal.identity().clone();
    let file = SettingsFile::open(path.clone()).expect("there is none yet");
    let control = in_time("reading", Control::open_with(journal.clone(), file)).await.expect("it opens");
    write(&control, change("kept", 0)).await.expect("it is written");
    copied(&path, "kept").await;
    append_all(&journal, Topic::Records, vec![fixed(1, "before")]).await;
    // One that nobody has a copy of: only the log knows.
    in_time("closing", journal.close()).await;
    drop((control, journal));
    let journal = in_time("opening", Journal::open(settings.clone())).await.expect("it opens");
    let control = in_time("reading", Control::open(journal.clone())).await.expect("it opens");
    write(&control, change("later", 0)).await.expect("it is written");
    in_time("closing", journal.close()).await;
    drop((control, journal));
    let down = Arc::clone(&cluster);
    blocking(move || down.stop_broker(1)).await.expect("it stops");

    let file = SettingsFile::open(path.clone()).expect("the copy is whole");
    assert_eq!(file.identity(), Some(&identity));
    let opening = Journal::open_known(settings, file.identity().expect("it is there").clone());
    let journal = in_time("opening", opening).await.expect("it goes on without");
    assert!(!journal.is_reached() && !journal.is_writable());
    assert_eq!(journal.identity(), &identity);
    let control = in_time("reading", Control::open_with(journal.clone(), file)).await.expect("by the copy");
    assert!(control.get("source", "kept").is_some());
    assert!(control.get("source", "later").is_none());
    let refused = in_time("writing", control.write(change("new", 0), None)).await;
    assert!(matches!(refused, Err(WriteError::NotWritten(_))), "{refused:?}");
    let outcomes = journal.append(Topic::Records, vec![fixed(1, "refused")]).await;
    assert!(matches!(outcomes[..], [AppendOutcome::NotAppended(_)]), "{outcomes:?}");
    let settled = journal.named_appender("name").settle().await;
    assert!(matches!(settled, Err(AppendError::NotAppended(_))), "{settled:?}");
    let bounds = journal.bounds(Topic::Records).await;
    assert!(matches!(bounds, Err(ReadError::Unavailable(_))), "{bounds:?}");
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let mut owned = journal.follow_owned("flagtrail-deliver").await;
    let mut revision = control.revision();

    let up = Arc::clone(&cluster);
    blocking(move || up.restart_broker(1)).await.expect("it comes");
    in_time("reaching", journal.reached()).await.expect("it is the same log");
    assert_eq!(collect(&mut follow, 1).await.iter().map(text).collect::<Vec<_>>(), ["before"]);
    let mut assigned = 0;
    while assigned < PARTITIONS {
        assigned += u32::from(matches!(next_owned(&mut owned).await, OwnedEvent::Assigned { .. }));
    }
    in_time("leaving", owned.leave()).await;
    in_time("the fold", revision.changed()).await.expect("the settings are kept current");
    // The log's word takes the copy's place, event by event.
    until(|| async { control.get("source", "later").is_some() }).await;
    write(&control, change("new", 0)).await.expect("it is written");
    copied(&path, "new").await;
    in_time("closing", journal.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_log_in_the_place_of_the_known_one_is_refused_by_name() {
    if kafka::available().is_none() {
        return;
    }
    let cluster = Arc::new(blocking(|| Cluster::start(1)).await.expect("the broker starts"));
    let known = JournalConfig::Kafka(config(&cluster.bootstrap(), &kafka::unique("log")));
    let journal = in_time("opening", Journal::open(known)).await.expect("it opens");
    let identity = journal.identity().clone();
    in_time("closing", journal.close()).await;
    let down = Arc::clone(&cluster);
    blocking(move || down.stop_broker(1)).await.expect("it stops");
    let other = JournalConfig::Kafka(config(&cluster.bootstrap(), &kafka::unique("log")));
    let journal = in_time("opening", Journal::open_known(other, identity)).await.expect("it goes on without");
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let up = Arc::clone(&cluster);
    blocking(move || up.restart_broker(1)).await.expect("it comes");
    let refused = in_time("reaching", journal.reached()).await;
    let Err(OpenError::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("copy of the settings is of deployment"), "{why}");
    assert!(in_time("following", follow.next()).await.is_none());
    assert!(!journal.is_writable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_closed_before_its_log_answers_ends_who_waits() {
    let nowhere = JournalConfig::Kafka(config("127.0.0.1:1", "log"));
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = audit_journal::EmbeddedConfig { path: folder.path().join("log.sqlite"), partitions: 4 };
    let some = Journal::open(JournalConfig::Embedded(embedded)).await.expect("it opens");
    let opening = Journal::open_known(nowhere, some.identity().clone());
    let journal = in_time("opening", opening).await.expect("it goes on without");
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let owned = journal.follow_owned("flagtrail-deliver").await;
    in_time("closing", journal.close()).await;
    assert!(in_time("following", follow.next()).await.is_none());
    in_time("leaving", owned.leave()).await;
    assert!(matches!(in_time("reaching", journal.reached()).await, Err(OpenError::Unavailable(_))));
}
