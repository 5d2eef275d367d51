//! What an erasure leaves, wherever the log's transactions ended, and whatever an order says.

use std::ops::Range;
use std::path::Path;
use std::slice;

use audit_journal::{Message, NewMessage, Placement};
use audit_proof::NodeHash;
use bytes::Bytes;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::erasure::{ERASED_ACTION, ErasureOrder};
use crate::query::Reader;
use crate::samples::{file, identity, message, on_log, record, store};

const EMAIL: &str = "zaphod.beeblebrox@example.com";

/// What a record says of access to project 1.
fn access(offset: u64, effect: &str, subject: &Value, role: &str) -> Message {
    let over = json!({
        "action": format!("access.{effect}"), "occurred_at": format!("2026-09-30T11:{offset:02}:00Z"),
        "related_object_type": "PROJECT_ACCESS", "related_object": {"id": "77"},
        "access": {"subject": subject, "scope": {"type": "project", "id": "1"}, "role": role, "effect": effect},
    });
    message(offset, &record(&format!("r{offset}"), over))
}

fn of_zaphod(offset: u64, id: &str, email: &str) -> Message {
    let author = json!({"type": "user", "id": "z-1", "email": email});
    message(offset, &record(id, json!({"author": author, "log": "→ — 🎉 Zaphod turned it on"})))
}

fn of_others(offset: u64) -> Message {
    message(offset, &record(&format!("other{offset}"), json!({})))
}

/// An order over a run of leaves of the tree as it is now.
fn order(dir: &Path, leaves: Range<u64>) -> ErasureOrder {
    let tree = Reader::open(dir).tree_heads().expect("heads").remove(0);
    ErasureOrder::new("request", 0, (tree.size, tree.root), slice::from_ref(&leaves))
}

/// The record that gives it.
fn given(offset: u64, order: &ErasureOrder) -> Message {
    let fields = json!({
        "action": ERASED_ACTION, "log": "Bodies were erased", "organisation": {"key": "~flagtrail"},
        "author": {"type": "api_key", "name": "admin"}, "project": null, "environment": null, "flag": null,
        "related_object_type": "FLAGTRAIL_ERASURE", "related_object": {"id": "request"},
        "attributes": {"erasure": order.vouched_for(&identity(0).tag_key)},
    });
    message(offset, &record(&format!("erasure{offset}"), fields))
}

fn texts(dir: &Path, select: &str) -> Vec<String> {
    let conn = Connection::open(file(dir)).expect("the file");
    let mut select = conn.prepare(select).expect("a statement");
    select.query_map((), |row| row.get(0)).expect("rows").map(|row| row.expect("a text")).collect()
}

fn erased(dir: &Path) -> Vec<String> {
    texts(dir, "SELECT CAST(seq AS TEXT) FROM record WHERE erased_by IS NOT NULL ORDER BY seq")
}

const HOLDERS: &str = "SELECT holder || ' ' || identity FROM access_holder ORDER BY holder";
const LABELS: &str =
    "SELECT label || ' of ' || number FROM access_label WHERE kind = 'subject' ORDER BY number, label";
const INTERVALS: &str =
    "SELECT holder || ' ' || role || ' ' || from_seq || ' to ' || coalesce(until_seq, '') FROM access_interval
     ORDER BY holder, from_seq";
const ANSWERS: &str =
    "SELECT json ->> '$.record' || ': ' || coalesce(json ->> '$.excerpt', '') || ', ' || (json ->> '$.outcome')
     FROM attempt ORDER BY seq";
const FINDINGS: &str = "SELECT seq || ' ' || kind FROM access_finding ORDER BY seq";

fn is_sound(dir: &Path) {
    let report = crate::check(dir).expect("a report");
    assert!(report.is_sound(), "{report:?}");
}

