//! Who had access, over two partitions, against a model that looks at every record.

use audit_journal::Message;
use audit_record::Timestamp;
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::at::statement;
use super::*;
use crate::access::node::places;
use crate::layout::partition_file;
use crate::query::{QueryError, Reader};
use crate::samples::{identity, message, record};
use crate::store::Store;

const FIRST_US: i64 = 1_790_000_000_000_000;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_micros(FIRST_US + minute * 60_000_000).expect("a time")
}

fn us(minute: i64) -> i64 {
    at(minute).micros()
}

/// A record of access to `scope` ("account", or a project's id), with `over` in its place.
fn said(n: u64, minute: i64, subject: &str, scope: &str, effect: &str, over: Value) -> Message {
    let is_account = scope == "account";
    let mut fields = json!({
        "occurred_at": at(minute).to_string(),
        "action": match effect { "granted" => "access.granted", "removed" => "access.removed", _ => "access.snapshot" },
        "related_object_type": if is_account { "ACCOUNT_ACCESS" } else { "PROJECT_ACCESS" },
        "environment": null, "flag": null,
        "access": {
            "subject": {"type": "user", "id": subject, "email": format!("{}@Example.com", subject), "name": subject.to_uppercase()},
            "scope": if is_account { json!({"type": "account"}) } else { json!({"type": "project", "id": scope}) },
            "effect": effect,
        },
    });
    fields["project"] =
        if is_account { Value::Null } else { json!({"id": scope, "name": format!("The {scope}")}) };
    if let (Value::Object(fields), Value::Object(over)) = (&mut fields, over) {
        for (field, value) in over {
            if field == "role" || field == "replaces" {
                fields["access"][field.as_str()] = value;
            } else {
                fields.insert(field, value);
            }
        }
    }
    message(n, &record(&format!("r{n}-{minute}-{subject}-{scope}"), fields))
}

fn completed(n: u64, minute: i64) -> Message {
    let over = json!({
        "occurred_at": at(minute).to_string(), "action": "access.snapshot.completed",
        "related_object_type": "ACCOUNT_ACCESS", "project": {"id": "1"}, "environment": null, "flag": null,
    });
    message(n, &record(&format!("completed-{minute}"), over))
}

/// An archive of these partitions' records.
fn archived(partitions: &[Vec<Message>]) -> (tempfile::TempDir, Reader) {
    let dir = tempfile::tempdir().expect("a directory");
    for (partition, messages) in (0..).zip(partitions) {
        let mut store =
            Store::open(&partition_file(dir.path(), partition), &identity(partition)).expect("a file");
        store.append(messages, 0, messages.len() as u64).expect("appended");
    }
    let reader = Reader::open(dir.path());
    (dir, reader)
}

fn page(reader: &Reader, minute: i64, filter: AccessFilter) -> Vec<AccessRow> {
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        // Two at a time: most questions take several pages.
        let query = AccessQuery { at: at(minute), filter: filter.clone(), limit: 2, cursor };
        let page = reader.access(&query).expect("a page");
        assert_eq!(page.at, at(minute));
        rows.extend(page.rows);
        cursor = page.next.map(|next| next.to_string().parse().expect("our own cursor"));
        if cursor.is_none() {
            return rows;
        }
    }
}

fn shown(rows: &[AccessRow]) -> Vec<String> {
    let mut shown: Vec<String> = rows
        .iter()
        .map(|row| {
            let role = row.role.as_deref().unwrap_or("–");
            format!("{} {} {role}", row.subject.id.as_deref().unwrap_or("?"), row.scope_identity)
        })
        .collect();
    shown.sort();
    shown
}

fn of(field: impl FnOnce(&mut AccessFilter)) -> AccessFilter {
    let mut filter = AccessFilter::default();
    field(&mut filter);
    filter
}

