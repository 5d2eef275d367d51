//! Intervals against a model that knows nothing of tables: events sorted, applied one by one.

use std::collections::BTreeMap;

use audit_journal::Message;
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::samples::{file, message, record, store};

/// One record, as a test says it.
#[derive(Clone, Debug)]
struct Said {
    subject: &'static str,
    scope: &'static str,
    role: &'static str,
    effect: &'static str,
    /// Minutes after the first.
    minute: i64,
}

fn said() -> impl Strategy<Value = Said> {
    (
        prop::sample::select(&["ada", "bob"][..]),
        prop::sample::select(&["shop", "blog"][..]),
        prop::sample::select(&["", "viewer", "editor"][..]),
        prop::sample::select(&["granted", "granted", "removed", "snapshot", "ended", "set"][..]),
        0..12_i64,
    )
        .prop_map(|(subject, scope, role, effect, minute)| Said { subject, scope, role, effect, minute })
}

const FIRST_US: i64 = 1_790_000_000_000_000;

fn at_us(minute: i64) -> i64 {
    FIRST_US + minute * 60_000_000
}

fn on_log(seq: u64, said: &Said) -> Message {
    let action = match said.effect {
        "ended" => "user.deleted",
        "removed" => "access.removed",
        "snapshot" => "access.snapshot",
        _ => "access.granted",
    };
    let effect = match said.effect {
        "ended" => "removed",
        "set" => "granted",
        other => other,
    };
    let at = audit_record::Timestamp::from_micros(at_us(said.minute)).expect("a time").to_string();
    let mut access = json!({
        "subject": {"type": "user", "id": said.subject, "email": format!("{}@example.com", said.subject)},
        "scope": {"type": "project", "id": said.scope},
        "effect": effect,
    });
    if !said.role.is_empty() {
        access["role"] = json!(said.role);
    }
    if said.effect == "set" {
        access["replaces"] = json!(true);
    }
    let over = json!({
        "action": action, "occurred_at": at, "related_object_type": "PROJECT_ACCESS",
        "project": {"id": said.scope}, "access": access,
    });
    message(seq, &record(&format!("r{seq}"), over))
}

/// Who, where and in which role; from when, whether that is a baseline, and until when.
type Held = (String, String, String, i64, bool, Option<i64>);