#[test]
fn an_archive_that_was_there_and_one_that_is_built_anew_come_to_the_same() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [there, anew] = dirs.each_ref().map(|dir| dir.path());
    let mut log = vec![
        access(0, "granted", &json!({"type": "user", "id": "z-1", "email": EMAIL}), "admin"),
        access(1, "granted", &json!({"type": "user", "id": "t-1", "email": "trillian@example.com"}), "admin"),
        access(2, "granted", &json!({"type": "user", "id": "t-1"}), "viewer"),
    ];
    let mut store_there = store(there);
    store_there.append(&log, 0, 3).expect("appended");
    log.push(given(3, &order(there, 0..2)));
    log.push(access(4, "removed", &json!({"type": "user", "id": "z-1"}), "admin"));
    store_there.append(&log[3..4], 0, 5).expect("appended");
    // The address that only the erased grant said is gone, the id that another record says is not; and a tag that is the
    // same in every partition stands for whom no other record names.
    let tag = identity(0).tag_key.holder("main", "user", "id:z-1");
    let forgotten = format!("1 erased:{}", hex::encode(tag.as_bytes()));
    assert_eq!(texts(there, HOLDERS), [forgotten.as_str(), "2 id:t-1"]);
    assert_eq!(texts(there, LABELS), ["t-1 of 2"]);
    store_there.append(&log[4..], 0, 5).expect("appended");
    store(anew).append(&log, 0, 5).expect("appended");
    for dir in [there, anew] {
        // What is said of him later meets what he was granted, and names him again.
        assert_eq!(texts(dir, HOLDERS), ["1 id:z-1", "2 id:t-1"]);
        assert_eq!(texts(dir, LABELS), ["z-1 of 1", "t-1 of 2"]);
        assert_eq!(texts(dir, INTERVALS), ["1 admin 0 to 4", "2 admin 1 to ", "2 viewer 2 to "]);
        assert!(texts(dir, FINDINGS).is_empty());
        assert_eq!(erased(dir), ["0", "1"]);
        is_sound(dir);
    }
}

/// A delivery attempt at a record, and what the receiver answered.
fn attempt(offset: u64, record: &str, excerpt: &str) -> Message {
    let value = json!({"v": 1, "endpoint": "e", "record": record, "outcome": "retry", "excerpt": excerpt});
    let (key, value) = ("e".into(), Some(value.to_string().into()));
    on_log(offset, NewMessage { key, headers: Vec::new(), value, placement: Placement::ByKey })
}

#[test]
fn what_receivers_answered_goes_with_the_body_whether_the_attempt_came_before_the_order_or_behind_it() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [there, anew] = dirs.each_ref().map(|dir| dir.path());
    let mut log = vec![of_zaphod(0, "one", EMAIL), of_others(1)];
    let answer = format!("unknown user {EMAIL}");
    let attempts =
        [attempt(0, "one", &answer), attempt(1, "other1", "unknown user"), attempt(2, "one", &answer)];
    let mut store_there = store(there);
    store_there.append(&log, 0, 2).expect("appended");
    store_there.append_attempts(&attempts[..2], 0, 2).expect("appended");
    log.push(given(2, &order(there, 0..1)));
    store_there.append(&log[2..], 0, 3).expect("appended");
    store_there.append_attempts(&attempts[2..], 0, 3).expect("appended");
    let mut store_anew = store(anew);
    store_anew.append_attempts(&attempts, 0, 3).expect("appended");
    store_anew.append(&log, 0, 3).expect("appended");
    for dir in [there, anew] {
        assert_eq!(texts(dir, ANSWERS), ["one: , retry", "other1: unknown user, retry", "one: , retry"]);
        is_sound(dir);
    }
}

#[test]
fn a_repeat_that_came_between_the_look_and_the_order_is_erased_too() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let [there, anew] = dirs.each_ref().map(|dir| dir.path());
    let mut log = vec![of_zaphod(0, "one", EMAIL), of_others(1)];
    let mut store_there = store(there);
    store_there.append(&log, 0, 2).expect("appended");
    let order = order(there, 0..1);
    log.extend([of_zaphod(2, "one", EMAIL), of_others(3), given(4, &order), of_zaphod(5, "one", EMAIL)]);
    for message in &log[2..] {
        store_there.append(slice::from_ref(message), 0, 6).expect("appended");
    }
    store(anew).append(&log, 0, 6).expect("appended");
    for dir in [there, anew] {
        assert_eq!(erased(dir), ["0", "2", "5"]);
        is_sound(dir);
    }
}

#[test]
fn a_repeat_in_a_former_tree_keeps_its_leaf() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&[of_zaphod(0, "one", EMAIL), of_others(1)], 0, 2).expect("appended");
    let order = order(dir.path(), 0..1);
    store.append(&[of_zaphod(2, "one", EMAIL)], 0, 3).expect("appended");
    // The log begins again; the order is about the tree before, and so is one of the repeats.
    store.append(&[of_others(0), of_zaphod(1, "one", EMAIL), given(2, &order)], 1, 3).expect("appended");
    assert_eq!(erased(dir.path()), ["0", "2", "4"]);
    is_sound(dir.path());
}

