//! What a file holds after messages of every kind, and after every way of being interrupted.

use audit_journal::Message;
use audit_proof::NodeHash;
use audit_record::Filter;
use bytes::Bytes;
use serde_json::json;

use super::tree::stored_trees;
use super::{Store, StoreError};
use crate::query::{Query, Reader};
use crate::samples::{file, identity, ids, message, record, store};

fn of_flag(flag: &str) -> Query {
    Query {
        filter: Filter { flag: vec![flag.to_owned()], ..Filter::default() },
        limit: 100,
        ..Query::default()
    }
}

fn messages(range: std::ops::Range<u64>) -> Vec<Message> {
    range.map(|n| message(n, &record(&format!("r{n}"), json!({})))).collect()
}

#[test]
fn rows_and_position_move_together() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&messages(0..3), 0, 10).expect("appended");
    assert_eq!(store.bookmark().next, 3);
    drop(store);
    let status = Reader::open(dir.path()).status().expect("a status");
    let [partition] = &status.partitions[..] else { panic!("one file") };
    assert_eq!((partition.end.next, partition.end.seq, partition.messages), (3, 3, 3));
    assert_eq!(partition.lag(), 7);
    assert_eq!(partition.text_seq, Some(3));
}

#[test]
fn what_came_from_each_source_is_counted_once_and_the_last_is_known() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let mut sent = messages(0..3);
    sent.push(message(3, &record("r1", json!({}))));
    store.append(&sent, 0, 4).expect("appended");
    store.append(&messages(0..3), 0, 4).expect("passed over");
    let last = sent.iter().map(|message| message.appended_at_ms).max().expect("a message");
    let sources = Reader::open(dir.path()).sources().expect("sources");
    let [(name, heard)] = &sources.iter().collect::<Vec<_>>()[..] else { panic!("one source: {sources:?}") };
    assert!(!name.is_empty());
    assert_eq!((heard.records, heard.last_appended_at_ms), (3, last));
}

#[test]
fn messages_brought_again_are_passed_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&messages(0..3), 0, 3).expect("appended");
    store.append(&messages(0..5), 0, 5).expect("appended");
    let rows = Reader::open(dir.path()).query(&of_flag("checkout")).expect("a page").rows;
    assert_eq!(ids(&rows), ["r4", "r3", "r2", "r1", "r0"]);
}

#[test]
fn the_index_of_words_is_merged_while_nothing_else_is_to_be_done_and_finds_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let count = crate::text::MERGED_AFTER_ROWS + 100;
    for start in (0..count).step_by(60) {
        store.append(&messages(start..count.min(start + 60)), 0, count).expect("appended");
    }
    let segments = |store: &Store| -> u64 {
        let count = "SELECT count(DISTINCT segid) FROM text_idx";
        store.conn.query_row(count, (), |row| row.get(0)).expect("a count")
    };
    let found = || {
        let query = Query { text: Some("turned checkout".to_owned()), limit: 1_000, ..Query::default() };
        ids(&Reader::open(dir.path()).query(&query).expect("a page").rows)
    };
    let (segments_before, found_before) = (segments(&store), found());
    let mut steps = 0;
    while store.improve_text().expect("improved") {
        steps += 1;
        assert!(steps < 10_000, "merging ends");
    }
    assert!(segments(&store) < segments_before, "{} of {segments_before}", segments(&store));
    assert_eq!(found(), found_before);
    assert!(!store.improve_text().expect("nothing to do"));
}

#[test]
fn a_transaction_that_fails_leaves_nothing_and_can_be_repeated() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&messages(0..1), 0, 3).expect("appended");
    // Another flag, so that a thing is written in the transaction that fails.
    let second = message(1, &record("r1", json!({"flag": {"key": "search"}})));
    store
        .conn
        .execute_batch(
            "CREATE TEMP TRIGGER no BEFORE UPDATE ON position BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .expect("a trigger");
    assert!(matches!(store.append(std::slice::from_ref(&second), 0, 3), Err(StoreError::Broken(_))));
    assert_eq!(store.bookmark().next, 1);
    store.conn.execute_batch("DROP TRIGGER no").expect("dropped");
    store.append(&[second], 0, 3).expect("appended");
    let rows = Reader::open(dir.path()).query(&of_flag("search")).expect("a page").rows;
    assert_eq!(ids(&rows), ["r1"]);
}

