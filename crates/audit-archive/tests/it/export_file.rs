//! Records as an SQLite file for somebody else.

use audit_archive::{EXPORT_COLUMNS_VERSION, ExportFile, PartitionEnd, Query, sql_session};
use rusqlite::Connection;
use serde_json::json;

use crate::harness::{Place, Running, append, covered, record, records};

/// An archive of records of every shape, and all of it as one file.
async fn exported(file: &str) -> Place {
    let place = Place::new(3);
    let journal = place.journal().await;
    let full = include_str!("../../../../schemas/examples/valid/every-field-filled.json");
    let full = serde_json::from_str(full).expect("JSON");
    let odd = json!({
        "flag": {"key": "=cmd|' /C calc'!A0", "name": "\"quoted\"\nand \u{0} more 🚀"},
        "attributes": {"exact": serde_json::from_str::<serde_json::Value>("9007199254740993.000").expect("a number")},
        "change": {"before": null, "after": ""},
    });
    append(&journal, &records(0..100)).await;
    append(
        &journal,
        &[record("full", "p", full), record("odd", "p", odd), record("r7", "project-7", json!({}))],
    )
    .await;
    let running = Running::start(place.config(), &journal);
    let reader = place.reader();
    covered(&reader, &journal).await;
    let ends: Vec<PartitionEnd> = reader.ends().expect("ends");
    let mut export = ExportFile::create(&place.beside(file)).expect("begun");
    for row in reader.scan(&Query::default(), ends, None).expect("a scan") {
        export.append(&row.expect("a row")).expect("appended");
    }
    export.finish().expect("finished");
    running.stop().await;
    place
}

fn one<T: rusqlite::types::FromSql>(conn: &Connection, sql: &str) -> T {
    conn.query_row(sql, (), |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_has_the_columns_and_rows_of_the_archives_audit_log() {
    let place = exported("records.sqlite").await;
    let conn = sql_session(place.archive_dir()).expect("a session");
    let file = place.beside("records.sqlite");
    conn.execute("ATTACH ?1 AS exported", [file.to_str()]).expect("attached");
    let columns = |schema: &str| -> String {
        // An erased record is in no export.
        let pragma = format!(
            "SELECT group_concat(name) FROM pragma_table_info('audit_log'{schema}) WHERE name <> 'erased_by'"
        );
        one(&conn, &pragma)
    };
    let shared = columns("");
    assert_eq!(columns(", 'exported'"), shared);
    assert_eq!(one::<u64>(&conn, "SELECT count(*) FROM exported.audit_log"), 102);
    for (these, those) in [("audit_log", "exported.audit_log"), ("exported.audit_log", "audit_log")] {
        let sql = format!(
            "SELECT count(*) FROM (SELECT {shared} FROM {these} EXCEPT SELECT {shared} FROM {those})"
        );
        assert_eq!(one::<u64>(&conn, &sql), 0, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_sound_says_its_version_and_finds_a_flag_by_an_index() {
    let place = exported("records.sqlite").await;
    let conn = Connection::open(place.beside("records.sqlite")).expect("opened");
    assert_eq!(one::<String>(&conn, "PRAGMA integrity_check"), "ok");
    assert_eq!(one::<i64>(&conn, "PRAGMA user_version"), EXPORT_COLUMNS_VERSION);
    let plan: String = conn
        .query_row(
            "EXPLAIN QUERY PLAN SELECT * FROM audit_log WHERE flag_key = 'checkout' ORDER BY occurred_at",
            (),
            |row| row.get(3),
        )
        .expect("a plan");
    assert!(plan.contains("audit_log_flag_key"), "{plan}");
    let schema: String = one(&conn, "SELECT sql FROM sqlite_schema WHERE name = 'audit_log'");
    assert!(schema.contains("STRICT") && schema.contains("-- who did it: e-mail address"), "{schema}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_begun_over_what_an_interrupted_run_left() {
    let place = exported("records.sqlite").await;
    let file = place.beside("records.sqlite");
    std::fs::write(&file, "what an interrupted run left").expect("written");
    ExportFile::create(&file).expect("begun").finish().expect("finished");
    let conn = Connection::open(&file).expect("opened");
    assert_eq!(one::<u64>(&conn, "SELECT count(*) FROM audit_log"), 0);
}
