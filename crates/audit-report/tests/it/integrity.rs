//! `log_integrity` and `field_completeness`.

use audit_journal::{AppendOutcome, NewMessage, Placement, Topic};
use audit_report::{Cell, Question};
use serde_json::json;

use crate::harness::{Bench, cell, column, own, question, record, total};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_whole_has_no_findings_and_what_is_no_record_is_one() {
    let bench = Bench::new().await;
    let retried = record("1", json!({"recorded_at": "2026-09-30T12:00:09Z"}));
    bench.append(&[record("1", json!({})), record("2", json!({})), retried]).await;
    let report = bench.report("log_integrity");
    assert_eq!(total(&report, "findings"), 0, "{:?}", report.rows);
    let repeats: u64 = rows_of(&report, "duplicates").iter().map(|row| row.1.parse::<u64>().unwrap()).sum();
    assert_eq!(repeats, 1, "recorded again later, it says the same");
    assert_eq!(rows_of(&report, "epoch").len(), 2);

    let junk = NewMessage {
        key: "k".into(),
        headers: Vec::new(),
        value: Some("no record".into()),
        placement: Placement::Fixed(0),
    };
    let outcome = bench.journal.append(Topic::Records, vec![junk]).await;
    assert!(matches!(outcome[..], [AppendOutcome::Appended(_)]));
    let other = record("2", json!({"log": "something else"}));
    let key = own("key", "flagtrail.key.rotated", "FLAGTRAIL_KEY", json!({}));
    bench.append(&[other, key]).await;
    let report = bench.report("log_integrity");
    assert_eq!(total(&report, "findings"), 2, "the junk, and the repeat that says something else");
    assert!(rows_of(&report, "record")[0].2.contains("flagtrail.key.rotated"));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_in_which_the_log_goes_on_is_not_called_a_replaced_log() {
    let bench = Bench::new().await;
    bench.append(&[record("1", json!({}))]).await;
    let bench = bench.in_next_epoch().await;
    bench.append(&[record("2", json!({}))]).await;
    let report = bench.report("log_integrity");
    let epochs = rows_of(&report, "epoch");
    let told = |words: &str| epochs.iter().filter(|row| row.2.contains(words)).count();
    assert_eq!((epochs.len(), told("its tree goes on"), told("was replaced")), (3, 1, 0), "{epochs:?}");
    assert_eq!(total(&report, "findings"), 0, "{:?}", report.rows);
    bench.end().await;
}

/// Verdict, count and detail of the rows of a check.
fn rows_of(report: &audit_report::Report, check: &str) -> Vec<(String, String, String)> {
    let checks = column(report, "check");
    let of = |name| column(report, name);
    let rows = of("verdict").into_iter().zip(of("count")).zip(of("detail"));
    let rows = checks.into_iter().zip(rows).filter(|(found, _)| found == check);
    rows.map(|(_, ((verdict, count), detail))| (verdict, count, detail)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completeness_counts_what_each_record_says() {
    let bench = Bench::new().await;
    let whole = json!({"change": {"before": 1, "after": 2}, "request": {"ip": "192.0.2.1"}});
    let nobody = json!({"author": {"type": "unknown"}});
    let elsewhere = json!({
        "project": {"key": "bank"}, "related_object_type": "SEGMENT", "attributes": {"access_left_out": true},
    });
    let own = own("own", "flagtrail.token.created", "FLAGTRAIL_TOKEN", json!({}));
    bench
        .append(&[
            record("1", whole),
            record("2", json!({})),
            record("3", nobody),
            record("4", elsewhere),
            own,
        ])
        .await;
    let report = bench.report("field_completeness");
    assert_eq!(column(&report, "record_type"), ["FEATURE_STATE", "SEGMENT"], "our own are left out");
    assert_eq!(column(&report, "records"), ["3", "1"]);
    assert_eq!(cell(&report, 0, "user_pct"), &Cell::Number(66.7));
    assert_eq!(cell(&report, 0, "outcome_pct"), &Cell::Number(33.3));
    assert_eq!(cell(&report, 0, "origin_pct"), &Cell::Number(33.3));
    assert_eq!(cell(&report, 0, "all_pct"), &Cell::Number(33.3));
    assert_eq!((total(&report, "records"), total(&report, "access_left_out")), (4, 1));
    assert!(
        report.coverage.notes.iter().any(|note| note.starts_with("1 records of source main tell of more"))
    );
    let bank = Question { projects: vec!["bank".to_owned()], limited: true, ..question() };
    assert_eq!(column(&bench.ask("field_completeness", &bank).unwrap(), "record_type"), ["SEGMENT"]);
    bench.end().await;
}
