//! One connection over all files of an archive.

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::layout::{partition_file, partitions};

/// Most files that the `sqlite3` program attaches where it was compiled as usual.
pub const SYSTEM_SQLITE_FILES_MAX: usize = 10;

/// The views of a file that are united over all files. `schema.sql` documents them.
const UNITED_VIEWS: [&str; 9] = [
    "access",
    "access_events",
    "access_snapshots",
    "audit_log",
    "checkpoints",
    "delivery_attempts",
    "duplicates",
    "flag_versions",
    "undecodable",
];

/// Why an archive can't be opened for SQL.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// There is no archive.
    #[error("there is no archive in {0}")]
    NoArchive(String),
    /// More partitions than this program's SQLite attaches.
    #[error(
        "{dir} holds {files} files, but this program was built with an SQLite that attaches {max}: build it with LIBSQLITE3_FLAGS=-DSQLITE_MAX_ATTACHED=125, as the repository's .cargo/config.toml does"
    )]
    TooManyFiles {
        /// The directory.
        dir: String,
        /// What it holds.
        files: usize,
        /// What can be attached.
        max: usize,
    },
    /// A name that SQL can't hold.
    #[error("{0} is not UTF-8: move the archive to a directory with such a name")]
    Name(String),
    /// SQLite or the terminal.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Input or output failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// A connection on which every file of the archive is attached read-only, as `p00`, `p01`, …, under the views
/// `audit_log`, `access`, `flag_versions` and the others of `schema.sql` over all of them.
pub fn sql_session(dir: impl AsRef<Path>) -> Result<Connection, SqlError> {
    let dir = dir.as_ref();
    let files = files(dir)?;
    let conn = Connection::open_with_flags(
        ":memory:",
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    let max = usize::try_from(conn.limit(Limit::SQLITE_LIMIT_ATTACHED)?).unwrap_or(0);
    if files.len() > max {
        return Err(SqlError::TooManyFiles { dir: dir.display().to_string(), files: files.len(), max });
    }
    conn.execute_batch(&script(&files))?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

/// The same as SQL, for `sqlite3 -init`. It fits where the archive has at most [`SYSTEM_SQLITE_FILES_MAX`]
/// files; the second value says how many it has.
pub fn attach_script(dir: impl AsRef<Path>) -> Result<(String, usize), SqlError> {
    let files = files(dir.as_ref())?;
    Ok((script(&files) + "PRAGMA query_only = 1;\n", files.len()))
}

/// Each file's schema name, and its address as SQLite reads it.
fn files(dir: &Path) -> Result<Vec<(String, String)>, SqlError> {
    let missing = || SqlError::NoArchive(dir.display().to_string());
    let dir = dir.canonicalize().map_err(|_| missing())?;
    let found = partitions(&dir)?;
    if found.is_empty() {
        return Err(missing());
    }
    let address = |partition| {
        let path = partition_file(&dir, partition);
        let text = path.to_str().ok_or_else(|| SqlError::Name(path.display().to_string()))?;
        let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        Ok((format!("p{partition:02}"), format!("file:{escaped}?mode=ro")))
    };
    found.into_iter().map(address).collect()
}

fn script(files: &[(String, String)]) -> String {
    let mut script = String::new();
    // Writing to a String can't fail.
    for (schema, address) in files {
        let _ = writeln!(script, "ATTACH '{}' AS {schema};", address.replace('\'', "''"));
    }
    for view in UNITED_VIEWS {
        let parts: Vec<_> =
            files.iter().map(|(schema, _)| format!("SELECT * FROM {schema}.{view}")).collect();
        let _ = writeln!(script, "CREATE TEMP VIEW {view} AS {};", parts.join(" UNION ALL "));
    }
    script
}
