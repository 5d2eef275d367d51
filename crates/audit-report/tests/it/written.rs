//! A report as JSON, CSV, workbook and HTML.

use audit_report::{Format, Question, Report, write};
use serde_json::{Value, json};

use crate::harness::{Bench, column, question, record};

/// A name that is markup, a formula and a newline.
const NASTY: &str = "=HYPERLINK(\"x\")<script>alert(1)</script>\n\u{202e}";

async fn report() -> (Bench, Report) {
    let bench = Bench::new().await;
    bench.append(&[record("1", json!({"flag": {"key": NASTY}})), record("2", json!({}))]).await;
    let report = bench.report("change_log");
    (bench, report)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_format_says_the_same_and_runs_nothing() {
    let (bench, report) = report().await;
    assert_eq!(report.rows.len(), 2);

    let json = write(&report, Format::Json).unwrap();
    let read: Report = serde_json::from_slice(&json).unwrap();
    assert_eq!(read, report, "the document comes back as it was");
    let mut later: Value = serde_json::from_slice(&json).unwrap();
    later["v"] = json!(2);
    assert!(serde_json::from_value::<Report>(later).unwrap_err().to_string().contains("later release"));

    let csv = write(&report, Format::Csv).unwrap();
    let mut rows = csv::Reader::from_reader(csv.as_slice());
    assert_eq!(rows.headers().unwrap().len(), report.definition.columns.len());
    let flags: Vec<String> = rows.records().map(|row| row.unwrap()[4].to_owned()).collect();
    assert!(flags.contains(&format!("'{NASTY}")), "guarded: {flags:?}");

    let html = String::from_utf8(write(&report, Format::Html).unwrap()).unwrap();
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "text is text");
    assert!(
        html.contains("\\u{202e}") && !html.contains('\u{202e}'),
        "nothing turns the direction of what follows"
    );
    for told in
        ["Production change log", "sends no role", "Kept outside", "FROM audit_log", "prod, production"]
    {
        assert!(html.contains(told), "{told:?} is missing in {html}");
    }

    let xlsx = write(&report, Format::Xlsx).unwrap();
    assert!(xlsx.starts_with(b"PK\x03\x04"));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_see_one_project_learns_nothing_of_the_sources_of_others() {
    let bench = Bench::new().await;
    let elsewhere = json!({"project": {"key": "bank"}, "source": {"name": "vault", "system": "native", "event": "e",
        "received_at": "2026-09-30T12:00:01Z", "authenticated": "token"}});
    bench.append(&[record("1", json!({})), record("2", elsewhere)]).await;
    let limited = Question { projects: vec!["shop".to_owned()], limited: true, ..question() };
    let report = bench.ask("change_log", &limited).unwrap();
    assert_eq!(column(&report, "change_id"), ["1"]);
    let text = serde_json::to_string(&report).unwrap();
    assert!(!text.contains("vault") && !text.contains("bank"), "{text}");
    assert_eq!(report.coverage.sources[0].records, None, "that would be of all projects");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coverage_says_who_stands_behind_it_and_what_they_can_not_tell() {
    let (bench, report) = report().await;
    let source = &report.coverage.sources[0];
    assert_eq!(
        (source.name.as_str(), source.system.as_str(), source.records),
        ("main", "flagsmith", Some(2))
    );
    assert!(!source.sends_access && source.cannot_tell[0].contains("no role"));
    assert_eq!(
        (source.connected_since.as_ref(), source.rejected),
        (None, None),
        "it is not among the settings"
    );
    assert!(source.first_record_at.is_some() && source.first_record_at <= source.last_record_at);
    assert_eq!(report.coverage.oldest_data_at.as_deref(), Some("2026-09-30T12:00:00.000000Z"));
    assert_eq!(
        report.coverage.partitions.iter().map(|partition| partition.messages.unwrap()).sum::<u64>(),
        2
    );
    bench.end().await;
}
