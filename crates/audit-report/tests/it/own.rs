//! The reports over records of Flagtrail's own: configuration, reading, erasures, reviews.

use audit_record::Period;
use audit_report::{Question, ReportError};
use serde_json::json;

use crate::harness::{Bench, at, column, own, question, record, total};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_report_shows_its_own_records_and_no_others() {
    let bench = Bench::new().await;
    let updated = own(
        "changed",
        "flagtrail.endpoint.updated",
        "FLAGTRAIL_ENDPOINT",
        json!({
            "change": {"before": {"url": "https://a"}, "after": {"url": "https://b"},
                       "fields": [{"field": "url", "before": "https://a", "after": "https://b"}]},
        }),
    );
    let read = own(
        "read",
        "flagtrail.log.read",
        "FLAGTRAIL_LOG",
        json!({
            "attributes": {"kind": "report", "what": "change_log", "query": {"project": ["shop"]}},
        }),
    );
    // As exports put themselves on the record before: under another source than settings.
    let exported = own(
        "exported",
        "flagtrail.export.requested",
        "FLAGTRAIL_EXPORT",
        json!({
            "source": {"name": "flagtrail", "system": "flagtrail", "event": "flagtrail.export.requested",
                       "received_at": "2026-09-30T12:00:01Z", "authenticated": "token"},
        }),
    );
    let erased = own(
        "erased",
        "flagtrail.erased",
        "FLAGTRAIL_ERASURE",
        json!({
            "attributes": {"records": 3, "subject_tags": ["9f"], "legal_basis": "Art. 17", "part": 1, "parts": 2}, "reason": "asked",
        }),
    );
    let decided = own(
        "decided",
        "flagtrail.review.decided",
        "FLAGTRAIL_REVIEW",
        json!({
            "attributes": {"report": "user_access_review", "email": "bob@example.com", "role": "admin", "reviewer": "Grace",
                           "decision": "revoke", "decision_at": "2026-09-30T12:00:00.000000Z"},
        }),
    );
    let silent = own("silent", "source.silent", "FLAGTRAIL_SOURCE", json!({}));
    bench.append(&[record("1", json!({})), updated, read, exported, erased, decided, silent]).await;

    let changes = bench.report("configuration_changes");
    assert_eq!(column(&changes, "record_id"), ["changed", "erased"], "an erasure changes what is kept");
    assert_eq!(column(&changes, "fields")[0], "url");
    assert_eq!(column(&changes, "new")[0], r#"{"url":"https://b"}"#);
    let access = bench.report("log_access");
    assert_eq!(column(&access, "kind"), ["report", "export"]);
    assert_eq!(column(&access, "what")[0], "change_log");
    let erasures = bench.report("erasures");
    assert_eq!((column(&erasures, "records"), total(&erasures, "bodies erased")), (vec!["3".to_owned()], 3));
    assert_eq!(column(&erasures, "legal_basis"), ["Art. 17: asked"]);
    assert_eq!(column(&erasures, "part"), ["1 of 2"]);
    let sources: Vec<&str> = access.coverage.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(sources, ["main"], "we are no source of ourselves");
    assert_eq!(column(&bench.report("field_completeness"), "source"), ["main"]);
    let reviews = bench.report("reviews");
    assert_eq!(column(&reviews, "subject"), ["bob@example.com"]);
    assert_eq!(total(&reviews, "revoke"), 1);

    let limited = Question { projects: vec!["shop".to_owned()], limited: true, ..question() };
    for name in ["configuration_changes", "log_access", "erasures", "reviews", "log_integrity"] {
        let report = bench.ask(name, &limited).unwrap();
        assert!(report.rows.is_empty(), "{name} is of all projects");
    }
    let (from, to) = (at("2026-10-01T00:00:00Z"), at("2026-09-01T00:00:00Z"));
    let backwards = Question { period: Period { from: Some(from), to: Some(to) }, ..question() };
    assert!(matches!(bench.ask("reviews", &backwards), Err(ReportError::Asked(_))));
    assert!(matches!(bench.ask("no_such", &question()), Err(ReportError::Unknown(_))));
    bench.end().await;
}