#[test]
fn what_was_held_at_a_moment_is_found_by_person_project_role_scope_and_source() {
    let mut first = Vec::new();
    for (n, (subject, scope, role)) in (0..).zip([
        ("ada", "shop", "editor"),
        ("ada", "shop", "viewer"),
        ("bob", "shop", "viewer"),
        ("bob", "blog", ""),
    ]) {
        let over = if role.is_empty() { json!({}) } else { json!({"role": role}) };
        first.push(said(n, 10, subject, scope, "granted", over));
    }
    first.push(said(4, 20, "bob", "shop", "removed", json!({})));
    let (_dir, reader) = archived(&[first, vec![said(0, 10, "ada", "account", "granted", json!({}))]]);
    let all = ["ada  –", "ada shop editor", "ada shop viewer", "bob blog –", "bob shop viewer"];
    assert_eq!(shown(&page(&reader, 10, AccessFilter::default())), all, "from the moment on");
    assert_eq!(shown(&page(&reader, 9, AccessFilter::default())), [""; 0], "not before");
    assert_eq!(shown(&page(&reader, 20, AccessFilter::default())), all[..4], "not once it ended");
    for (filter, expected) in [
        (of(|f| f.subject = vec!["ADA@example.com".to_owned()]), &all[..3]),
        (of(|f| f.subject = vec!["BOB".to_owned()]), &all[3..]),
        (of(|f| f.project = vec!["The shop".to_owned()]), &[all[1], all[2], all[4]]),
        (of(|f| f.role = vec!["viewer".to_owned()]), &[all[2], all[4]]),
        (of(|f| f.scope = vec!["account".to_owned()]), &all[..1]),
        (of(|f| f.source = vec!["another".to_owned()]), &[]),
        (of(|f| f.organisation = vec!["acme".to_owned()]), &all),
        (
            of(|f| {
                f.subject = vec!["bob".to_owned()];
                f.project = vec!["blog".to_owned()];
            }),
            &all[3..4],
        ),
    ] {
        assert_eq!(shown(&page(&reader, 15, filter.clone())), expected, "{filter:?}");
    }
    let row = &page(&reader, 15, of(|f| f.role = vec!["editor".to_owned()]))[0];
    assert_eq!(row.begun.author.as_ref().and_then(|author| author.email.as_deref()), Some("ada@example.com"));
    assert_eq!((row.begun.record.as_str(), row.from(), row.until()), ("r0-10-ada-shop", Some(at(10)), None));
}

#[test]
fn access_to_an_environment_is_in_its_project() {
    let over = json!({
        "project": {"id": "shop"}, "environment": {"key": "prod"},
        "access": {
            "subject": {"type": "group", "name": "ops"}, "scope": {"type": "environment", "key": "prod"},
            "effect": "granted", "role": "admin",
        },
    });
    let (_dir, reader) = archived(&[vec![said(0, 0, "", "shop", "granted", over)]]);
    for filter in
        [of(|f| f.project = vec!["shop".to_owned()]), of(|f| f.environment = vec!["prod".to_owned()])]
    {
        let rows = page(&reader, 1, filter);
        assert_eq!(
            (rows.len(), rows[0].scope.as_str(), rows[0].identity.as_str()),
            (1, "environment", "name:ops")
        );
    }
    assert!(page(&reader, 1, of(|f| f.environment = vec!["dev".to_owned()])).is_empty());
}

#[test]
fn who_is_no_more_holds_nothing_whatever_partition_says_so_until_it_is_granted_again() {
    let ends = json!({"action": "user.deleted", "role": "Admin"});
    let projects = vec![
        said(0, 0, "ada", "shop", "granted", json!({})),
        said(1, 0, "bob", "shop", "granted", json!({})),
        said(2, 30, "ada", "shop", "granted", json!({})),
    ];
    let account = vec![
        said(0, 0, "ada", "account", "granted", json!({})),
        said(1, 10, "ada", "account", "removed", ends),
    ];
    let (_dir, reader) = archived(&[projects, account]);
    assert_eq!(shown(&page(&reader, 9, AccessFilter::default())), ["ada  –", "ada shop –", "bob shop –"]);
    assert_eq!(shown(&page(&reader, 10, AccessFilter::default())), ["bob shop –"]);
    assert_eq!(shown(&page(&reader, 30, AccessFilter::default())), ["ada shop –", "bob shop –"]);
}

#[test]
fn a_removal_from_the_account_ends_no_access_to_a_project_but_is_shown_with_it() {
    let projects = vec![said(0, 0, "ada", "shop", "granted", json!({}))];
    let account = vec![
        said(0, 0, "ada", "account", "granted", json!({})),
        said(1, 10, "ada", "account", "removed", json!({})),
    ];
    let (_dir, reader) = archived(&[projects, account]);
    let rows = page(&reader, 10, AccessFilter::default());
    assert_eq!(shown(&rows), ["ada shop –"]);
    assert_eq!(rows[0].account_removed_us, Some(us(10)));
    assert_eq!(page(&reader, 9, AccessFilter::default())[0].account_removed_us, None);
}

