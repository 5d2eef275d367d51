//! Erasing: bodies are gone from the file, numbers, headers, proofs and checkpoints stay.

use std::collections::BTreeSet;
use std::path::Path;

use audit_archive::{
    Concerned, ERASED_ACTION, ErasureOrder, LeftOff, Order, Query, Reader, Subjects, check, rebuild,
    sql_session,
};
use audit_journal::{AppendOutcome, Journal, NewMessage, Placement, Topic};
use audit_proof::{Leaf, leaf_hash, verify_inclusion};
use audit_record::{AuditRecord, Filter};
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{CAUGHT_UP_WITHIN, Place, Running, append, archived, covered, record, records};

const PERSON: &str = "zaphod.beeblebrox@example.com";

/// 40 records of others, and among them five that concern one person, one of which came twice, and one that mentions him.
fn of_many_and_him() -> Vec<AuditRecord> {
    let by = |id: &str| {
        record(id, "p", json!({"author": {"type": "user", "id": "z-1", "email": PERSON, "name": "Zaphod"}}))
    };
    let about = record(
        "granted",
        "p",
        json!({
            "action": "access.granted", "log": format!("{PERSON} became an administrator"),
            "related_object_type": "PROJECT_ACCESS", "related_object": {"id": "77"},
            "access": {"subject": {"type": "user", "id": "z-1", "email": PERSON}, "scope": {"type": "project", "id": "p"},
                       "role": "admin", "effect": "granted"},
        }),
    );
    let account = record(
        "account",
        "p",
        json!({"related_object_type": "USER", "related_object": {"id": "z-1", "name": "Zaphod Beeblebrox"}}),
    );
    let mention = record("mention", "p", json!({"reason": format!("asked for by {PERSON}")}));
    let of_him = vec![by("one"), by("two"), about, account, mention, by("three"), by("two")];
    [records(0..20), of_him, records(20..40)].concat()
}

fn subjects() -> Subjects {
    Subjects::new(&["Zaphod.Beeblebrox@example.com".to_owned(), "z-1".to_owned()], None)
}

fn find(reader: &Reader) -> Vec<Concerned> {
    let looked = reader.concerning(&subjects(), None, |_| false).expect("an answer").expect("a beginning");
    assert_eq!(looked.left_off, None);
    looked.found
}

fn order(journal: &Journal, concerned: &Concerned, over: &Value) -> NewMessage {
    let tree = &concerned.tree;
    let order = ErasureOrder::new("request", tree.partition, (tree.size, tree.root), &concerned.leaves);
    let order = order.vouched_for(&journal.identity().tag_key());
    let mut fields = json!({
        "action": ERASED_ACTION, "log": "Bodies were erased", "organisation": {"key": "~flagtrail"},
        "author": {"type": "api_key", "name": "admin"}, "related_object_type": "FLAGTRAIL_ERASURE",
        "related_object": {"id": "request"}, "project": null, "flag": null, "attributes": {"erasure": order},
    });
    if let (Value::Object(fields), Value::Object(over)) = (&mut fields, over) {
        fields.extend(over.clone());
    }
    let record: AuditRecord = record(&format!("erasure-{}", tree.partition), "p", fields);
    NewMessage { placement: Placement::Fixed(tree.partition), ..journal.record_message(&record) }
}

async fn erase(journal: &Journal, reader: &Reader) {
    let messages: Vec<NewMessage> = find(reader)
        .iter()
        .filter(|found| !found.leaves.is_empty())
        .map(|found| order(journal, found, &json!({})))
        .collect();
    for outcome in journal.append(Topic::Records, messages).await {
        assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
    }
    covered(reader, journal).await;
}

/// Every byte that SQLite keeps of an archive.
fn bytes_of(dir: &Path) -> Vec<u8> {
    let files = dir.read_dir().expect("the archive").map(|entry| entry.expect("an entry").path());
    files.flat_map(|file| std::fs::read(file).expect("a file")).collect()
}

