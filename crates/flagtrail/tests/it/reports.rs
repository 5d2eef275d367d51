//! `flagtrail report`: what auditors ask for, by the shipped binary.

use std::path::Path;
use std::time::Duration;

use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{ADMIN_TOKEN, Node, http};

/// How long what is on the log may take to be archived, on a machine busy with other tests.
const SEEN_WITHIN: Duration = Duration::from_secs(180);

/// A change of production in the shop, with the fields of `over` replaced.
fn change(id: &str, over: Value) -> Value {
    let mut record = json!({
        "id": id, "action": "flag.value.changed", "log": "The value of checkout was changed",
        "occurred_at": "2026-09-30T12:00:00Z", "author": {"type": "user", "email": "ada@example.com"},
        "project": {"key": "shop"}, "environment": {"key": "eu-live"}, "flag": {"key": "checkout"},
        "change": {"before": {"value": "=1"}, "after": {"value": "2"}}, "related_object_type": "FEATURE_STATE",
    });
    record.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    record
}

/// Three changes: one that Bob approved, one that nobody did, and one in another project that went past its approval.
async fn plant(node: &Node) {
    let records = json!([
        change(
            "asked",
            json!({"action": "change_request.created", "related_object_type": "CHANGE_REQUEST",
            "related_object": {"id": "cr-1"}, "approval": {"change_request_id": "cr-1"}, "change": {},
            "occurred_at": "2026-09-30T11:00:00Z"})
        ),
        change(
            "approved",
            json!({"action": "change_request.approved", "related_object_type": "CHANGE_REQUEST",
            "related_object": {"id": "cr-1"}, "approval": {"change_request_id": "cr-1"}, "change": {},
            "author": {"type": "user", "email": "bob@example.com"}, "occurred_at": "2026-09-30T11:30:00Z"})
        ),
        change("applied", json!({"approval": {"change_request_id": "cr-1"}})),
        change("direct", json!({"occurred_at": "2026-09-30T13:00:00Z"})),
        change("in-dev", json!({"environment": {"key": "dev"}})),
        change(
            "urgent",
            json!({"project": {"key": "bank"}, "approval": {"bypassed": true}, "reason": "outage",
            "occurred_at": "2026-09-30T14:00:00Z"})
        ),
    ]);
    let asked = http().post(format!("{}/v1/records", node.admin)).bearer_auth(ADMIN_TOKEN).json(&records);
    assert_eq!(asked.send().await.unwrap().status(), 201);
}

/// The report, once it has so many rows.
async fn with_rows(node: &Node, arguments: &[&str], rows: usize) -> Value {
    wait::some(SEEN_WITHIN, "the report has its rows", || async {
        let report = node.json(&[&["report"], arguments].concat());
        (report["rows"].as_array().map(Vec::len) == Some(rows)).then_some(report)
    })
    .await
}