/// Which record did not fit, and how.
type Unfit = (u64, &'static str);

/// What the model makes of records.
fn model(all: &[Said]) -> (Vec<Held>, Vec<Unfit>) {
    let mut sorted: Vec<(u64, &Said)> = (0..).zip(all).collect();
    sorted.sort_by_key(|(seq, said)| (said.minute, *seq));
    let mut open: BTreeMap<(&str, &str, &str), (i64, bool)> = BTreeMap::new();
    let (mut held, mut unfit) = (Vec::new(), Vec::new());
    for (seq, said) in sorted {
        let own = (said.subject, said.scope, said.role);
        let of_group = |key: &(&str, &str, &str)| (key.0, key.1) == (said.subject, said.scope);
        let at = at_us(said.minute);
        if said.effect == "set" {
            let others: Vec<_> = open.keys().copied().filter(|key| of_group(key) && *key != own).collect();
            for key in others {
                let (from, baseline) = open.remove(&key).expect("it is open");
                held.push((key.0.into(), key.1.into(), key.2.into(), from, baseline, Some(at)));
            }
        }
        match said.effect {
            "granted" | "set" if open.contains_key(&own) => unfit.push((seq, "granted_again")),
            "granted" | "set" => drop(open.insert(own, (at, false))),
            "snapshot" => {
                let is_held =
                    if said.role.is_empty() { open.keys().any(of_group) } else { open.contains_key(&own) };
                if !is_held {
                    open.insert(own, (at, true));
                }
            }
            ending => {
                let all = ending == "ended" || said.role.is_empty();
                let ended: Vec<_> = open
                    .keys()
                    .copied()
                    .filter(|key| if all { of_group(key) } else { *key == own })
                    .collect();
                if ended.is_empty() && ending != "ended" {
                    unfit.push((seq, "removal_without_grant"));
                }
                for key in ended {
                    let (from, baseline) = open.remove(&key).expect("it is open");
                    held.push((key.0.into(), key.1.into(), key.2.into(), from, baseline, Some(at)));
                }
            }
        }
    }
    held.extend(
        open.into_iter()
            .map(|(key, (from, baseline))| (key.0.into(), key.1.into(), key.2.into(), from, baseline, None)),
    );
    held.sort();
    unfit.sort_unstable();
    (held, unfit)
}

fn archived(dir: &std::path::Path) -> (Vec<Held>, Vec<(u64, String)>) {
    let conn = Connection::open(file(dir)).expect("the file");
    let mut held: Vec<Held> = conn
        .prepare(
            "SELECT replace(h.identity, 'id:', ''), s.identity, i.role, i.from_us, i.baseline, i.until_us
             FROM access_interval i JOIN access_holder h USING (holder) JOIN access_scope s USING (scope)",
        )
        .expect("a statement")
        .query_map((), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .expect("rows")
        .collect::<rusqlite::Result<_>>()
        .expect("rows");
    held.sort();
    let unfit = conn
        .prepare("SELECT seq, kind FROM access_finding ORDER BY seq")
        .expect("a statement")
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("rows")
        .collect::<rusqlite::Result<_>>()
        .expect("rows");
    (held, unfit)
}

/// Archives these records in batches that end after the marked ones, the archive closed and opened again in between.
fn archive(all: &[Said], cuts: &[bool]) -> (Vec<Held>, Vec<(u64, String)>) {
    let dir = tempfile::tempdir().expect("a directory");
    let messages: Vec<Message> = (0..).zip(all).map(|(seq, said)| on_log(seq, said)).collect();
    let (mut batch, mut writer) = (Vec::new(), store(dir.path()));
    for (message, cut) in messages.into_iter().zip(cuts.iter().chain(std::iter::repeat(&false))) {
        batch.push(message);
        if *cut {
            writer.append(&batch, 0, all.len() as u64).expect("appended");
            batch.clear();
            drop(writer);
            writer = store(dir.path());
        }
    }
    writer.append(&batch, 0, all.len() as u64).expect("appended");
    drop(writer);
    let report = crate::check(dir.path()).expect("a report");
    assert!(report.is_sound(), "{report:?}");
    archived(dir.path())
}

fn named(unfit: &[Unfit]) -> Vec<(u64, String)> {
    unfit.iter().map(|(seq, kind)| (*seq, (*kind).to_owned())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn intervals_are_what_the_records_say_however_they_came(
        all in prop::collection::vec(said(), 1..40),
        cuts in prop::collection::vec(prop::bool::weighted(0.3), 40),
    ) {
        let (held, unfit) = model(&all);
        prop_assert_eq!(archive(&all, &cuts), (held.clone(), named(&unfit)));
        // In the order in which things happened, none is late.
        let mut sorted = all.clone();
        sorted.sort_by_key(|said| said.minute);
        prop_assert_eq!(archive(&sorted, &[]).0, held);
    }
}

fn say(effect: &'static str, role: &'static str, minute: i64) -> Said {
    Said { subject: "ada", scope: "shop", role, effect, minute }
}

#[test]
fn a_removal_that_names_no_role_ends_every_role() {
    let all = [say("granted", "viewer", 0), say("granted", "editor", 1), say("removed", "", 2)];
    let (held, unfit) = archive(&all, &[]);
    let ends: Vec<_> = held.iter().map(|held| (held.2.as_str(), held.5)).collect();
    assert_eq!(ends, [("editor", Some(at_us(2))), ("viewer", Some(at_us(2)))]);
    assert_eq!(unfit, []);
}

#[test]
fn a_role_in_place_of_another_ends_that_one() {
    let all = [say("granted", "viewer", 0), say("set", "editor", 4), say("set", "editor", 6)];
    let (held, unfit) = archive(&all, &[]);
    let spans: Vec<_> = held.iter().map(|held| (held.2.as_str(), held.3, held.5)).collect();
    assert_eq!(spans, [("editor", at_us(4), None), ("viewer", at_us(0), Some(at_us(4)))]);
    assert_eq!(unfit, [(2, "granted_again".to_owned())]);
}

#[test]
fn a_late_removal_ends_what_was_held_then_and_a_later_grant_is_one_of_its_own() {
    let all = [say("granted", "viewer", 0), say("granted", "viewer", 10), say("removed", "viewer", 5)];
    let (held, unfit) = archive(&all, &[true, true]);
    let spans: Vec<_> = held.iter().map(|held| (held.3, held.5)).collect();
    assert_eq!(spans, [(at_us(0), Some(at_us(5))), (at_us(10), None)]);
    assert_eq!(unfit, [], "the second grant is no longer one of what is held");
}

#[test]
fn a_baseline_gives_way_to_a_grant_that_comes_late() {
    let all = [say("snapshot", "viewer", 10), say("granted", "viewer", 3)];
    let (held, _) = archive(&all, &[true]);
    let spans: Vec<_> = held.iter().map(|held| (held.3, held.4, held.5)).collect();
    assert_eq!(spans, [(at_us(3), false, None)]);
}

#[test]
fn what_of_access_is_in_words_of_tomorrow_is_a_record_like_any_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = String::from_utf8(on_log(0, &say("granted", "viewer", 0)).value.expect("a value").to_vec());
    let tomorrow = text.expect("JSON").replace("\"granted\"", "\"lent\"");
    let message = Message { value: Some(tomorrow.into()), ..on_log(0, &say("granted", "viewer", 0)) };
    store(dir.path()).append(&[message], 0, 1).expect("appended");
    assert_eq!(archived(dir.path()), (Vec::new(), Vec::new()));
    assert!(crate::check(dir.path()).expect("a report").is_sound());
}

#[test]
fn the_views_say_who_granted_what_and_how_a_flag_came_to_be_what_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let flag = |n: u64, minute: i64, environment: &str, after: Value| {
        let at = audit_record::Timestamp::from_micros(at_us(minute)).expect("a time").to_string();
        let over = json!({
            "occurred_at": at, "environment": {"key": environment}, "change": {"after": after},
        });
        message(n, &record(&format!("r{n}"), over))
    };
    let messages = [
        on_log(0, &say("granted", "viewer", 0)),
        on_log(1, &say("removed", "", 1)),
        flag(2, 5, "prod", json!({"enabled": true})),
        flag(3, 4, "prod", json!({"enabled": false})),
        flag(4, 6, "dev", json!({"enabled": true})),
    ];
    store(dir.path()).append(&messages, 0, 5).expect("appended");
    let conn = crate::sql_session(dir.path()).expect("a session");
    let access: (String, String, String, String, String) = conn
        .query_row(
            "SELECT subject_email, role, granted_by, grant_record, removal_record FROM access",
            (),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
        .expect("an interval");
    let expected = ("ada@example.com", "viewer", "ada@example.com", "r0", "r1");
    assert_eq!(
        access,
        (expected.0.into(), expected.1.into(), expected.2.into(), expected.3.into(), expected.4.into())
    );
    let events: u64 =
        conn.query_row("SELECT count(*) FROM access_events", (), |row| row.get(0)).expect("a count");
    assert_eq!(events, 2);
    let versions: Vec<(u64, String, String, Option<String>)> = conn
        .prepare(
            "SELECT version, environment, id, valid_until FROM flag_versions WHERE flag = '5' ORDER BY environment, version",
        )
        .expect("a statement")
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .expect("rows")
        .collect::<rusqlite::Result<_>>()
        .expect("rows");
    let until = audit_record::Timestamp::from_micros(at_us(5)).expect("a time").to_string();
    assert_eq!(
        versions,
        [
            (1, "dev".into(), "r4".into(), None),
            (1, "prod".into(), "r3".into(), Some(until)),
            (2, "prod".into(), "r2".into(), None),
        ]
    );
}