#[test]
fn a_second_writer_of_the_same_file_is_stopped_by_the_position() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut zombie = store(dir.path());
    let mut present = store(dir.path());
    present.append(&messages(0..2), 0, 2).expect("appended");
    let refused = zombie.append(&messages(0..1), 0, 2);
    assert!(matches!(refused, Err(StoreError::Broken(_) | StoreError::Superseded { .. })), "{refused:?}");
    let refused = zombie.advance(9);
    assert!(matches!(refused, Err(StoreError::Superseded { expected: 0, found: Some(2) })), "{refused:?}");
    present.append(&messages(2..3), 0, 3).expect("appended");
    let rows = Reader::open(dir.path()).query(&of_flag("checkout")).expect("a page").rows;
    assert_eq!(ids(&rows), ["r2", "r1", "r0"]);
}

#[test]
fn a_record_that_repeats_an_id_is_kept_and_shown_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let first = record("same", json!({}));
    let again = record("same", json!({"log": "something else"}));
    store
        .append(
            &[
                message(0, &first),
                message(1, &first),
                message(2, &again),
                message(3, &record("next", json!({}))),
            ],
            0,
            4,
        )
        .expect("appended");
    let reader = Reader::open(dir.path());
    assert_eq!(ids(&reader.query(&of_flag("checkout")).expect("a page").rows), ["next", "same"]);
    assert_eq!(reader.get("same").expect("found").len(), 1);
    assert_eq!(reader.status().expect("a status").partitions[0].duplicates, 2);
    let marks: Vec<(u64, Option<u64>)> =
        query(&store, "SELECT seq, duplicate_of FROM record ORDER BY seq", |row| {
            (row.get_unwrap(0), row.get_unwrap(1))
        });
    assert_eq!(marks, [(0, None), (1, Some(0)), (2, Some(0)), (3, None)]);
    let same: Vec<bool> = query(&store, "SELECT same FROM duplicates ORDER BY seq", |row| row.get_unwrap(0));
    assert_eq!(same, [true, false]);
    let shown: Vec<u64> = query(&store, "SELECT seq FROM audit_log ORDER BY seq", |row| row.get_unwrap(0));
    assert_eq!(shown, [0, 3]);
}

#[test]
fn one_id_under_two_routing_keys_is_two_records() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let one = message(0, &record("same", json!({})));
    let other = message(1, &record("same", json!({"project": {"id": "2"}})));
    let keyless = |offset| Message { key: Bytes::new(), ..message(offset, &record("same", json!({}))) };
    store.append(&[one, other, keyless(2), keyless(3)], 0, 4).expect("appended");
    let reader = Reader::open(dir.path());
    assert_eq!(reader.get("same").expect("found").len(), 3);
    assert_eq!(reader.status().expect("a status").partitions[0].duplicates, 1);
}

#[test]
fn what_is_no_record_is_kept_as_it_came() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let good = message(0, &record("good", json!({})));
    let with = |offset, value: Option<&[u8]>| Message {
        offset,
        value: value.map(Bytes::copy_from_slice),
        key: Bytes::from_static(b"\xff"),
        ..good.clone()
    };
    let author_is_a_word = String::from_utf8(record("x", json!({})).canonical().to_vec())
        .expect("JSON")
        .replace(r#""email":"ada@example.com""#, r#""email":5"#);
    let batch = [
        with(0, Some(b"\xfe not UTF-8")),
        with(1, Some(b"{\"id\":\"cut sho")),
        with(2, None),
        with(3, Some(b"{}")),
        with(4, Some(author_is_a_word.as_bytes())),
        Message { offset: 5, ..good.clone() },
    ];
    store.append(&batch, 0, 6).expect("appended");
    let reader = Reader::open(dir.path());
    assert_eq!(ids(&reader.query(&of_flag("checkout")).expect("a page").rows), ["good"]);
    let status = reader.status().expect("a status");
    assert_eq!((status.partitions[0].messages, status.partitions[0].undecodable), (6, 5));
    type Kept = (Option<Vec<u8>>, Vec<u8>, Vec<u8>, String);
    let kept: Vec<Kept> = query(
        &store,
        "SELECT raw, key, body_hash, problem FROM record WHERE problem IS NOT NULL ORDER BY seq",
        |row| (row.get_unwrap(0), row.get_unwrap(1), row.get_unwrap(2), row.get_unwrap(3)),
    );
    for (message, (raw, key, hash, problem)) in batch.iter().zip(kept) {
        assert_eq!(raw.as_deref(), message.value.as_deref());
        assert_eq!(key, b"\xff");
        let salt = message.header("salt").map(|salt| &salt[..]);
        assert_eq!(hash, audit_proof::body_hash(salt, message.value.as_deref()));
        assert!(!problem.is_empty());
    }
}