#[test]
fn what_a_whole_snapshot_does_not_have_is_held_and_marked_until_it_is_affirmed() {
    let grant = |n, subject, role: &str| said(n, 0, subject, "shop", "granted", json!({"role": role}));
    let snapshot = |n, subject, over| said(n, 10, subject, "shop", "snapshot", over);
    let mut records = vec![
        grant(0, "ada", "viewer"),
        grant(1, "ada", "editor"),
        grant(2, "bob", "viewer"),
        grant(3, "cyd", "viewer"),
        snapshot(4, "ada", json!({"role": "viewer"})),
        // Without a role it confirms any.
        snapshot(5, "bob", json!({})),
        snapshot(6, "dan", json!({"role": "viewer"})),
    ];
    let (_dir, reader) = archived(std::slice::from_ref(&records));
    let missing = |reader: &Reader, minute| {
        let rows = page(reader, minute, AccessFilter::default());
        let missing: Vec<AccessRow> =
            rows.iter().filter(|row| row.missing_from_snapshot_us == Some(us(10))).cloned().collect();
        (rows.len(), shown(&missing))
    };
    assert_eq!(missing(&reader, 10), (5, vec![]), "as long as not all of it is there");
    records.push(completed(7, 10));
    records.push(said(8, 20, "cyd", "shop", "granted", json!({"role": "viewer"})));
    let (_dir, reader) = archived(&[records]);
    assert_eq!(missing(&reader, 9), (4, vec![]));
    assert_eq!(missing(&reader, 10), (5, vec!["ada shop editor".to_owned(), "cyd shop viewer".to_owned()]));
    assert_eq!(missing(&reader, 20), (5, vec!["ada shop editor".to_owned()]));
    let dan = &page(&reader, 20, of(|f| f.subject = vec!["dan".to_owned()]))[0];
    assert!(dan.baseline && dan.from() == Some(at(10)));
}

#[test]
fn one_access_told_of_in_two_partitions_is_one_row_and_a_removal_in_either_ends_it() {
    let here = vec![said(0, 0, "ada", "shop", "granted", json!({"role": "viewer"}))];
    let there = vec![
        said(0, 1, "ada", "shop", "granted", json!({"role": "viewer"})),
        said(1, 10, "ada", "shop", "removed", json!({"role": "viewer"})),
        said(2, 20, "ada", "shop", "granted", json!({"role": "viewer"})),
    ];
    let (_dir, reader) = archived(&[here, there]);
    let rows = page(&reader, 5, AccessFilter::default());
    assert_eq!(
        (shown(&rows), &rows[0].also),
        (vec!["ada shop viewer".to_owned()], &vec!["r0-1-ada-shop".to_owned()])
    );
    assert_eq!(page(&reader, 10, AccessFilter::default()).len(), 0);
    let rows = page(&reader, 20, AccessFilter::default());
    assert_eq!(rows.iter().map(|row| row.partition).collect::<Vec<_>>(), [1], "as granted again there");
}

#[test]
fn a_role_that_another_partition_gives_in_its_place_ends_it() {
    let here = vec![
        said(0, 0, "ada", "shop", "granted", json!({"role": "viewer"})),
        said(1, 0, "bob", "shop", "granted", json!({"role": "editor"})),
    ];
    let there = vec![
        said(0, 10, "ada", "shop", "granted", json!({"role": "editor", "replaces": true})),
        said(1, 10, "bob", "shop", "granted", json!({"role": "editor", "replaces": true})),
    ];
    let (_dir, reader) = archived(&[here, there]);
    assert_eq!(shown(&page(&reader, 9, AccessFilter::default())), ["ada shop viewer", "bob shop editor"]);
    assert_eq!(shown(&page(&reader, 10, AccessFilter::default())), ["ada shop editor", "bob shop editor"]);
}

#[test]
fn what_a_snapshot_has_under_another_key_is_not_missing_from_it() {
    let here = vec![
        said(0, 0, "ada", "shop", "granted", json!({"role": "viewer"})),
        said(1, 0, "bob", "shop", "granted", json!({"role": "viewer"})),
        completed(2, 10),
    ];
    let there = vec![said(0, 10, "ada", "shop", "snapshot", json!({"role": "viewer"}))];
    let (_dir, reader) = archived(&[here, there]);
    let rows = page(&reader, 10, AccessFilter::default());
    assert_eq!(shown(&rows), ["ada shop viewer", "bob shop viewer"]);
    let missing: Vec<AccessRow> =
        rows.into_iter().filter(|row| row.missing_from_snapshot_us.is_some()).collect();
    assert_eq!(shown(&missing), ["bob shop viewer"]);
}

