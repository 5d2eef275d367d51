//! What reviewers decided, beside the changes that they decided on.

use audit_record::AuditRecord;
use audit_report::Question;
use serde_json::json;

use crate::harness::{Bench, column, own, question, record};

fn decided(id: &str, change: &str, reviewer: &str, at: &str) -> AuditRecord {
    own(
        id,
        "flagtrail.review.decided",
        "FLAGTRAIL_REVIEW",
        json!({
            "occurred_at": at,
            "attributes": {"report": "emergency_changes", "change_id": change, "reviewer": reviewer,
                           "decision": "approve", "decision_at": at},
        }),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_is_reviewed_by_somebody_else_than_whoever_applied_it_by_whatever_name() {
    let bench = Bench::new().await;
    let ada = json!({"type": "user", "id": "u-7", "email": "ada@example.com", "name": "Ada Lovelace"});
    let bypassed = json!({"approval": {"bypassed": true}, "author": ada});
    let mut elsewhere = bypassed.clone();
    elsewhere["project"] = json!({"key": "bank"});
    bench
        .append(&[
            record("c1", bypassed),
            record("c2", elsewhere),
            decided("by-name", "c1", "ada lovelace", "2026-09-30T13:00:00Z"),
            decided("by-id", "c1", "U-7", "2026-09-30T14:00:00Z"),
            decided("by-address", "c1", " Ada@Example.com", "2026-09-30T15:00:00Z"),
            decided("by-another", "c1", "Grace", "2026-09-30T16:00:00Z"),
            decided("on-another", "c2", "Grace", "2026-09-30T16:00:00Z"),
        ])
        .await;
    let report = bench.report("emergency_changes");
    assert_eq!(column(&report, "post_review_by"), ["Grace", "Grace"]);

    let limited = Question { projects: vec!["shop".to_owned()], limited: true, ..question() };
    let report = bench.ask("emergency_changes", &limited).unwrap();
    assert_eq!(column(&report, "change_id"), ["c1"]);
    assert_eq!(column(&report, "review_record_id"), ["by-another"], "its record is of no project");
    let read = report.sql.iter().find(|sql| sql.text.contains("review.decided")).unwrap();
    assert_eq!(read.rows, 4, "of decisions on other projects' changes nothing is told");
    bench.end().await;
}