#[test]
fn an_order_reaches_no_further_than_its_tree() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&[of_others(0), of_zaphod(1, "one", EMAIL)], 0, 2).expect("appended");
    let leaves = vec![(1, u64::MAX), (u64::MAX - 1, u64::MAX)];
    let order = ErasureOrder { leaves, ..order(dir.path(), 0..1) };
    assert_eq!(order.count(), u64::MAX);
    store.append(&[of_others(2)], 0, 3).expect("appended");
    let followed = super::follow(&store.conn, &store.tag_key, 0, 3, &order).expect("no error");
    assert_eq!(followed, Ok(1));
    assert_eq!(erased(dir.path()), ["1"]);
}

#[test]
fn an_order_that_cannot_be_followed_is_an_alarm_and_one_that_is_not_ours_is_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&[of_zaphod(0, "one", EMAIL)], 0, 1).expect("appended");
    let honest = order(dir.path(), 0..1);
    let status = || Reader::open(dir.path()).status().expect("a status").partitions.remove(0);

    let mut forged = given(1, &honest);
    let body = forged.value.take().expect("a body");
    let body = String::from_utf8(body.to_vec()).expect("JSON").replace("[[0,1]]", "[[0,2]]");
    assert!(body.contains("[[0,2]]"), "{body}");
    forged.value = Some(Bytes::from(body));
    store.append(&[forged], 0, 2).expect("appended");
    assert_eq!((status().unfollowed, status().alarm), (0, None));

    let elsewhere = ErasureOrder { root: NodeHash::from_bytes([9; 32]), ..honest.clone() };
    store.append(&[given(2, &elsewhere)], 0, 3).expect("appended");
    let found = status();
    assert_eq!(found.unfollowed, 1);
    let alarm = found.alarm.expect("an alarm");
    assert!(alarm.starts_with("an erasure is not followed: message 2: the archive has no tree"), "{alarm}");
    let report = crate::check(dir.path()).expect("a report");
    assert!(report.findings.iter().any(|finding| finding.problem.contains("not followed")), "{report:?}");
    assert!(erased(dir.path()).is_empty());

    store.append(&[given(3, &honest)], 0, 4).expect("appended");
    assert_eq!((erased(dir.path()), status().unfollowed), (vec!["0".to_owned()], 1));
}

#[test]
fn words_behind_signs_are_taken_out_of_full_text() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&[of_zaphod(0, "one", EMAIL), of_others(1)], 0, 2).expect("appended");
    let found = || texts(dir.path(), "SELECT CAST(rowid AS TEXT) FROM text WHERE text MATCH 'zaphod'");
    assert_eq!(found(), ["0"]);
    store.append(&[given(2, &order(dir.path(), 0..1))], 0, 3).expect("appended");
    assert!(found().is_empty());
    is_sound(dir.path());
}

#[test]
fn why_a_message_was_no_record_no_longer_quotes_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let quoted = json!(EMAIL).to_string();
    let undecodable = Message { value: Some(Bytes::from(quoted)), ..of_others(0) };
    store.append(&[undecodable], 0, 1).expect("appended");
    let problem = || texts(dir.path(), "SELECT problem FROM undecodable").remove(0);
    assert!(problem().contains(EMAIL), "{}", problem());
    store.append(&[given(1, &order(dir.path(), 0..1))], 0, 2).expect("appended");
    assert_eq!(problem(), super::ERASED_PROBLEM);
    is_sound(dir.path());
}

#[test]
fn clearing_up_that_a_reader_puts_off_is_still_to_be_done() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    store.append(&[of_zaphod(0, "one", EMAIL)], 0, 1).expect("appended");
    store.finish_catch_up().expect("indexed");
    let reader = Connection::open(file(dir.path())).expect("the file");
    reader.execute_batch("BEGIN; SELECT count(*) FROM record").expect("a reader at work");
    store.append(&[given(1, &order(dir.path(), 0..1))], 0, 2).expect("appended");
    while store.clear_up().expect("cleared up") {}
    assert!(store.is_to_be_cleared_up());
    reader.execute_batch("COMMIT").expect("done");
    while store.clear_up().expect("cleared up") {}
    assert!(!store.is_to_be_cleared_up());
}
