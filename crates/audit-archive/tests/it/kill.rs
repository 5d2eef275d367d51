//! An archiver that is killed, again and again: a child runs this same test binary, and is sent SIGKILL.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use audit_archive::{ArchiveConfig, Query, Reader, check, sql_session};
use audit_record::AuditRecord;
use flagtrail_testkit::wait;
use serde_json::json;

use crate::harness::{
    CAUGHT_UP_WITHIN, Place, Running, append, covered, id_of, open_journal, record, records,
};

/// Tell a child where log and archive are.
const LOG_VARIABLE: &str = "FLAGTRAIL_TEST_LOG";
const ARCHIVE_VARIABLE: &str = "FLAGTRAIL_TEST_ARCHIVE";

const PARTITIONS: u32 = 3;
const RECORDS: u64 = 24_000;

/// The child's whole life; in any other process it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_archives_until_it_is_killed() {
    let (Some(log), Some(archive)) = (std::env::var_os(LOG_VARIABLE), std::env::var_os(ARCHIVE_VARIABLE))
    else {
        return;
    };
    let journal = open_journal(PathBuf::from(log), PARTITIONS).await;
    let config = ArchiveConfig { free_bytes_min: 0, ..ArchiveConfig::new(archive) };
    let _running = Running::start(config, &journal);
    std::future::pending::<()>().await;
}

fn start(place: &Place) -> Child {
    Command::new(std::env::current_exe().expect("the test binary has a path"))
        .args(["--exact", "kill::a_child_archives_until_it_is_killed", "--nocapture"])
        .env(LOG_VARIABLE, place.log_file())
        .env(ARCHIVE_VARIABLE, place.archive_dir())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts")
}

/// Records of which every sixth is of somebody's access, told in an order in which it did not happen.
fn of_all_kinds(range: std::ops::Range<u64>) -> Vec<AuditRecord> {
    let of_access = |n: u64| {
        let effect = ["granted", "removed", "snapshot"][(n / 7 % 3) as usize];
        let role = ["viewer", "editor"][(n % 2) as usize];
        let project = format!("project-{}", n % 10);
        let over = json!({
            "action": "access.granted", "related_object_type": "PROJECT_ACCESS",
            "occurred_at": format!("2026-09-{:02}T12:{:02}:00Z", 1 + n * 17 % 30, n % 60),
            "access": {
                "subject": {"type": "user", "id": (n * 31 % 40).to_string()},
                "scope": {"type": "project", "key": project}, "effect": effect, "role": role,
            },
        });
        record(&format!("r{n}"), &project, over)
    };
    records(range.clone())
        .into_iter()
        .zip(range)
        .map(|(plain, n)| if n.is_multiple_of(6) { of_access(n) } else { plain })
        .collect()
}

/// Every interval of access, with the records that began and ended it.
fn intervals(dir: &std::path::Path) -> Vec<[Option<String>; 6]> {
    let conn = sql_session(dir).expect("a session");
    let mut select = conn
        .prepare(
            "SELECT subject_id, project_key, role, grant_record, removal_record, CAST(baseline AS TEXT) FROM access
             ORDER BY 1, 2, 3, from_us, from_seq",
        )
        .expect("a statement");
    let rows = select
        .query_map((), |row| Ok([0, 1, 2, 3, 4, 5].map(|n| row.get(n).expect("a text"))))
        .expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

fn archived(reader: &Reader) -> u64 {
    reader.ends().map_or(0, |ends| ends.iter().map(|end| end.seq).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_it_resumes_with_every_message_once() {
    let place = Place::new(PARTITIONS);
    let journal = place.journal().await;
    for start in (0..RECORDS).step_by(4_000) {
        append(&journal, &of_all_kinds(start..start + 4_000)).await;
    }
    // One of them twice, as after an answer that was lost.
    append(&journal, &records(7..8)).await;
    journal.close().await;
    drop(journal);

    let reader = place.reader();
    for part in 1..=6 {
        let mut child = start(&place);
        // The goals are no multiple of a transaction: the kill falls somewhere within one.
        let goal = RECORDS * part / 7 + part * 131;
        wait::blocking(CAUGHT_UP_WITHIN, "the child archives", || archived(&reader) >= goal);
        child.kill().expect("it can be killed");
        child.wait().expect("it is gone");
        let report = check(place.archive_dir()).expect("a report");
        assert!(report.is_sound(), "{report:?}");
    }

    let journal = place.journal().await;
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    running.stop().await;
    let report = check(place.archive_dir()).expect("a report");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.messages, RECORDS + 1);
    let scan = reader.scan(&Query::default(), reader.ends().expect("ends"), None).expect("a scan");
    let mut found: Vec<u64> =
        scan.map(|row| id_of(&row.expect("a row").json)[1..].parse().expect("a number")).collect();
    found.sort_unstable();
    assert_eq!(found, (0..RECORDS).collect::<Vec<_>>());

    // Another archive, made at one go.
    let other = place.beside("other");
    let running = Running::start(ArchiveConfig { free_bytes_min: 0, ..ArchiveConfig::new(&other) }, &journal);
    covered(&Reader::open(&other), &journal).await;
    running.stop().await;
    let expected = intervals(&other);
    assert!(expected.len() > 100, "{}", expected.len());
    assert_eq!(intervals(&place.archive_dir()), expected);
}