#[test]
fn the_bytes_of_a_record_come_back_as_they_were() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let many: serde_json::Map<_, _> = (0..100_000).map(|n| (n.to_string(), json!(0))).collect();
    let hard: serde_json::Value = serde_json::from_str(
        r#"{"n":9007199254740993,"big":123456789012345678901234567890.10,"nul":"a\u0000b"}"#,
    )
    .expect("JSON");
    let records = [
        record("emoji", json!({"flag": {"key": "🎉"}, "log": "\u{202e}right to left\u{202c} שלום"})),
        record("nul", json!({"flag": {"key": "a\u{0}b"}, "attributes": hard})),
        record("formula", json!({"flag": {"name": "=cmd|' /C calc'!A0"}})),
        record("many", json!({"attributes": many})),
    ];
    let batch: Vec<Message> = (0..).zip(&records).map(|(n, record)| message(n, record)).collect();
    store.append(&batch, 0, 4).expect("appended");
    let reader = Reader::open(dir.path());
    for (flag, wanted) in [("🎉", 0), ("a\u{0}b", 1), ("=cmd|' /C calc'!A0", 2), ("checkout", 3)] {
        let rows = reader.query(&of_flag(flag)).expect("a page").rows;
        let [row] = &rows[..] else { panic!("{flag:?} finds {} records", rows.len()) };
        assert_eq!(row.json.as_bytes(), records[wanted].canonical(), "{flag:?}");
    }
    let exact: String =
        query(&store, "SELECT attributes FROM audit_log WHERE id = 'nul'", |row| row.get_unwrap(0))
            .pop()
            .expect("a row");
    assert!(
        exact.contains("9007199254740993") && exact.contains("123456789012345678901234567890.10"),
        "{exact}"
    );
}

#[test]
fn a_record_that_sqlite_could_not_take_apart_is_kept_as_it_came_and_hinders_no_query() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let nested = |n: u64, depth: usize| {
        let record = record(&format!("r{n}"), json!({}));
        let text = std::str::from_utf8(record.canonical()).expect("text");
        // The record is the outermost of them.
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        let deep = format!("{},\"x\":{open}{close}}}", text.strip_suffix('}').expect("an object"));
        Message { value: Some(Bytes::from(deep)), ..message(n, &record) }
    };
    let batch = [nested(0, 900), nested(1, 901), nested(2, 5_000), nested(3, 2)];
    store.append(&batch, 0, 4).expect("appended");
    let seen: Vec<(String, Option<String>)> =
        query(&store, "SELECT id, attributes FROM audit_log WHERE id IS NOT NULL ORDER BY id", |row| {
            (row.get_unwrap(0), row.get_unwrap(1))
        });
    assert_eq!(seen.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ["r0", "r3"]);
    let kept: Vec<(u64, Vec<u8>, String)> =
        query(&store, "SELECT seq, raw, problem FROM record WHERE problem IS NOT NULL ORDER BY seq", |row| {
            (row.get_unwrap(0), row.get_unwrap(1), row.get_unwrap(2))
        });
    for ((seq, raw, problem), message) in kept.iter().zip(&batch[1..]) {
        assert_eq!((*seq, Some(&raw[..])), (message.offset, message.value.as_deref()));
        assert!(problem.contains("nested"), "{problem}");
    }
    assert_eq!(kept.len(), 2);
}

#[test]
fn a_new_epoch_goes_on_with_the_next_number() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&messages(0..3), 0, 3).expect("appended");
    let other: Vec<Message> = (0..2).map(|n| message(n, &record(&format!("new{n}"), json!({})))).collect();
    store.append(&other, 1, 2).expect("appended");
    assert_eq!((store.bookmark().next, store.bookmark().epoch), (2, 1));
    let epochs: Vec<(u32, u64)> =
        query(&store, "SELECT epoch, first_seq FROM epoch", |row| (row.get_unwrap(0), row.get_unwrap(1)));
    assert_eq!(epochs, [(0, 0), (1, 3)]);
    let rows = Reader::open(dir.path()).query(&of_flag("checkout")).expect("a page").rows;
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
}

#[test]
fn what_a_log_of_a_new_epoch_may_hold_is_missing_until_it_was_brought() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let lag = || Reader::open(dir.path()).status().expect("a status").partitions[0].lag();
    store.append(&messages(0..30), 0, 30).expect("appended");
    store.presume_missing(20).expect("written");
    assert_eq!(lag(), 20);
    store.append(&messages(0..8), 1, 20).expect("appended");
    assert_eq!((store.bookmark().next, lag()), (8, 12));
    // The one after it holds no message for all its offsets.
    store.presume_missing(4).expect("written");
    assert_eq!(lag(), 4);
    store.advance(4).expect("advanced");
    assert_eq!((store.bookmark().next, lag()), (8, 0));
}

