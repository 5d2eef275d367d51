//! The archiver at work.

use std::collections::BTreeSet;

use audit_archive::{ArchiveConfig, Archiver, ArchiverError, Order, Query, rebuild, sql_session};
use audit_journal::{AppendOutcome, NewMessage, Placement, Topic};
use audit_record::Filter;
use bytes::Bytes;
use flagtrail_testkit::wait;

use crate::harness::{CAUGHT_UP_WITHIN, Place, Running, append, covered, id_of, records};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_is_found_and_stays_found_after_a_restart() {
    let place = Place::new(4);
    let journal = place.journal().await;
    append(&journal, &records(0..500)).await;
    let running = Running::start(place.config(), &journal);
    let reader = place.reader();
    covered(&reader, &journal).await;
    append(&journal, &records(500..600)).await;
    covered(&reader, &journal).await;
    running.stop().await;
    let running = Running::start(place.config(), &journal);
    append(&journal, &records(600..610)).await;
    covered(&reader, &journal).await;
    running.stop().await;

    let everything = reader.scan(&Query::default(), reader.ends().expect("ends"), None).expect("a scan");
    let found: Vec<String> = everything.map(|row| id_of(&row.expect("a row").json)).collect();
    assert_eq!(found.len(), 610);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>().len(), 610);

    let filter = Filter { project: vec!["project-3".to_owned()], ..Filter::default() };
    let query = Query { filter, order: Order::Oldest, limit: 100, ..Query::default() };
    let page = reader.query(&query).expect("a page");
    let found: Vec<String> = page.rows.iter().map(|row| id_of(&row.json)).collect();
    let appended: Vec<String> = (0..61).map(|n| format!("r{}", n * 10 + 3)).collect();
    assert_eq!(found, appended);
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_and_words_are_complete_once_the_archive_is_level() {
    let place = Place::new(2);
    let journal = place.journal().await;
    append(&journal, &records(0..3_000)).await;
    let running = Running::start(place.config(), &journal);
    let reader = place.reader();
    wait::until(CAUGHT_UP_WITHIN, "indexes and words are complete", || async {
        reader.status().is_ok_and(|status| {
            let complete = |p: &audit_archive::PartitionStatus| {
                !p.unindexed && p.lag() == 0 && p.text_seq == Some(p.end.seq)
            };
            let messages: u64 = status.partitions.iter().map(|p| p.messages).sum();
            messages == 3_000 && status.partitions.iter().all(complete)
        })
    })
    .await;
    let query = Query { text: Some("turned checkout".to_owned()), limit: 1_000, ..Query::default() };
    let page = reader.query(&query).expect("a page");
    assert_eq!((page.rows.len(), page.unsearched), (1_000, 0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_record_holds_nothing_up() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..2)).await;
    let garbage = NewMessage {
        key: Bytes::from_static(b"acme/main/x"),
        headers: vec![("salt".into(), Bytes::from_static(b"0123456789abcdef"))],
        value: Some(Bytes::from_static(b"\xff\x00 no record")),
        placement: Placement::Fixed(0),
    };
    let outcomes = journal.append(Topic::Records, vec![garbage]).await;
    assert!(matches!(outcomes[0], AppendOutcome::Appended(_)));
    append(&journal, &records(2..4)).await;
    let running = Running::start(place.config(), &journal);
    let reader = place.reader();
    covered(&reader, &journal).await;
    running.stop().await;
    let status = reader.status().expect("a status");
    assert_eq!((status.partitions[0].messages, status.partitions[0].undecodable), (5, 1));
    let page = reader.query(&Query { limit: 10, ..Query::default() }).expect("a page");
    assert_eq!(page.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [4, 3, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_archiver_of_the_same_directory_is_refused_by_name() {
    let place = Place::new(1);
    let journal = place.journal().await;
    let first = Archiver::open(place.config(), &journal).expect("the archive opens");
    let refused = Archiver::open(place.config(), &journal);
    let Err(ArchiverError::Held(dir)) = refused else { panic!("{refused:?}") };
    assert_eq!(dir, place.archive_dir().display().to_string());
    assert!(rebuild(place.archive_dir()).is_err());
    drop(first);
    assert!(Archiver::open(place.config(), &journal).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_of_another_log_is_refused() {
    let (one, other) = (Place::new(1), Place::new(1));
    drop(Archiver::open(one.config(), &one.journal().await).expect("the archive opens"));
    let refused = Archiver::open(one.config(), &other.journal().await);
    assert!(matches!(refused, Err(ArchiverError::OtherLog { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_space_the_archive_pauses_and_says_so_while_the_log_goes_on() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..3)).await;
    let full = ArchiveConfig { free_bytes_min: u64::MAX, ..place.config() };
    let running = Running::start(full, &journal);
    let reader = place.reader();
    wait::until(CAUGHT_UP_WITHIN, "the archive says that it pauses", || async {
        reader.status().is_ok_and(|status| {
            status.partitions[0].stopped.as_deref().is_some_and(|why| why.contains("free_bytes_min"))
        })
    })
    .await;
    append(&journal, &records(3..6)).await;
    // It ends although it pauses.
    tokio::time::timeout(CAUGHT_UP_WITHIN, running.stop()).await.expect("it stops");
    assert_eq!(reader.ends().expect("ends")[0].seq, 0);
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    running.stop().await;
    let status = reader.status().expect("a status");
    assert_eq!((status.partitions[0].messages, status.partitions[0].stopped.as_deref()), (6, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_attempts_are_archived_beside_the_records() {
    let place = Place::new(2);
    let journal = place.journal().await;
    append(&journal, &records(0..5)).await;
    let attempt = |partition, status: u16| NewMessage {
        key: Bytes::from_static(b"e1"),
        headers: Vec::new(),
        value: Some(Bytes::from(format!(r#"{{"v":1,"endpoint":"e1","record":"r0","status":{status}}}"#))),
        placement: Placement::Fixed(partition),
    };
    let outcomes =
        journal.append(Topic::Deliveries, vec![attempt(1, 503), attempt(0, 200), attempt(1, 204)]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, AppendOutcome::Appended(_))), "{outcomes:?}");
    let running = Running::start(place.config(), &journal);
    covered(&place.reader(), &journal).await;
    let seen = || -> Vec<(u32, u16)> {
        let conn = sql_session(place.archive_dir()).expect("a session");
        let sql = "SELECT partition, status FROM delivery_attempts ORDER BY partition, seq";
        let mut select = conn.prepare(sql).expect("a statement");
        let rows = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    };
    wait::until(CAUGHT_UP_WITHIN, "three attempts are archived", || async { seen().len() == 3 }).await;
    running.stop().await;
    // A restart brings none of them again.
    let running = Running::start(place.config(), &journal);
    append(&journal, &records(5..6)).await;
    covered(&place.reader(), &journal).await;
    running.stop().await;
    assert_eq!(seen(), [(0, 200), (1, 503), (1, 204)]);
}
