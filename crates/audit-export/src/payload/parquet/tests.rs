//! Row groups, and messages that are no records. What other readers make of a file is tested from outside.

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

use super::*;
use crate::payload::record::LeafParts;

fn json(number: usize, padding: usize) -> String {
    format!(
        r#"{{"id":"r{number}","action":"flag.value.changed","log":"a change","occurred_at":"2026-01-02T03:04:05.{number:06}Z",
        "recorded_at":"2026-01-02T03:04:06Z","author":{{"type":"unknown"}},"organisation":{{"key":"acme"}},
        "related_object_type":"FEATURE","attributes":{{"text":"{}"}},
        "source":{{"name":"s","system":"native","event":"e","received_at":"2026-01-02T03:04:06Z","authenticated":"token"}}}}"#,
        "x".repeat(padding)
    )
}

fn message(seq: u64, value: &[u8]) -> LogMessage<'_> {
    LogMessage {
        partition: 3,
        seq,
        offset: seq + 10,
        appended_at_ms: 1_790_000_000_000,
        value: Some(value),
        leaf: None,
    }
}

fn open(file: Vec<u8>) -> SerializedFileReader<Bytes> {
    SerializedFileReader::new(Bytes::from(file)).expect("a whole file")
}

/// The position of a column.
fn at(name: &str, messages: Messages) -> usize {
    crate::payload::columns::columns(messages).position(|column| column.name == name).expect("a column")
}

#[test]
fn a_writer_holds_one_row_group_however_many_rows_there_are() {
    /// Bytes of a record.
    const PADDING: usize = 16 * 1024;
    // It stands in `attributes` and in `json`.
    let rows_of_a_group = ROW_GROUP_BYTES_MAX / (2 * PADDING);
    let mut writer = ParquetWriter::try_new(Vec::new(), Messages::Records, &[]).expect("begun");
    let mut held_max = 0;
    for number in 0..3 * rows_of_a_group {
        writer.append(&message(number as u64, json(number, PADDING).as_bytes())).expect("appended");
        held_max = held_max.max(writer.group.held_bytes());
    }
    // A buffer that grows is as large as what it holds and as much again.
    assert!(held_max <= 2 * (ROW_GROUP_BYTES_MAX + 4 * PADDING), "{held_max}");
    let (file, summary) = writer.finish().expect("finished");
    assert_eq!((summary.rows, summary.bytes), (3 * rows_of_a_group as u64, file.len() as u64));
    let groups: Vec<i64> = open(file).metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert!((3..=4).contains(&groups.len()), "{groups:?}");
    assert!(groups.iter().all(|rows| *rows <= rows_of_a_group as i64), "{groups:?}");
}

#[test]
fn rows_of_a_group_are_bounded_however_small_they_are() {
    let mut writer = ParquetWriter::try_new(Vec::new(), Messages::All, &[]).expect("begun");
    for number in 0..ROW_GROUP_ROWS_MAX as u64 + 1 {
        writer.append(&message(number, b"")).expect("appended");
    }
    let (file, _) = writer.finish().expect("finished");
    let groups: Vec<i64> = open(file).metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [ROW_GROUP_ROWS_MAX as i64, 1]);
}

#[test]
fn a_file_of_all_messages_keeps_what_is_no_record_and_shows_what_leaves_are_of() {
    let mut writer =
        ParquetWriter::try_new(Vec::new(), Messages::All, &[("deployment", "d")]).expect("begun");
    let good = json(1, 0);
    let leaf = LeafParts { header: r#"{"v":1}"#, salt: &[7; 16] };
    writer.append(&LogMessage { leaf: Some(leaf), ..message(1, good.as_bytes()) }).expect("appended");
    writer.append(&message(2, b"\xff no record")).expect("appended");
    writer.append(&LogMessage { value: None, ..message(3, b"") }).expect("appended");
    let (file, summary) = writer.finish().expect("finished");
    let reader = open(file);
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    let [id, raw, seq, header, salt] =
        ["id", "raw", "seq", "leaf_header", "salt"].map(|name| at(name, Messages::All));
    assert_eq!(rows[0].get_string(id).expect("an id"), "r1");
    assert_eq!(rows[0].get_string(header).expect("a header"), r#"{"v":1}"#);
    assert_eq!(rows[0].get_bytes(salt).expect("a salt").data(), [7; 16]);
    assert!(rows[0].get_bytes(raw).is_err(), "what is a record is not kept twice");
    assert_eq!(rows[1].get_bytes(raw).expect("bytes").data(), b"\xff no record");
    assert!(rows[1].get_string(id).is_err() && rows[2].get_bytes(raw).is_err());
    assert_eq!(rows[2].get_long(seq).expect("a number"), 3);
    let place = |seq| Place { partition: 3, seq };
    assert_eq!(summary.places, Some((place(1), place(3))));
    assert_eq!(summary.occurred.map(|(first, last)| first == last), Some(true));
    let metadata = reader.metadata().file_metadata().key_value_metadata().expect("metadata");
    assert!(metadata.iter().any(|entry| entry.key == "deployment" && entry.value.as_deref() == Some("d")));
}

#[test]
fn in_a_file_of_records_what_is_no_record_is_refused_by_its_place() {
    let mut writer = ParquetWriter::try_new(Vec::new(), Messages::Records, &[]).expect("begun");
    let refused = writer.append(&message(41, b"{}")).expect_err("no record");
    assert!(refused.to_string().starts_with("partition 3, number 41, is no record"), "{refused}");
}

#[test]
fn a_sink_that_is_full_is_an_error_of_writing() {
    /// Takes so many bytes.
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = ParquetWriter::try_new(Full(10), Messages::Records, &[]).expect("begun");
    writer.append(&message(1, json(1, 0).as_bytes())).expect("held");
    let error = writer.finish().map(|(_, summary)| summary).expect_err("full");
    assert!(
        matches!(&error, ParquetWriteError::Write(cause) if cause.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
}