/// Where each tree of a file begins, how many leaves it has, and its root.
fn trees(store: &Store) -> Vec<(u64, u64, NodeHash)> {
    let trees = stored_trees(&store.conn).expect("trees").into_iter();
    trees.map(|tree| (tree.first_seq, tree.frontier.size(), tree.frontier.root())).collect()
}

#[test]
fn a_log_that_begins_from_the_start_again_has_a_tree_of_its_own() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let [mut both, mut old, mut new] = dirs.each_ref().map(|dir| store(dir.path()));
    let other: Vec<Message> = (0..2).map(|n| message(n, &record(&format!("new{n}"), json!({})))).collect();
    let (before, more) = (messages(0..3), messages(2..300));
    both.append(&before, 0, 3).expect("appended");
    both.append(&other, 1, 2).expect("appended");
    both.append(&more, 1, 300).expect("appended");
    old.append(&before, 0, 3).expect("appended");
    new.append(&other, 1, 2).expect("appended");
    new.append(&more, 1, 300).expect("appended");
    let (of_old, of_new) = (trees(&old)[0].2, trees(&new)[0].2);
    assert_eq!(trees(&both), [(0, 3, of_old), (3, 300, of_new)]);
    drop(both);
    let report = crate::check(dirs[0].path()).expect("a report");
    assert!(report.is_sound(), "{report:?}");
    // Taken up again, it goes on.
    let mut both = store(dirs[0].path());
    let last = messages(300..301);
    both.append(&last, 1, 301).expect("appended");
    new.append(&last, 1, 301).expect("appended");
    assert_eq!(trees(&both)[1].2, trees(&new)[0].2);
}

#[test]
fn a_new_epoch_in_which_the_log_goes_on_continues_the_tree() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [mut one, mut other] = dirs.each_ref().map(|dir| store(dir.path()));
    let messages = messages(0..5);
    one.append(&messages[..3], 0, 3).expect("appended");
    one.append(&messages[3..], 7, 5).expect("appended");
    other.append(&messages, 7, 5).expect("appended");
    assert_eq!(trees(&one), trees(&other));
}

#[test]
fn a_tree_is_named_by_the_epoch_of_its_first_leaf() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [mut early, mut late] = dirs.each_ref().map(|dir| store(dir.path()));
    early.append(&messages(0..3), 0, 3).expect("appended");
    early.append(&messages(3..5), 7, 5).expect("appended");
    late.append(&messages(0..3), 7, 3).expect("appended");
    let trees = |store: &Store| -> Vec<(u64, u32)> {
        let trees = stored_trees(&store.conn).expect("trees");
        trees.iter().map(|tree| (tree.first_seq, tree.epoch)).collect()
    };
    assert_eq!((trees(&early), trees(&late)), (vec![(0, 0)], vec![(0, 7)]));
    let first = Reader::open(dirs[1].path()).trees(0).expect("trees").remove(0);
    assert_eq!((first.epoch, first.first_seq, first.size), (7, 0, 3));
}

#[test]
fn every_tree_of_a_file_still_tells_its_roots() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [mut both, mut old] = dirs.each_ref().map(|dir| store(dir.path()));
    let other: Vec<Message> = (0..2).map(|n| message(n, &record(&format!("new{n}"), json!({})))).collect();
    // Once: each message has a salt of its own.
    let first = messages(0..3);
    both.append(&first, 0, 3).expect("appended");
    both.append(&other, 1, 2).expect("appended");
    old.append(&first, 0, 3).expect("appended");
    let [both, old] = dirs.each_ref().map(|dir| Reader::open(dir.path()));
    let begins: Vec<u64> = both.trees(0).expect("trees").iter().map(|tree| tree.first_seq).collect();
    assert_eq!(begins, [0, 3]);
    for size in 1..=2 {
        let former = both.root_of(0, 0, size).expect("a root");
        assert_eq!(former, old.root(0, size).expect("a root"));
        let newest = both.root_of(0, 3, size).expect("a root");
        assert_eq!(newest, both.root(0, size).expect("a root"));
        assert_ne!(former, newest);
    }
    assert!(both.root_of(0, 3, 3).is_err() && both.root_of(0, 1, 1).is_err());
}