#[test]
fn a_history_has_every_interval_and_what_did_not_fit() {
    let records = vec![
        said(0, 0, "ada", "shop", "granted", json!({"role": "viewer"})),
        said(1, 5, "ada", "shop", "granted", json!({"role": "viewer"})),
        said(2, 10, "ada", "shop", "removed", json!({})),
        said(3, 11, "ada", "shop", "removed", json!({})),
        said(4, 20, "ada", "blog", "granted", json!({})),
        said(5, 0, "bob", "shop", "granted", json!({})),
        said(6, 7, "ada", "shop", "granted", json!({"role": "editor", "ticket": "SHOP-1"})),
    ];
    let (_dir, reader) = archived(&[
        records,
        vec![said(0, 30, "ada", "account", "removed", json!({"action": "user.deleted"}))],
    ]);
    let filter = of(|f| f.subject = vec!["ada@example.com".to_owned()]);
    let (mut rows, mut findings, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let query = AccessHistoryQuery { filter: filter.clone(), limit: 1, cursor };
        let page = reader.access_history(&query).expect("a page");
        rows.extend(page.rows);
        findings.extend(page.findings);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let spans: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.scope_identity.as_str(),
                row.role.as_deref(),
                row.from(),
                row.until(),
                row.ended_elsewhere_us,
            )
        })
        .collect();
    assert_eq!(
        spans,
        [
            ("shop", Some("editor"), Some(at(7)), Some(at(10)), None),
            ("shop", Some("viewer"), Some(at(0)), Some(at(10)), None),
            ("blog", None, Some(at(20)), None, Some(us(30))),
        ]
    );
    assert!(rows[0].begun.late && rows[0].begun.ticket.as_deref() == Some("SHOP-1"));
    let found: Vec<_> =
        findings.iter().map(|found| (found.kind.as_str(), found.said.record.as_str())).collect();
    assert_eq!(found, [("granted_again", "r1-5-ada-shop"), ("removal_without_grant", "r3-11-ada-shop"),]);
}

#[test]
fn the_last_act_of_somebody_is_of_the_source_and_not_after_the_moment() {
    let by = |n: u64, minute: i64, author: Value| {
        let over = json!({"occurred_at": at(minute).to_string(), "author": author});
        message(n, &record(&format!("r{n}"), over))
    };
    let ada = json!({"type": "user", "id": "ada"});
    let grace = json!({"type": "user", "email": "grace@example.com"});
    let (_dir, reader) = archived(&[
        vec![by(0, 1, ada.clone()), by(1, 5, grace.clone()), by(2, 9, ada.clone())],
        vec![by(0, 7, ada)],
    ]);
    let actor =
        |source: &str, label: &str| Actor { source: source.to_owned(), labels: vec![label.to_owned()] };
    let actors =
        [actor("main", "ada"), actor("main", "grace@example.com"), actor("other", "ada"), actor("main", "x")];
    assert_eq!(reader.last_acts(&actors, &[], at(8)).expect("acts"), [Some(at(7)), Some(at(5)), None, None]);
    assert_eq!(reader.last_acts(&actors[..1], &[], at(9)).expect("acts"), [Some(at(9))]);
    let in_project =
        |project: &str| reader.last_acts(&actors[..1], &[project.to_owned()], at(9)).expect("acts");
    assert_eq!((in_project("Shop"), in_project("Vault")), (vec![Some(at(9))], vec![None]));
}

#[test]
fn a_cursor_of_another_question_is_refused() {
    let records = (0..3).map(|n| said(n, 0, "ada", &format!("p{n}"), "granted", json!({}))).collect();
    let (_dir, reader) = archived(&[records]);
    let query = AccessQuery { at: at(1), filter: AccessFilter::default(), limit: 1, cursor: None };
    let next = reader.access(&query).expect("a page").next;
    let other = AccessQuery { filter: of(|f| f.role = vec!["x".to_owned()]), cursor: next.clone(), ..query };
    assert!(matches!(reader.access(&other), Err(QueryError::Cursor(_))));
    let history = AccessHistoryQuery { filter: AccessFilter::default(), limit: 1, cursor: next };
    assert!(matches!(reader.access_history(&history), Err(QueryError::Cursor(_))));
}

#[test]
fn every_place_is_read_by_a_range_of_its_index() {
    let (dir, _reader) = archived(&[vec![said(0, 0, "ada", "shop", "granted", json!({}))]]);
    let conn = Connection::open(partition_file(dir.path(), 0)).expect("the file");
    for place in std::iter::once(None).chain(places(us(0)).map(Some)) {
        let plan: Vec<String> = conn
            .prepare(&format!("EXPLAIN QUERY PLAN {}", statement(place)))
            .expect("a statement")
            .query_map([0; 6], |row| row.get(3))
            .expect("a plan")
            .collect::<rusqlite::Result<_>>()
            .expect("a plan");
        let [search] = &plan[..] else { panic!("one step, without sorting: {plan:?}") };
        let range = if place.is_none() { "(area=? AND from_us" } else { "(area=? AND node=? AND " };
        assert!(search.contains("SEARCH") && search.contains(range), "{search}");
    }
}

