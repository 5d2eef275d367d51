//! Plain SQL over all partitions.

use std::process::Command;

use audit_archive::{SYSTEM_SQLITE_FILES_MAX, attach_script, shell, sql_session};
use serde_json::json;

use crate::harness::{Place, Running, append, covered, record, records};

async fn archived(partitions: u32) -> Place {
    let place = Place::new(partitions);
    let journal = place.journal().await;
    append(&journal, &records(0..100)).await;
    let odd = record(
        "odd",
        "project-1",
        json!({"flag": {"key": "=cmd|' /C calc'!A0"}, "log": "a \"quoted\"\u{1b}[31m red\nline, and\u{0} more"}),
    );
    append(&journal, &[odd]).await;
    let running = Running::start(place.config(), &journal);
    covered(&place.reader(), &journal).await;
    running.stop().await;
    place
}

fn answer(place: &Place, input: &str) -> String {
    let conn = sql_session(place.archive_dir()).expect("a session");
    let mut output = Vec::new();
    shell(&conn, input.as_bytes(), &mut output, None).expect("a shell");
    String::from_utf8(output).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_partitions_are_one_view() {
    let place = archived(12).await;
    let conn = sql_session(place.archive_dir()).expect("a session");
    let count: u64 = conn.query_row("SELECT count(*) FROM audit_log", (), |row| row.get(0)).expect("a count");
    assert_eq!(count, 101);
    let odd: (String, String) = conn
        .query_row("SELECT flag_key, author_email FROM audit_log WHERE id = 'odd'", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("the record");
    assert_eq!(odd, ("=cmd|' /C calc'!A0".to_owned(), "ada@example.com".to_owned()));
    assert!(conn.execute("UPDATE p00.record SET id = 'x'", ()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_shows_tables_and_csv() {
    let place = archived(2).await;
    assert_eq!(
        answer(&place, "SELECT id, flag_key AS flag\nFROM audit_log WHERE id = 'odd';\n"),
        "id   flag\n---  ------------------\nodd  =cmd|' /C calc'!A0\n(1 rows)\n"
    );
    let log = answer(&place, "SELECT log FROM audit_log WHERE id = 'odd';\n");
    assert!(log.contains("\\u{1b}[31m red\\u{a}line, and\\u{0} more"), "{log}");
    let csv = answer(&place, ".csv on\nSELECT 'a\"b,c' AS x, NULL AS y, x'00ff' AS z;\n");
    assert_eq!(csv, "x,y,z\r\n\"a\"\"b,c\",,00ff\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_reads_statements_over_several_lines_and_outlives_errors() {
    let place = archived(1).await;
    let answer = answer(
        &place,
        "SELECT 'ends with;\n' AS x;\nSELEC 1;\n.nonsense\n.tables\nDELETE FROM p00.record;\nSELECT 1 AS one; SELECT 2 AS two;\nSELECT count(*) AS n FROM audit_log",
    );
    for part in
        ["error: near \"SELEC\"", "error: .nonsense is no command", "audit_log", "readonly", "two", "101"]
    {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert!(answer.contains("ends with;\\u{a}"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_sqlite3_takes_the_same_script() {
    let files = SYSTEM_SQLITE_FILES_MAX as u32;
    let place = archived(files).await;
    let (script, count) = attach_script(place.archive_dir()).expect("a script");
    assert_eq!(count, SYSTEM_SQLITE_FILES_MAX);
    let init = place.beside("init.sql");
    std::fs::write(&init, script).expect("written");
    let run = Command::new("sqlite3")
        .arg("-init")
        .arg(&init)
        .args([":memory:", "SELECT count(*) FROM audit_log; SELECT flag_key FROM audit_log WHERE id = 'odd'"])
        .output();
    let Ok(run) = run else {
        eprintln!("left out: there is no sqlite3 here");
        return;
    };
    let answer = String::from_utf8_lossy(&run.stdout);
    assert_eq!(answer.trim(), "101\n=cmd|' /C calc'!A0", "{}", String::from_utf8_lossy(&run.stderr));
}