#[test]
fn a_transaction_that_fails_leaves_the_tree_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let messages = messages(0..600);
    store.append(&messages[..100], 0, 600).expect("appended");
    let before = trees(&store);
    let no = "CREATE TEMP TRIGGER no BEFORE UPDATE ON position BEGIN SELECT raise(ABORT, 'no'); END";
    store.conn.execute_batch(no).expect("a trigger");
    assert!(store.append(&messages[100..], 0, 600).is_err());
    assert_eq!(trees(&store), before);
    store.conn.execute_batch("DROP TRIGGER no").expect("dropped");
    store.append(&messages[100..], 0, 600).expect("appended");
    drop(store);
    let report = crate::check(dir.path()).expect("a report");
    assert!(report.is_sound() && report.messages == 600, "{report:?}");
}

#[test]
fn a_file_of_a_later_release_is_not_touched() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = store(dir.path());
    store.conn.pragma_update(None, "user_version", 99).expect("set");
    drop(store);
    assert!(matches!(Store::open(&file(dir.path()), &identity(0)), Err(StoreError::Newer { found: 99 })));
    let error = Reader::open(dir.path()).status().expect_err("a refusal").to_string();
    assert!(error.contains("later release"), "{error}");
}

#[test]
fn a_file_of_an_earlier_release_is_made_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut old = store(dir.path());
    old.append(&messages(0..3), 0, 3).expect("appended");
    old.conn.pragma_update(None, "user_version", 0).expect("set");
    drop(old);
    assert_eq!(store(dir.path()).bookmark().next, 0);
}

#[test]
fn a_file_of_another_log_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(store(dir.path()));
    let other = super::StoreIdentity { deployment: "another".to_owned(), ..identity(0) };
    assert!(matches!(Store::open(&file(dir.path()), &other), Err(StoreError::Other(_))));
    let more = super::StoreIdentity { partitions: 2, ..identity(0) };
    assert!(matches!(Store::open(&file(dir.path()), &more), Err(StoreError::Other(_))));
}

#[test]
fn a_write_ahead_log_left_behind_is_not_taken_for_a_new_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut old = store(dir.path());
    old.append(&messages(0..3), 0, 3).expect("appended");
    // The file goes and its log stays, as when a rebuild is killed between the two.
    std::fs::remove_file(file(dir.path())).expect("removed");
    let new = store(dir.path());
    assert_eq!(new.bookmark().next, 0);
    let rows: Vec<u64> = query(&new, "SELECT count(*) FROM record", |row| row.get_unwrap(0));
    assert_eq!(rows, [0]);
}

#[test]
fn words_are_caught_up_with_in_steps() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&messages(0..5_000), 0, 5_000).expect("appended");
    let search = Query { text: Some("CHECKOUT".to_owned()), limit: 10, ..Query::default() };
    let reader = Reader::open(dir.path());
    assert_eq!(reader.query(&search).expect("a page").unsearched, 5_000);
    assert!(store.improve_text().expect("some words"));
    assert_eq!(reader.query(&search).expect("a page").unsearched, 904);
    store.improve_text().expect("all words");
    let page = reader.query(&search).expect("a page");
    assert_eq!((page.unsearched, page.rows[0].seq, page.rows.len()), (0, 4_999, 10));
    store.append(&messages(5_000..5_001), 0, 5_001).expect("appended");
    assert_eq!(reader.query(&search).expect("a page").rows[0].seq, 5_000);
}

#[test]
fn delivery_attempts_have_a_position_of_their_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let attempt = |offset, value: &'static [u8]| Message {
        offset,
        value: Some(Bytes::from_static(value)),
        ..message(offset, &record("r", json!({})))
    };
    let first = br#"{"v":1,"endpoint":"e1","record":"r0","partition":0,"offset":4,"attempt":1,"at":"2026-09-30T12:00:00Z","duration_ms":12,"outcome":"retry","status":503}"#;
    store.append_attempts(&[attempt(7, first), attempt(9, b"no JSON")], 0, 11).expect("appended");
    store.append_attempts(&[attempt(9, b"no JSON")], 0, 11).expect("passed over");
    store.advance_attempts(11).expect("advanced");
    drop(store);
    let store = self::store(dir.path());
    assert_eq!((store.attempts_bookmark().next, store.bookmark().next), (11, 0));
    let seen: Vec<(Option<String>, Option<u16>, u64)> =
        query(&store, "SELECT endpoint, status, seq FROM delivery_attempts ORDER BY seq", |row| {
            (row.get_unwrap(0), row.get_unwrap(1), row.get_unwrap(2))
        });
    assert_eq!(seen, [(Some("e1".to_owned()), Some(503), 0), (None, None, 1)]);
}

fn query<T>(store: &Store, sql: &str, read: impl Fn(&rusqlite::Row<'_>) -> T) -> Vec<T> {
    let mut statement = store.conn.prepare(sql).expect("a statement");
    statement.query_map((), |row| Ok(read(row))).expect("rows").map(|row| row.expect("a row")).collect()
}
