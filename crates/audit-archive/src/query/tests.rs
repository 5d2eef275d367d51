//! Random records and questions, compared with a plain list.

use audit_journal::Message;
use audit_record::{ActionPattern, AuditRecord, Filter, Period, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Cursor, CursorError, Order, Query, QueryError, Reader};
use crate::layout::partition_file;
use crate::samples::{identity, ids, message, record, store};
use crate::store::Store;

/// Few words, so that ids, keys and names collide across things of all kinds.
const WORDS: [&str; 6] = ["a", "b", "checkout", "Ada", "=1", "ü"];

fn thing() -> impl Strategy<Value = Value> {
    let word = || proptest::option::of(proptest::sample::select(&WORDS));
    (word(), word(), word(), proptest::sample::select(&WORDS)).prop_map(|(id, key, name, fallback)| {
        let mut thing = serde_json::Map::new();
        for (field, word) in [("id", id), ("key", key), ("name", name)] {
            if let Some(word) = word {
                thing.insert(field.to_owned(), word.into());
            }
        }
        if thing.is_empty() {
            thing.insert("key".to_owned(), fallback.into());
        }
        Value::Object(thing)
    })
}

const ACTIONS: [&str; 5] =
    ["flag.created", "flag.state.changed", "flagtrail.test", "access.granted", "flag.state"];

fn over() -> impl Strategy<Value = Value> {
    let optional = || proptest::option::of(thing());
    (
        (thing(), optional(), optional(), optional(), thing()),
        proptest::sample::select(&ACTIONS),
        proptest::sample::select(&["FEATURE", "SEGMENT"]),
        proptest::sample::select(&WORDS[..2]),
        proptest::option::of(proptest::sample::select(&WORDS)),
        0_i64..40,
    )
        .prop_map(|((project, environment, flag, object, organisation), action, kind, source, email, second)| {
            let mut over = json!({
                "project": project,
                "organisation": organisation,
                "action": action,
                "related_object_type": kind,
                "related_object": object.unwrap_or_else(|| json!({})),
                "author": {"type": "user", "email": email},
                "occurred_at": Timestamp::from_micros(second * 1_000_000).expect("a time").to_string(),
                "source": {"name": source, "system": "s", "event": "e", "received_at": "2026-09-30T12:00:01Z",
                           "authenticated": "none"},
            });
            for (field, thing) in [("environment", environment), ("flag", flag)] {
                if let Some(thing) = thing {
                    over[field] = thing;
                }
            }
            over
        })
}

fn filter() -> impl Strategy<Value = Filter> {
    let some = || {
        prop_oneof![
            4 => Just(Vec::new()),
            2 => proptest::collection::vec(proptest::sample::select(&WORDS).prop_map(str::to_owned), 1..3),
        ]
    };
    let action = prop_oneof![
        3 => Just(Vec::new()),
        2 => proptest::sample::select(&["flag.*", "*", "flag.state.*", "flag.state", "access.granted", "no.such"])
            .prop_map(|pattern| vec![ActionPattern::try_new(pattern).expect("a pattern")]),
    ];
    let kind = prop_oneof![3 => Just(Vec::new()), 1 => Just(vec!["SEGMENT".to_owned()])];
    (some(), some(), some(), some(), some(), some(), some(), action, kind).prop_map(
        |(organisation, project, environment, flag, author, object, source, action, related_object_type)| {
            Filter {
                organisation,
                project,
                environment,
                flag,
                author,
                action,
                related_object_type,
                object,
                source,
            }
        },
    )
}

fn period() -> impl Strategy<Value = Period> {
    let edge = || {
        proptest::option::of((0_i64..40).prop_map(|s| Timestamp::from_micros(s * 1_000_000).expect("a time")))
    };
    (edge(), edge()).prop_map(|(from, to)| Period { from, to })
}

fn inside(period: Period, at: Timestamp) -> bool {
    period.from.is_none_or(|from| from <= at) && period.to.is_none_or(|to| at < to)
}

