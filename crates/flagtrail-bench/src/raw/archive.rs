//! The archive's files by SQL that a person would write for them.

use std::path::PathBuf;

use anyhow::Result;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

/// The files of one archive, a connection each.
pub(crate) struct Files {
    connections: Vec<Connection>,
}

/// A statement and what is bound to it. Its rows are `appended_at_ms` and `json`, the latest first.
pub(crate) struct Select {
    sql: String,
    parameters: Vec<Value>,
}

impl Files {
    /// Opens them, in the order of their partitions.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = |path: &PathBuf| Connection::open_with_flags(path, flags);
        Ok(Self { connections: paths.iter().map(open).collect::<rusqlite::Result<_>>()? })
    }

    /// The latest `limit` records over all files.
    pub(crate) fn latest(&self, select: &Select, limit: usize) -> Result<Vec<String>> {
        let mut rows: Vec<(i64, usize, String)> = Vec::new();
        for (partition, connection) in self.connections.iter().enumerate() {
            let mut prepared = connection.prepare_cached(&select.sql)?;
            let found = prepared.query_map(params_from_iter(&select.parameters), |row| {
                Ok((row.get(0)?, partition, row.get(1)?))
            })?;
            for row in found {
                rows.push(row?);
            }
        }
        // Stable: within a file they stay as they came.
        rows.sort_by(|(a_at, a_in, _), (b_at, b_in, _)| (b_at, b_in).cmp(&(a_at, a_in)));
        rows.truncate(limit);
        Ok(rows.into_iter().map(|(_, _, json)| json).collect())
    }
}

impl Select {
    /// The latest `limit` records of a project that happened in `[from_us, to_us)`, and whose column `kind` is the thing of
    /// that label; by the index on that column.
    pub(crate) fn of_project(
        project: &str,
        (kind, label): (&str, &str),
        (from_us, to_us): (i64, i64),
        limit: usize,
    ) -> Self {
        // The plus keeps SQLite from the index on projects, where a narrower one is there. On actions there is none.
        let plus = if kind == "action" { "" } else { "+" };
        let sql = format!(
            "SELECT appended_at_ms, json FROM record
             WHERE {plus}project = (SELECT thing FROM label WHERE kind = 'project' AND label = ?1)
               AND {kind} = (SELECT thing FROM label WHERE kind = '{kind}' AND label = ?2)
               AND occurred_at_us >= ?3 AND occurred_at_us < ?4 AND duplicate_of IS NULL AND problem IS NULL
             ORDER BY seq DESC LIMIT {limit}"
        );
        let parameters = vec![
            Value::Text(project.to_owned()),
            Value::Text(label.to_owned()),
            Value::Integer(from_us),
            Value::Integer(to_us),
        ];
        Self { sql, parameters }
    }

    /// The latest `limit` records in which these words stand side by side.
    pub(crate) fn of_words(words: &str, limit: usize) -> Self {
        let sql = format!(
            "SELECT r.appended_at_ms, r.json FROM text CROSS JOIN record r ON r.seq = text.rowid
             WHERE text MATCH ?1 AND r.duplicate_of IS NULL AND r.problem IS NULL
             ORDER BY text.rowid DESC LIMIT {limit}"
        );
        Self { sql, parameters: vec![Value::Text(format!("\"{words}\""))] }
    }
}