/// One record of the model: partition, minute, subject, scope, what, role.
type Told = (usize, i64, &'static str, &'static str, &'static str, &'static str);

fn told() -> impl Strategy<Value = Told> {
    (
        0..2_usize,
        0..10_i64,
        prop::sample::select(&["ada", "bob"][..]),
        prop::sample::select(&["shop", "shop", "account"][..]),
        prop::sample::select(
            &["granted", "granted", "granted", "removed", "snapshot", "ended", "completed"][..],
        ),
        prop::sample::select(&["", "viewer"][..]),
    )
}

/// Who holds what at a minute, and whether a snapshot lacks it: by looking at every record.
fn model(all: &[Told], minute: i64) -> Vec<(String, bool)> {
    let mut found = std::collections::BTreeMap::new();
    for partition in [1, 0] {
        let mut own: Vec<&Told> = all.iter().filter(|told| told.0 == partition && told.1 <= minute).collect();
        own.sort_by_key(|told| told.1);
        let mut open: std::collections::BTreeMap<(&str, &str, &str), i64> = std::collections::BTreeMap::new();
        for (_, at, subject, scope, what, role) in own {
            let any = |open: &std::collections::BTreeMap<(&str, &str, &str), i64>| {
                open.keys().any(|key| (key.0, key.1) == (*subject, *scope))
            };
            match *what {
                "completed" => {}
                "snapshot" if role.is_empty() && any(&open) => {}
                "granted" | "snapshot" => drop(open.entry((subject, scope, role)).or_insert(*at)),
                _ if *what == "ended" || role.is_empty() => {
                    open.retain(|key, _| (key.0, key.1) != (*subject, *scope));
                }
                _ => drop(open.remove(&(*subject, *scope, *role))),
            }
        }
        for ((subject, scope, role), from) in open {
            let affirmed = all
                .iter()
                .filter(|(p, at, s, c, what, r)| {
                    (*p, *s, *c) == (partition, subject, scope)
                        && *at <= minute
                        && ((*r == role && ["granted", "snapshot"].contains(what))
                            || (*what == "snapshot" && r.is_empty()))
                })
                .map(|told| told.1)
                .max();
            let against = |is: &dyn Fn(&Told) -> bool| {
                all.iter()
                    .filter(|told| told.1 > from && told.1 <= minute && is(told))
                    .map(|told| told.1)
                    .max()
            };
            let ended = against(&|told| told.4 == "ended" && told.2 == subject);
            let lacks = against(&|told| told.4 == "completed");
            if ended > affirmed {
                continue;
            }
            found.insert(format!("{subject} {scope} {role}"), lacks > affirmed);
        }
    }
    found.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn at_every_moment_the_answer_is_the_models(all in prop::collection::vec(told(), 1..25)) {
        // What a removal without a grant means elsewhere has a test of its own; here every removal has its partition.
        let home = |told: &Told| usize::from(told.3 == "account");
        let all: Vec<Told> = all.into_iter().map(|told| (home(&told), told.1, told.2, told.3, told.4, told.5)).collect();
        let mut partitions = [Vec::new(), Vec::new()];
        for (partition, minute, subject, scope, what, role) in &all {
            let messages = &mut partitions[*partition];
            let n = messages.len() as u64;
            let mut over = if role.is_empty() { json!({}) } else { json!({"role": role}) };
            messages.push(match *what {
                "completed" => {
                    let message = completed(n, *minute);
                    messages.push(message);
                    continue;
                }
                "ended" => {
                    over["action"] = json!("user.deleted");
                    said(n, *minute, subject, scope, "removed", over)
                }
                what => said(n, *minute, subject, scope, what, over),
            });
        }
        let (_dir, reader) = archived(&partitions);
        for minute in 0..11 {
            let rows = page(&reader, minute, AccessFilter::default());
            let mut found: Vec<(String, bool)> = rows.iter().map(|row| {
                let scope = if row.scope == "account" { "account" } else { &row.scope_identity };
                let subject = row.subject.id.as_deref().unwrap_or("?");
                let role = row.role.as_deref().unwrap_or("");
                (format!("{subject} {scope} {role}"), row.missing_from_snapshot_us.is_some())
            }).collect();
            found.sort();
            prop_assert_eq!(found, model(&all, minute), "at minute {}", minute);
        }
    }
}
