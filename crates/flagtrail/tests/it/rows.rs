//! The rows of a segment's Parquet file, to be tampered with by somebody who has Flagtrail's own writer.

use std::fs::File;
use std::path::Path;

use audit_export::{LeafParts, LogMessage, Messages, ParquetCell, ParquetWriter, read_parquet};

/// What a row is made of.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    partition: u32,
    pub(crate) seq: u64,
    offset: u64,
    appended_at_ms: i64,
    pub(crate) json: String,
    leaf_header: String,
    salt: Vec<u8>,
}

/// The rows of a file, each of a record.
pub(crate) fn read(path: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    read_parquet(File::open(path).unwrap(), |cells| {
        let cell = |name: &str| cells.iter().find(|(column, _)| *column == name).unwrap().1;
        let number = |name: &str| match cell(name) {
            ParquetCell::Number(number) => number,
            other => panic!("{name}: {other:?}"),
        };
        let bytes = |name: &str| match cell(name) {
            ParquetCell::Bytes(bytes) => bytes.to_vec(),
            other => panic!("{name}: {other:?}"),
        };
        let text = |name: &str| String::from_utf8(bytes(name)).unwrap();
        rows.push(Row {
            partition: number("partition").try_into().unwrap(),
            seq: number("seq").try_into().unwrap(),
            offset: number("log_offset").try_into().unwrap(),
            appended_at_ms: number("appended_at") / 1_000,
            json: text("json"),
            leaf_header: text("leaf_header"),
            salt: bytes("salt"),
        });
    })
    .unwrap();
    rows
}

/// Writes a file with these rows in place of another; every column says what `json` says.
pub(crate) fn write(path: &Path, rows: &[Row]) {
    let mut writer = ParquetWriter::try_new(Vec::new(), Messages::All, &[]).unwrap();
    for row in rows {
        let leaf = LeafParts { header: &row.leaf_header, salt: &row.salt };
        let message = LogMessage {
            partition: row.partition,
            seq: row.seq,
            offset: row.offset,
            appended_at_ms: row.appended_at_ms,
            value: Some(row.json.as_bytes()),
            leaf: Some(leaf),
        };
        writer.append(&message).unwrap();
    }
    std::fs::write(path, writer.finish().unwrap().0).unwrap();
}
