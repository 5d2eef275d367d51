//! `failed_deliveries`.

use audit_journal::{NewMessage, Placement};
use audit_record::{OWN_SOURCE_FORMER, Period};
use audit_report::Question;
use serde_json::{Value, json};

use crate::harness::{Bench, at, column, own, question, record, total};

fn attempt(partition: u32, record: &str, minute: u32, outcome: &str, status: Option<u16>) -> NewMessage {
    let mut entry = json!({
        "v": 1, "endpoint": "ep-1", "record": record, "partition": partition, "offset": 0, "attempt": 1,
        "at": format!("2026-09-30T12:{minute:02}:00.000000Z"), "duration_ms": 5, "outcome": outcome, "status": status,
    });
    if outcome != "delivered" {
        entry["error"] = json!("status");
    }
    NewMessage {
        key: "ep-1".into(),
        headers: Vec::new(),
        value: Some(serde_json::to_vec::<Value>(&entry).unwrap().into()),
        placement: Placement::Fixed(partition),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_told_with_what_became_of_it_and_what_arrived_at_once_is_not() {
    let bench = Bench::new().await;
    let replayed = own(
        "replay",
        "flagtrail.endpoint.replayed",
        "FLAGTRAIL_ENDPOINT",
        json!({
            "related_object": {"id": "ep-1"}, "occurred_at": "2026-09-30T12:30:00Z",
            // What became of endpoints named another source before than settings did.
            "source": {"name": OWN_SOURCE_FORMER, "system": "flagtrail", "event": "flagtrail.endpoint.replayed",
                       "received_at": "2026-09-30T12:30:00Z", "authenticated": "none"},
        }),
    );
    let records = [record("late", json!({})), record("lost", json!({"project": {"key": "bank"}})), replayed];
    let [late, lost, _] = bench.append(&records).await[..] else { panic!("three records") };
    bench
        .append_attempts(vec![
            attempt(0, "fine", 0, "delivered", Some(200)),
            attempt(late, "late", 1, "retry", Some(503)),
            attempt(late, "late", 2, "retry", None),
            attempt(late, "late", 3, "delivered", Some(204)),
            attempt(lost, "lost", 4, "retry", Some(500)),
            attempt(lost, "lost", 5, "dead_lettered", Some(500)),
            attempt(0, "again", 6, "dead_lettered", Some(500)),
            attempt(0, "again", 40, "delivered", Some(200)),
            attempt(0, "still", 7, "retry", Some(429)),
        ])
        .await;
    let report = bench.report("failed_deliveries");
    assert_eq!(column(&report, "record_id"), ["late", "lost", "again", "still"]);
    assert_eq!(column(&report, "final_state"), ["delivered", "dead_lettered", "delivered", "retrying"]);
    assert_eq!(column(&report, "attempts"), ["3", "2", "2", "1"]);
    assert_eq!(column(&report, "last_status"), ["204", "500", "200", "429"]);
    assert_eq!(column(&report, "replayed_by"), ["", "", "ops", ""]);
    assert_eq!(column(&report, "endpoint")[0], "cache");
    assert_eq!(total(&report, "dead_lettered"), 1);
    let notes = &report.coverage.notes;
    assert!(!notes.iter().any(|note| note.contains("not kept any more")), "nothing was forgotten: {notes:?}");
    assert!(!column(&report, "seq")[0].is_empty(), "where the record stands");

    let bank = Question { projects: vec!["bank".to_owned()], limited: true, ..question() };
    assert_eq!(column(&bench.ask("failed_deliveries", &bank).unwrap(), "record_id"), ["lost"]);
    let from = Some(at("2026-09-30T12:05:30Z"));
    let later = Question { period: Period { from, to: None }, ..question() };
    assert_eq!(column(&bench.ask("failed_deliveries", &later).unwrap(), "record_id"), ["again", "still"]);
    bench.end().await;
}
