//! Records as one SQLite file for somebody else: the columns of the view `audit_log` as a table, with indexes.
//!
//! It is no archive: it has no tree, no bookmark and no full text, nothing follows the log into it, and no release of ours
//! opens it again. A file that was cut short is begun anew. [`crate::Row`]s go in, as [`crate::Scan`] brings them.

mod columns;

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::{Connection, params};

use self::columns::{COLUMNS, INDEXED};
use crate::Row;

/// The version of the columns; it stands in `user_version`. A column that is added does not change it; one that is taken
/// away, renamed or given another meaning does.
pub const EXPORT_COLUMNS_VERSION: i64 = 1;

/// Marks such a file in `application_id`: "FlTx". An archive's files have another.
const APPLICATION_ID: i64 = 0x466c_5478;

/// Memory for pages while the file is made, and for each index while it is sorted, in KiB.
const CACHE_KIB: i64 = 16 * 1024;

/// Why a file is not made.
#[derive(Debug, thiserror::Error)]
#[error("{file} can't be written: {source}")]
pub struct ExportFileError {
    file: String,
    source: Problem,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One SQLite file in the making.
///
/// Nothing of it is whole before [`ExportFile::finish`] has returned, and nothing is durable before the caller has synced
/// it: SQLite keeps no journal for it, because whoever is interrupted begins anew.
#[derive(Debug)]
pub struct ExportFile {
    conn: Connection,
    file: String,
    insert: String,
}

impl ExportFile {
    /// Begins a file, over what may be there.
    pub fn create(path: &Path) -> Result<Self, ExportFileError> {
        let file = path.display().to_string();
        let begin = || -> Result<Connection, Problem> {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
            let conn = Connection::open(path)?;
            conn.pragma_update(None, "journal_mode", "off")?;
            conn.pragma_update(None, "synchronous", "off")?;
            conn.pragma_update(None, "locking_mode", "exclusive")?;
            conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
            conn.pragma_update(None, "application_id", APPLICATION_ID)?;
            conn.pragma_update(None, "user_version", EXPORT_COLUMNS_VERSION)?;
            // One transaction until the end: what does not fit into the cache goes to the file.
            conn.execute_batch("BEGIN")?;
            conn.execute_batch(&create_table())?;
            Ok(conn)
        };
        let conn = begin().map_err(|source| ExportFileError { file: file.clone(), source })?;
        Ok(Self { conn, file, insert: insert() })
    }

    /// Appends a record.
    pub fn append(&mut self, row: &Row) -> Result<(), ExportFileError> {
        let inserted = self.conn.prepare_cached(&self.insert).and_then(|mut insert| {
            insert.execute(params![
                row.json,
                row.partition,
                row.seq,
                row.offset,
                row.appended_at_ms,
                row.occurred_at_us,
                row.recorded_at_us,
            ])
        });
        inserted.map(drop).map_err(|error| self.error(error))
    }

    /// Builds the indexes and closes the file.
    pub fn finish(self) -> Result<(), ExportFileError> {
        let Self { conn, file, .. } = self;
        let finished = conn
            .execute_batch(&(create_indexes() + "COMMIT;"))
            .and_then(|()| conn.close().map_err(|(_, error)| error));
        finished.map_err(|error| ExportFileError { file, source: error.into() })
    }

    /// The statements that make its table and indexes.
    pub fn schema() -> String {
        create_table() + "\n" + &create_indexes()
    }

    fn error(&self, error: rusqlite::Error) -> ExportFileError {
        ExportFileError { file: self.file.clone(), source: error.into() }
    }
}

/// The columns, each with what it means: people read it in the file itself, by `.schema`.
fn create_table() -> String {
    let columns: String = COLUMNS
        .iter()
        .map(|column| format!("  {} {}, -- {}\n", column.name, column.kind, column.meaning))
        .collect();
    format!("CREATE TABLE audit_log (\n{columns}  PRIMARY KEY (partition, seq)\n) STRICT;")
}

fn insert() -> String {
    let values: Vec<&str> = COLUMNS.iter().map(|column| column.value).collect();
    format!("INSERT INTO audit_log VALUES ({})", values.join(", "))
}

/// With the time: who asks for a flag wants to see its history in order.
fn create_indexes() -> String {
    let index = |column: &&str| {
        format!(
            "CREATE INDEX audit_log_{column} ON audit_log ({column}, occurred_at) WHERE {column} IS NOT NULL;\n"
        )
    };
    let by_time = "CREATE INDEX audit_log_occurred_at ON audit_log (occurred_at);\n";
    by_time.to_owned() + &INDEXED.iter().map(index).collect::<String>()
}