fn says(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

fn everything(reader: &Reader, text: Option<&str>) -> Vec<audit_archive::Row> {
    let query =
        Query { text: text.map(str::to_owned), limit: 1_000, order: Order::Oldest, ..Query::default() };
    reader.query(&query).expect("a page").rows
}

/// Waits until nothing in the files says the person's address but the record that mentions him.
async fn cleared(place: &Place) {
    wait::until(CAUGHT_UP_WITHIN, "the files no longer hold what was erased", || async {
        let bytes = bytes_of(&place.archive_dir());
        !says(&bytes, "became an administrator")
            && !says(&bytes, "\"z-1\"")
            && !says(&bytes, "Zaphod Beeblebrox")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_a_person_is_gone_and_every_proof_stays() {
    let (place, journal, reader, running) = archived(2, &of_many_and_him()).await;
    let found = find(&reader);
    let count = |runs: fn(&Concerned) -> &Vec<std::ops::Range<u64>>| {
        found.iter().map(|concerned| Concerned::count(runs(concerned))).sum::<u64>()
    };
    assert_eq!((count(|found| &found.leaves), count(|found| &found.mentions)), (6, 1));
    assert!(says(&bytes_of(&place.archive_dir()), "became an administrator"));
    let heads = reader.tree_heads().expect("heads");
    let of = |id: &str| reader.get(id).expect("an answer").remove(0);
    let before: Vec<_> = ["one", "two", "granted", "account", "three", "r5"]
        .iter()
        .map(|id| (*id, reader.prove_inclusion(of(id).partition, of(id).seq, None).expect("a proof")))
        .collect();

    erase(&journal, &reader).await;
    // What was erased and is sent again is not there again.
    let again = record(
        "one",
        "p",
        json!({"author": {"type": "user", "id": "z-1", "email": PERSON, "name": "Zaphod"}}),
    );
    append(&journal, &[again]).await;
    covered(&reader, &journal).await;
    cleared(&place).await;
    running.stop().await;
    check_erased(&place, &reader);
    for head in &heads {
        assert_eq!(reader.root(head.partition, head.size).expect("a root"), head.root);
    }
    for (id, proof) in &before {
        let row = of(id);
        let now = reader.prove_inclusion(row.partition, row.seq, Some(proof.tree.size)).expect("a proof");
        assert_eq!((&now.entry, &now.hashes, now.tree.root), (&proof.entry, &proof.hashes, proof.tree.root));
        assert_eq!(now.salt.is_none(), row.erased);
        let leaf = leaf_hash(&now.entry);
        assert_eq!(verify_inclusion(&leaf, now.index, now.tree.size, &now.hashes, &now.tree.root), Ok(()));
        assert_eq!(Leaf::parse(&now.entry).expect("a leaf").record.expect("a record").id, *id);
    }

    // Built anew from the log, which still has the bodies, it comes to the same.
    let roots = reader.tree_heads().expect("heads");
    rebuild(place.archive_dir()).expect("removed");
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    cleared(&place).await;
    running.stop().await;
    check_erased(&place, &reader);
    assert_eq!(reader.tree_heads().expect("heads"), roots);
}

fn check_erased(place: &Place, reader: &Reader) {
    let report = check(place.archive_dir()).expect("a report");
    assert!(report.is_sound(), "{report:?}");
    assert!(find(reader).iter().all(|found| found.leaves.is_empty()));
    let rows = everything(reader, None);
    let erased: Vec<Value> = rows
        .iter()
        .filter(|row| row.erased)
        .map(|row| serde_json::from_str(&row.json).expect("JSON"))
        .collect();
    let mut ids: Vec<&str> = erased.iter().map(|row| row["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["account", "granted", "one", "three", "two"]);
    for row in &erased {
        assert!(row["erased"]["by"].as_str().unwrap().starts_with("erasure-"), "{row}");
        assert_eq!((&row["project"]["key"], row.get("author"), row.get("log")), (&json!("p"), None, None));
    }
    // Its words find the one that mentions him, and nothing else.
    assert_eq!(everything(reader, Some("zaphod")).len(), 1);
    assert_eq!(everything(reader, Some("administrator")).len(), 0);
    let by = Query {
        filter: Filter { author: vec![PERSON.to_owned()], ..Filter::default() },
        limit: 10,
        ..Query::default()
    };
    assert!(reader.query(&by).expect("a page").rows.is_empty());
    let sql = sql_session(place.archive_dir()).expect("a session");
    let count = |select: &str| sql.query_row(select, (), |row| row.get::<_, u64>(0)).expect("a count");
    for partition in ["p00", "p01"] {
        let named = format!(
            "SELECT (SELECT count(*) FROM {partition}.access_holder WHERE identity NOT LIKE 'erased:%')
               + (SELECT count(*) FROM {partition}.access_label WHERE kind = 'subject')"
        );
        assert_eq!(count(&named), 0);
    }
    assert_eq!(
        count("SELECT count(*) FROM audit_log WHERE erased_by IS NOT NULL AND occurred_at IS NOT NULL"),
        5
    );
    assert_eq!(count("SELECT count(*) FROM audit_log WHERE author_email LIKE 'zaphod%'"), 0);
    for partition in ["p00", "p01"] {
        assert_eq!(
            count(&format!(
                "SELECT count(*) FROM {partition}.label WHERE label LIKE 'zaphod%' OR label = 'z-1'"
            )),
            0
        );
        assert_eq!(count(&format!("SELECT count(*) FROM {partition}.orphan")), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_is_left_off_again_and_again_finds_the_same_and_a_place_of_another_log_is_refused() {
    // More than are read at a time, in one partition.
    let many = |range: std::ops::Range<u64>| -> Vec<AuditRecord> {
        range.map(|n| record(&format!("m{n}"), "p", json!({}))).collect()
    };
    let all = [many(0..2_500), of_many_and_him()].concat();
    let (_place, journal, reader, running) = archived(2, &all).await;
    let whole = find(&reader);
    let (mut pieces, mut from): (Vec<Vec<Concerned>>, Option<LeftOff>) = (Vec::new(), None);
    let mut left_off_within = 0;
    loop {
        let looked = reader.concerning(&subjects(), from.as_ref(), |_| true).expect("an answer");
        let looked = looked.expect("this archive's own place");
        pieces.push(looked.found);
        let Some(left_off) = looked.left_off else { break };
        assert_ne!(Some(&left_off), from.as_ref(), "it gets on");
        left_off_within += usize::from(left_off.leaf > 0);
        from = Some(left_off);
        // What comes meanwhile moves nothing.
        append(&journal, &many(5_000..5_001)).await;
        covered(&reader, &journal).await;
    }
    assert!(pieces.len() > 1 && left_off_within > 0, "{pieces:?}");
    let leaves = |found: &[Concerned]| {
        let all = found.iter().flat_map(|concerned| {
            let partition = concerned.tree.partition;
            let (leaves, mentions) = (concerned.leaves.iter(), concerned.mentions.iter());
            let all = leaves.map(|run| (true, run)).chain(mentions.map(|run| (false, run)));
            all.flat_map(move |(concerns, run)| run.clone().map(move |leaf| (partition, leaf, concerns)))
        });
        all.collect::<BTreeSet<_>>()
    };
    assert_eq!(leaves(&pieces.concat()), leaves(&whole));
    let mut elsewhere = from.expect("the last place");
    elsewhere.root = audit_proof::NodeHash::from_bytes([9; 32]);
    assert_eq!(reader.concerning(&subjects(), Some(&elsewhere), |_| true).expect("an answer"), None);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_others_or_about_another_tree_changes_nothing() {
    let (_place, journal, reader, running) = archived(1, &of_many_and_him()).await;
    let all = find(&reader);
    let [found] = &all[..] else { panic!("one partition") };
    // Anybody may append a record with that action; it counts under our own name alone, and made with the log's secret.
    let by_others = order(&journal, found, &json!({"organisation": {"key": "acme"}}));
    let mut elsewhere = found.clone();
    elsewhere.tree.root = audit_proof::NodeHash::from_bytes([9; 32]);
    let of_tree = (found.tree.size, found.tree.root);
    let later = ErasureOrder { v: 2, ..ErasureOrder::new("request", 0, of_tree, &found.leaves) };
    let forged = json!({"id": "forged", "attributes": {"erasure": &later}});
    let later = later.vouched_for(&journal.identity().tag_key());
    let later = json!({"id": "later", "attributes": {"erasure": later}});
    let messages = vec![
        by_others,
        order(&journal, found, &forged),
        order(&journal, &elsewhere, &json!({"id": "elsewhere"})),
        order(&journal, found, &later),
    ];
    for outcome in journal.append(Topic::Records, messages).await {
        assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
    }
    covered(&reader, &journal).await;
    running.stop().await;
    assert!(everything(&reader, None).iter().all(|row| !row.erased));
    assert_eq!(find(&reader)[0].leaves, found.leaves);
    // What this log ordered and could not be followed is a duty that was not carried out.
    let status = reader.status().expect("a status").partitions.remove(0);
    assert_eq!(status.unfollowed, 2);
    assert!(status.alarm.is_some_and(|alarm| alarm.contains("an erasure is not followed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nothing_but_erased_records_said_is_in_no_byte_of_the_files() {
    let address = "trillian.astra@example.com";
    let subject = json!({"type": "user", "id": "t-1", "email": address});
    let granted = |id: &str, subject: &Value| {
        let access = json!({"subject": subject, "scope": {"type": "project", "id": "p"}, "role": "admin", "effect": "granted"});
        let author = json!({"type": "user", "id": "t-1", "email": address, "name": "Trillian"});
        record(id, "p", json!({"action": "access.granted", "author": author, "access": access}))
    };
    let all = [records(0..20), vec![granted("first", &subject), granted("again", &subject)]].concat();
    let (place, journal, reader, running) = archived(1, &all).await;
    assert!(says(&bytes_of(&place.archive_dir()), address));
    let person = Subjects::new(&[address.to_owned()], None);
    let looked = reader.concerning(&person, None, |_| false).expect("an answer").expect("a beginning");
    let found = looked.found.into_iter().next().expect("something of them");
    // It is sent again before the order is there.
    append(&journal, &[granted("first", &subject), record("later", "p", json!({}))]).await;
    covered(&reader, &journal).await;
    let ordered = journal.append(Topic::Records, vec![order(&journal, &found, &json!({}))]).await;
    assert!(matches!(ordered[..], [AppendOutcome::Appended(_)]), "{ordered:?}");
    covered(&reader, &journal).await;
    let gone = || async { !says(&bytes_of(&place.archive_dir()), address) };
    wait::until(CAUGHT_UP_WITHIN, "no file says the address", gone).await;
    // What came of each source is counted as before.
    let heard = reader.sources().expect("sources")["main"].records;
    assert_eq!(heard, 20 + 2 + 1 + 1);
    running.stop().await;

    rebuild(place.archive_dir()).expect("removed");
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    wait::until(CAUGHT_UP_WITHIN, "no file says the address", gone).await;
    running.stop().await;
    assert_eq!(reader.sources().expect("sources")["main"].records, heard);
    let report = check(place.archive_dir()).expect("a report");
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_gone_without_an_erasure_is_found() {
    let (place, journal, reader, running) = archived(1, &of_many_and_him()).await;
    erase(&journal, &reader).await;
    running.stop().await;
    let file = rusqlite::Connection::open(place.archive_dir().join("records-00.sqlite")).expect("the file");
    for (sql, named) in [
        (
            "UPDATE record SET json = '{}' WHERE id = 'two' AND duplicate_of IS NULL",
            "its body was erased, and is there",
        ),
        ("UPDATE record SET json = NULL WHERE id = 'two' AND duplicate_of IS NULL", ""),
        (
            "UPDATE record SET erased_by = 3 WHERE id = 'three'; UPDATE record SET json = NULL WHERE seq = 3",
            "is no erasure",
        ),
    ] {
        file.execute_batch(sql).expect("tampered with");
        let report = check(place.archive_dir()).expect("a report");
        let found: Vec<&str> = report.findings.iter().map(|finding| finding.problem.as_str()).collect();
        assert_eq!(found.is_empty(), named.is_empty(), "{sql}: {found:?}");
        assert!(named.is_empty() || found.iter().any(|problem| problem.contains(named)), "{sql}: {found:?}");
    }
}
