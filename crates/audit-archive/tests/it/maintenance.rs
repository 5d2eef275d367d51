//! Checking, copying, making anew.

use std::path::Path;

use audit_archive::{ArchiveConfig, MaintenanceError, Query, Reader, backup, check, rebuild};
use rusqlite::Connection;

use crate::harness::{Place, Running, append, covered, id_of, records};

/// An archive of 300 records in two files, with nobody at work on it.
async fn archived() -> Place {
    let place = Place::new(2);
    let journal = place.journal().await;
    append(&journal, &records(0..300)).await;
    let running = Running::start(place.config(), &journal);
    covered(&place.reader(), &journal).await;
    running.stop().await;
    place
}

fn ids(dir: &Path) -> Vec<String> {
    let reader = Reader::open(dir);
    let scan = reader.scan(&Query::default(), reader.ends().expect("ends"), None).expect("a scan");
    let mut ids: Vec<String> = scan.map(|row| id_of(&row.expect("a row").json)).collect();
    ids.sort();
    ids
}

/// Does something to the first file that no writer would.
fn tamper(place: &Place, sql: &str) -> Vec<String> {
    let conn = Connection::open(place.archive_dir().join("records-00.sqlite")).expect("the file");
    conn.execute_batch(sql).expect("tampered with");
    let report = check(place.archive_dir()).expect("a report");
    assert!(!report.is_sound());
    report.findings.into_iter().map(|finding| finding.problem).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_nobody_touched_is_sound() {
    let place = archived().await;
    let report = check(place.archive_dir()).expect("a report");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.files, report.messages), (2, 300));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_byte_is_found_and_named() {
    let place = archived().await;
    let found =
        tamper(&place, "UPDATE record SET json = replace(json, 'turned on', 'turned of') WHERE seq = 5");
    assert_eq!(found, ["message 5: the body is not the one that was archived"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_gone_is_found_and_named() {
    let place = archived().await;
    let found = tamper(&place, "DELETE FROM record WHERE seq = 5");
    assert_eq!(found, ["messages 5 to 5 are missing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_row_is_found_and_named() {
    let place = archived().await;
    let found = tamper(&place, "UPDATE record SET duplicate_of = 4 WHERE seq = 5");
    assert_eq!(found[0], "message 5: it is marked as a duplicate of message 4, which it does not repeat");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rows_that_were_swapped_are_found_and_named() {
    let place = archived().await;
    let swap = "UPDATE record SET seq = -1 WHERE seq = 5; UPDATE record SET seq = 5 WHERE seq = 6;
        UPDATE record SET seq = 6 WHERE seq = -1";
    let found = tamper(&place, swap);
    for seq in [5, 6] {
        let named = format!("message {seq}: its leaf in the tree is another message's");
        assert!(found.contains(&named), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_left_out_is_named() {
    let place = archived().await;
    let file = place.archive_dir().join("records-01.sqlite");
    std::fs::remove_file(&file).expect("removed");
    let report = check(place.archive_dir()).expect("a report");
    let [finding] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(finding.file, file.display().to_string());
    assert!(finding.problem.contains("it is missing: the log has 2 partitions"), "{finding:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_under_another_id_is_found_and_named() {
    let place = archived().await;
    let found = tamper(&place, "UPDATE record SET id = 'else' WHERE seq = 5");
    assert_eq!(found, ["message 5: the row's id is not the record's"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_is_not_its_messages_is_found_and_named() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..300)).await;
    let running = Running::start(place.config(), &journal);
    covered(&place.reader(), &journal).await;
    running.stop().await;
    let another = "its leaf in the tree is another message's";
    let root = "the tree of epoch 0 has another root than its leaves make";
    let tile = "the tree of epoch 0 has another tile 1/000.p/1 than its leaves make";
    for (sql, named) in [
        ("UPDATE record SET tags = zeroblob(64) WHERE seq = 5", &[&format!("message 5: {another}")[..]][..]),
        (
            "UPDATE record SET leaf = (SELECT leaf FROM record WHERE seq = 6) WHERE seq = 5",
            &[&format!("message 5: {another}"), root, tile],
        ),
        ("UPDATE tile SET hashes = zeroblob(32)", &[tile]),
        ("UPDATE tree SET peaks = zeroblob(length(peaks))", &[root]),
        ("DELETE FROM tile", &[tile]),
    ] {
        let copy = place.beside("copy");
        backup(place.archive_dir(), &copy).expect("a copy");
        let conn = Connection::open(copy.join("records-00.sqlite")).expect("the file");
        conn.execute_batch(sql).expect("tampered with");
        drop(conn);
        let report = check(&copy).expect("a report");
        let found: Vec<&str> = report.findings.iter().map(|finding| finding.problem.as_str()).collect();
        assert_eq!(found, named, "{sql}");
        std::fs::remove_dir_all(copy).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_full_text_does_not_find_is_named() {
    let place = archived().await;
    let found = tamper(&place, "INSERT INTO text (text) VALUES ('delete-all')");
    assert!(found.contains(&"message 5: full text does not find it by its words".to_owned()), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_of_a_source_and_is_not_there_is_found() {
    let place = archived().await;
    let found = tamper(&place, "UPDATE heard SET records = records + 1");
    let [problem] = &found[..] else { panic!("one finding: {found:?}") };
    assert!(problem.contains("records of sources are counted"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_attempts_that_are_missing_are_counted() {
    let place = archived().await;
    let found = tamper(&place, "UPDATE position SET seq = 3, next = 3 WHERE topic = 'deliveries'");
    assert_eq!(found, ["3 of 3 delivery attempts are missing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_beside_the_writer_is_whole_and_goes_on() {
    let place = Place::new(2);
    let journal = place.journal().await;
    append(&journal, &records(0..2_000)).await;
    let running = Running::start(place.config(), &journal);
    covered(&place.reader(), &journal).await;
    let to = place.beside("copy");
    let (report, ()) = tokio::join!(
        tokio::task::spawn_blocking({
            let (from, to) = (place.archive_dir(), to.clone());
            move || backup(from, to).expect("a copy")
        }),
        async {
            for start in (2_000..4_000).step_by(100) {
                append(&journal, &records(start..start + 100)).await;
            }
        }
    );
    assert_eq!(report.expect("it does not panic").files, 2);
    covered(&place.reader(), &journal).await;
    running.stop().await;
    let found = check(&to).expect("a report");
    assert!(found.is_sound() && found.messages >= 2_000, "{found:?}");

    let again = backup(place.archive_dir(), &to);
    assert!(matches!(again, Err(MaintenanceError::Occupied(_))), "{again:?}");

    let running = Running::start(ArchiveConfig { free_bytes_min: 0, ..ArchiveConfig::new(&to) }, &journal);
    covered(&Reader::open(&to), &journal).await;
    running.stop().await;
    assert_eq!(ids(&to), ids(&place.archive_dir()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_made_anew_holds_the_same() {
    let place = archived().await;
    let before = ids(&place.archive_dir());
    // A reader that was open all along sees the new files.
    let reader = place.reader();
    assert_eq!(reader.query(&Query { limit: 10, ..Query::default() }).expect("a page").rows.len(), 10);
    assert_eq!(rebuild(place.archive_dir()).expect("made anew"), 2);
    assert!(matches!(reader.ends(), Err(audit_archive::QueryError::NoArchive(_))));
    let journal = place.journal().await;
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    running.stop().await;
    assert_eq!(ids(&place.archive_dir()), before);
}

#[test]
fn where_there_is_no_archive_each_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(matches!(check(dir.path()), Err(MaintenanceError::NoArchive(_))));
    assert!(matches!(rebuild(dir.path().join("missing")), Err(MaintenanceError::NoArchive(_))));
    assert!(matches!(backup(dir.path(), dir.path().join("to")), Err(MaintenanceError::NoArchive(_))));
}