fn column<'r>(report: &'r Value, name: &str) -> Vec<&'r Value> {
    report["rows"].as_array().unwrap().iter().map(|row| &row[name]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_asks_reads_reviews_and_is_on_the_record() {
    let root = tempfile::tempdir().unwrap();
    let settings = "[compliance]\nproduction = [\"*-live\"]\npost_review_hours = 1\n";
    let mut node = Node::new(root.path(), "one", &["up"], settings);
    node.start();
    node.ready().await;
    plant(&node).await;

    let log = with_rows(&node, &["change_log", "--from", "2026-09-01", "--to", "2026-10-01"], 3).await;
    assert_eq!(
        column(&log, "change_id"),
        ["applied", "direct", "urgent"],
        "what is in dev is not production"
    );
    assert_eq!(column(&log, "type"), ["standard", "direct", "emergency"]);
    let first = &log["rows"][0];
    assert_eq!(first["approvers"], json!(["bob@example.com"]));
    assert_eq!((&first["old"], &first["new"]), (&json!("\"=1\""), &json!("\"2\"")));
    assert_eq!(first["record_ids"], json!(["applied", "asked", "approved"]));
    assert!(log["sql"][0]["text"].as_str().unwrap().contains("FROM audit_log"));
    assert_eq!(log["compliance"]["production"], json!(["*-live"]));
    let sources = log["coverage"]["sources"].as_array().unwrap();
    assert!(sources.iter().any(|source| source["name"] == "admin" && source["records"] == 6), "{sources:?}");

    let sod = node.json(&["report", "sod_exceptions"]);
    assert_eq!(column(&sod, "change_id"), ["direct"]);
    assert_eq!(column(&sod, "rule"), ["no approval"]);
    let emergencies = node.json(&["report", "emergency_changes"]);
    assert_eq!(column(&emergencies, "within_sla"), [false], "nobody looked at it within an hour");

    every_format_is_written(&node, root.path());
    a_review_is_taken_as_a_whole_and_once(&node, root.path()).await;
    a_token_of_one_project_sees_that_project_alone(&node).await;
    whoever_reads_is_on_the_record(&node).await;
    assert_eq!(node.try_command(&["report", "no_such_report"]).status.code(), Some(1));
    assert_eq!(node.try_command(&["report", "change_log", "--output", "x.pdf"]).status.code(), Some(64));
    node.stop();
}

fn every_format_is_written(node: &Node, root: &Path) {
    let write = |name: &str| {
        let file = root.join(name);
        node.command(&["report", "change_log", "--project", "shop", "--output", file.to_str().unwrap()]);
        std::fs::read(file).unwrap()
    };
    let csv = String::from_utf8(write("log.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.starts_with("ts_requested,ts_approved,ts_applied,change_id,"), "{csv}");
    let beside: Value = serde_json::from_slice(&std::fs::read(root.join("log.meta.json")).unwrap()).unwrap();
    assert_eq!(beside["definition"]["name"], "change_log");
    assert!(beside.get("rows").is_none());
    assert!(write("log.xlsx").starts_with(b"PK"), "a workbook is a ZIP");
    let html = String::from_utf8(write("log.html")).unwrap();
    assert!(html.contains("Production change log") && html.contains("What this report could see"), "{html}");
    assert!(!html.contains("<script") && !html.contains("src="), "it runs and loads nothing");
    let table = node.command(&["report", "change_log", "--project", "shop"]);
    assert!(table.contains("bob@example.com") && table.contains("rows: 2"), "{table}");
    let list = node.command(&["report", "list"]);
    assert!(list.contains("field_completeness") && list.contains("SOC 2 CC8.1"), "{list}");
    assert!(node.command(&["report", "list", "change_log"]).contains("min_approvals_required"));
}

async fn a_review_is_taken_as_a_whole_and_once(node: &Node, root: &Path) {
    let file = root.join("review.csv");
    let header = "change_id,flag,reviewer,decision,decision_at,rationale\n";
    let review = "urgent,checkout,Grace,approve,2026-09-30T14:30:00Z,seen\n";
    std::fs::write(&file, format!("{header}{review}direct,checkout,Grace,perhaps,2026-10-01,\n")).unwrap();
    let path = file.to_str().unwrap();
    let refused = node.try_command(&["report", "import-decisions", path]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("line 3: decision"), "{said}");
    std::fs::write(&file, format!("{header}{review}direct,checkout,,,,\n")).unwrap();
    for _ in 0..2 {
        let told = node.command(&["report", "import-decisions", path, "--report", "emergency_changes"]);
        assert!(told.starts_with("1 decisions are on the record, 1 lines have none"), "{told}");
    }
    let reviews = with_rows(node, &["reviews"], 1).await;
    assert_eq!(column(&reviews, "decision"), ["approve"]);
    assert_eq!(column(&reviews, "imported_by"), ["admin"]);
    let emergencies = node.json(&["report", "emergency_changes"]);
    assert_eq!(column(&emergencies, "post_review_by"), ["Grace"]);
    assert_eq!(column(&emergencies, "hours_to_review"), [0.5]);
    assert_eq!(column(&emergencies, "within_sla"), [true]);
}

async fn a_token_of_one_project_sees_that_project_alone(node: &Node) {
    let token = json!({"name": "bank", "scopes": ["records:read"], "projects": ["bank"], "organisation": {"key": "acme"}});
    let made = http().post(format!("{}/v1/tokens", node.admin)).bearer_auth(ADMIN_TOKEN).json(&token);
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    let token = made["token"].as_str().unwrap_or_else(|| panic!("{made}"));
    let ask = async |path: &str| {
        let asked = http().get(format!("{}/v1/reports/{path}", node.admin)).bearer_auth(token);
        let answer = asked.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, report) = ask("change_log").await;
    assert_eq!((status, column(&report, "change_id")), (200, vec![&json!("urgent")]));
    assert_eq!(ask("change_log?project=shop").await.0, 403);
    let csv = http().get(format!("{}/v1/reports/change_log", node.admin)).bearer_auth(token);
    let csv = csv.header("accept", "text/csv, */*;q=0.1").send().await.unwrap();
    let header = |name: &str| csv.headers()[name].to_str().unwrap().to_owned();
    assert!(header("content-type").starts_with("text/csv"), "as Accept asks");
    assert!(header("content-disposition").contains("change_log-"), "{}", header("content-disposition"));
    let (status, report) = ask("log_access").await;
    assert_eq!((status, column(&report, "kind").len()), (200, 0), "it is of all projects");
}

async fn whoever_reads_is_on_the_record(node: &Node) {
    let access = wait::some(SEEN_WITHIN, "reading is on the record", || async {
        let report = node.json(&["report", "log_access"]);
        let is_there = column(&report, "what").iter().any(|what| **what == "emergency_changes");
        is_there.then_some(report)
    })
    .await;
    let row = access["rows"].as_array().unwrap().iter().find(|row| row["what"] == "sod_exceptions").unwrap();
    assert_eq!((&row["actor"], &row["kind"]), (&json!("admin"), &json!("report")));
    let limited = access["rows"].as_array().unwrap().iter().any(|row| row["actor"] == "bank");
    assert!(limited, "the other token's reading, too: {access}");
}