/// Walks every page of a question; `between` runs after each.
fn all_pages(reader: &Reader, query: &Query, mut between: impl FnMut()) -> Vec<String> {
    let mut query = query.clone();
    let mut found = Vec::new();
    loop {
        let page = reader.query(&query).expect("a page");
        found.extend(ids(&page.rows));
        between();
        match page.next {
            // As a caller would: through its text.
            Some(next) => query.cursor = Some(next.to_string().parse().expect("our own cursor")),
            None => return found,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pages_give_what_a_plain_list_gives(
        overs in proptest::collection::vec((over(), 0_u32..2, -3_i64..4), 1..60),
        filters in proptest::collection::vec((filter(), period(), any::<bool>(), 1_usize..9), 12),
        indexed in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut stores = [0, 1].map(|p| Store::open(&partition_file(dir.path(), p), &identity(p)).expect("a file"));
        let mut list: Vec<(i64, u32, u64, AuditRecord)> = Vec::new();
        let mut next = [0, 0];
        for (n, (over, partition, skew)) in overs.into_iter().enumerate() {
            let record = record(&format!("r{n:03}"), over);
            let offset = next[partition as usize];
            next[partition as usize] += 1;
            // Within a partition the log's clock never steps back here; between them it may.
            let appended_at_ms = (n as i64) * 10 + i64::from(partition) * skew;
            let message = Message { appended_at_ms, partition, ..message(offset, &record) };
            stores[partition as usize].append(&[message], 0, offset + 1).expect("appended");
            list.push((appended_at_ms, partition, offset, record));
        }
        if indexed {
            stores.iter_mut().for_each(|store| store.finish_catch_up().expect("indexed"));
        }
        list.sort_by_key(|(at, partition, seq, _)| (*at, *partition, *seq));
        let reader = Reader::open(dir.path());
        for (filter, period, newest, limit) in filters {
            let mut expected: Vec<String> = list
                .iter()
                .map(|(.., record)| record)
                .filter(|record| filter.matches(record) && inside(period, record.occurred_at()))
                .map(|record| record.id().to_owned())
                .collect();
            let order = if newest { Order::Newest } else { Order::Oldest };
            if newest {
                expected.reverse();
            }
            let query = Query { filter, period, order, limit, ..Query::default() };
            // What arrives between two pages belongs to later questions.
            let mut late = 0;
            let found = all_pages(&reader, &query, || {
                if late < 2 {
                    let offset = next[0];
                    next[0] += 1;
                    late += 1;
                    let record = record(&format!("late{offset}"), json!({}));
                    let message = Message { appended_at_ms: i64::MAX, ..message(offset, &record) };
                    stores[0].append(&[message], 0, offset + 1).expect("appended");
                    list.push((i64::MAX, 0, offset, record));
                }
            });
            prop_assert_eq!(&found, &expected);
            list.sort_by_key(|(at, partition, seq, _)| (*at, *partition, *seq));
            let mut scanned: Vec<_> = reader
                .scan(&query, reader.ends().expect("ends"), None)
                .expect("a scan")
                .map(|row| row.expect("a row"))
                .collect();
            let order: Vec<_> = scanned.iter().map(|row| (row.partition, row.seq)).collect();
            prop_assert!(order.is_sorted());
            scanned.retain(|row| !ids(std::slice::from_ref(row))[0].starts_with("late"));
            let mut scanned = ids(&scanned);
            scanned.sort();
            let mut expected: Vec<_> = expected.into_iter().filter(|id| !id.starts_with("late")).collect();
            expected.sort();
            prop_assert_eq!(scanned, expected);
        }
    }

    #[test]
    fn no_search_text_is_a_syntax_error(text in "\\PC{0,40}") {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = store(dir.path());
        store.append(&[message(0, &record("r", json!({})))], 0, 1).expect("appended");
        let query = Query { text: Some(text), limit: 10, ..Query::default() };
        match Reader::open(dir.path()).query(&query) {
            Ok(_) | Err(QueryError::EmptyText(_)) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn a_record_is_found_by_the_words_of_its_sentence(
        // Scripts whose letters FTS5 has known for long; the marks between letters of others split words.
        log in "[a-zA-Z0-9ß-öα-ωа-яא-ת一-龠 \\p{P}\u{0}\u{202e}🎉]{0,40}",
    ) {
        prop_assume!(log.chars().any(char::is_alphanumeric) && !log.contains('"'));
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = store(dir.path());
        store.append(&[message(0, &record("r", json!({"log": log})))], 0, 1).expect("appended");
        let query = Query { text: Some(log), limit: 10, ..Query::default() };
        prop_assert_eq!(Reader::open(dir.path()).query(&query).expect("a page").rows.len(), 1);
    }
}

#[test]
fn words_are_found_side_by_side_where_quotes_say_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let logs = ["turned ON the new-checkout flag", "checkout is new", "nothing here"];
    let batch: Vec<Message> = (0..)
        .zip(logs)
        .map(|(n, log)| {
            message(
                n,
                &record(&format!("r{n}"), json!({"log": log, "flag": {"id": "1"}, "related_object": {}})),
            )
        })
        .collect();
    store.append(&batch, 0, 3).expect("appended");
    let reader = Reader::open(dir.path());
    let search = |text: &str| {
        let query = Query { text: Some(text.to_owned()), limit: 10, ..Query::default() };
        ids(&reader.query(&query).expect("a page").rows)
    };
    assert_eq!(search("new CHECKOUT"), ["r1", "r0"]);
    assert_eq!(search("\"new checkout\""), ["r0"]);
    assert_eq!(search("new-checkout"), ["r0"]);
    assert_eq!(search("checkout OR here"), Vec::<String>::new());
    assert_eq!(search("ada@example.com nothing"), ["r2"]);
    // The sentence's last word and the next field's first are not side by side.
    assert_eq!(search("\"here Ada\""), Vec::<String>::new());
}

#[test]
fn a_period_includes_its_start_and_excludes_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let at = |text: &str| json!({"occurred_at": text});
    let times = [
        "2026-09-30T00:00:00Z",
        "2026-09-30T23:59:59.999999Z",
        "2026-10-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ];
    let batch: Vec<Message> =
        (0..).zip(times).map(|(n, time)| message(n, &record(&format!("r{n}"), at(time)))).collect();
    store.append(&batch, 0, 4).expect("appended");
    let time = |text: &str| Some(Timestamp::parse(text).expect("a time"));
    let period = Period { from: time("2026-09-30T00:00:00Z"), to: time("2026-10-01T00:00:00Z") };
    let query = Query { period, limit: 10, ..Query::default() };
    assert_eq!(ids(&Reader::open(dir.path()).query(&query).expect("a page").rows), ["r1", "r0"]);
}

/// An archive in which one record matches the filter, which no index narrows.
fn with_one_match(dir: &std::path::Path) -> Filter {
    let mut store = store(dir);
    let batch: Vec<Message> = (0..30_000)
        .map(|n| {
            let action = if n == 7 { "flag.deleted" } else { "flag.created" };
            message(n, &record(&format!("r{n}"), json!({"action": action})))
        })
        .collect();
    for chunk in batch.chunks(10_000) {
        store.append(chunk, 0, 30_000).expect("appended");
    }
    let action = vec![ActionPattern::try_new("flag.deleted").expect("a pattern")];
    Filter { action, ..Filter::default() }
}

#[test]
fn a_rare_conjunction_gives_partial_pages_that_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let filter = with_one_match(dir.path());
    let reader = Reader::open(dir.path());
    let mut query = Query { filter, limit: 10, ..Query::default() };
    let first = reader.query(&query).expect("a page");
    assert!(first.partial && first.rows.is_empty());
    query.cursor = first.next;
    assert_eq!(all_pages(&reader, &query, || {}), ["r7"]);
}

#[test]
fn a_scan_that_finds_little_comes_back_after_every_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let filter = with_one_match(dir.path());
    let reader = Reader::open(dir.path());
    let query = Query { filter, ..Query::default() };
    let ends = reader.ends().expect("ends");
    let mut scan = reader.scan(&query, ends.clone(), None).expect("a scan");
    let (mut found, mut sessions_in_vain) = (Vec::new(), 0);
    while let Some(looked) = scan.look_on() {
        match looked.expect("a session") {
            Some(row) => found.push(row),
            None => sessions_in_vain += 1,
        }
    }
    assert_eq!(ids(&found), ["r7"]);
    assert!(sessions_in_vain > 1, "{sessions_in_vain}");
    let rows: Vec<_> =
        reader.scan(&query, ends, None).expect("a scan").map(|row| row.expect("a row")).collect();
    assert_eq!(rows, found);
}

#[test]
fn a_cursor_of_another_question_is_refused_by_the_reader() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let batch: Vec<Message> = (0..3).map(|n| message(n, &record(&format!("r{n}"), json!({})))).collect();
    store.append(&batch, 0, 3).expect("appended");
    let reader = Reader::open(dir.path());
    let next = reader.query(&Query { limit: 1, ..Query::default() }).expect("a page").next;
    let cursor: Option<Cursor> = next;
    assert!(cursor.is_some());
    let other = reader.query(&Query { limit: 1, order: Order::Oldest, cursor, ..Query::default() });
    assert!(matches!(other, Err(QueryError::Cursor(CursorError::OtherQuery))));
}

#[test]
fn a_scan_resumes_after_the_row_that_came_last() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = store(dir.path());
    let batch: Vec<Message> = (0..3_000).map(|n| message(n, &record(&format!("r{n}"), json!({})))).collect();
    store.append(&batch, 0, 3_000).expect("appended");
    let reader = Reader::open(dir.path());
    let ends = reader.ends().expect("ends");
    let mut scan = reader.scan(&Query::default(), ends.clone(), None).expect("a scan");
    let first: Vec<_> = scan.by_ref().take(1_234).map(|row| row.expect("a row").seq).collect();
    let rest = reader.scan(&Query::default(), ends, Some(scan.position())).expect("a scan");
    let all: Vec<u64> = first.into_iter().chain(rest.map(|row| row.expect("a row").seq)).collect();
    assert_eq!(all, (0..3_000).collect::<Vec<_>>());
}

#[test]
fn without_an_archive_every_question_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(matches!(Reader::open(dir.path()).query(&Query::default()), Err(QueryError::NoArchive(_))));
    let missing = Reader::open(dir.path().join("missing"));
    assert!(matches!(missing.status(), Err(QueryError::NoArchive(_))));
}
