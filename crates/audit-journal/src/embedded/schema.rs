//! The tables beside those of the messages, and their version.

use std::path::Path;

use rusqlite::Connection;

use crate::error::OpenError;
use crate::sqlite::file;

/// What leads from an empty file to the present schema; one step a version.
pub(super) const SCHEMA: [&str; 1] = ["
-- Where every partition stands. The messages themselves are in one table for each: see `log`.
CREATE TABLE partitions (
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  first_offset INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  last_appended_at_ms INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;
-- The last message of every key of the compacted topic; older ones are removed as it is replaced.
CREATE TABLE documents (
  partition INTEGER NOT NULL,
  key BLOB NOT NULL,
  message_offset INTEGER NOT NULL,
  PRIMARY KEY (partition, key)
) STRICT, WITHOUT ROWID;
"];

/// Opens the log's writing connection.
pub(crate) fn open(path: &Path) -> Result<Connection, OpenError> {
    file::open_writer(path, &SCHEMA)
}
