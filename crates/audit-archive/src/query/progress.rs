//! Reading how far consumers are, and what that means in records and time.
//!
//! What a document says is its consumer's; here it is text under a key.

use audit_journal::{Offset, Partition};
use rusqlite::OptionalExtension;

use super::page::QueryError;
use super::pool::File;
use super::reader::Reader;
use crate::schema::{PROGRESS, RECORDS};
use crate::store::read_position;

/// A consumer's latest document of one key in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgressRow {
    /// The partition that it tells of.
    pub partition: Partition,
    /// Its key: the consumer's group, a slash, and the document's own.
    pub key: String,
    /// When the log took it, milliseconds since 1970.
    pub appended_at_ms: i64,
    /// The document, exactly the bytes on the log.
    pub json: String,
}

/// How far the archive's fold of the progress is, in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressEnd {
    /// The partition.
    pub partition: Partition,
    /// The first offset of `progress` not yet taken in.
    pub next: Offset,
    /// When the log took the latest document of any key, milliseconds since 1970; absent where there is none.
    pub latest_ms: Option<i64>,
}

/// What lies between a position and the archive's end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Messages at and after the position: exactly, without the log's holes.
    pub messages: u64,
    /// When the log took the first of them, milliseconds since 1970; absent where there is none.
    pub first_appended_at_ms: Option<i64>,
}

impl Reader {
    /// Shows every document whose key is `key` to `each`, or, with no key, every document there is.
    pub fn progress(&self, key: Option<&str>, mut each: impl FnMut(ProgressRow)) -> Result<(), QueryError> {
        let session = self.pool.session(None)?;
        for file in &session.files {
            let mut read = || -> rusqlite::Result<()> {
                let mut select = file.conn.prepare_cached(
                    "SELECT key, appended_at_ms, json FROM progress WHERE ?1 IS NULL OR key = ?1",
                )?;
                let mut rows = select.query([key])?;
                while let Some(row) = rows.next()? {
                    let (key, appended_at_ms, json) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    each(ProgressRow { partition: file.partition, key, appended_at_ms, json });
                }
                Ok(())
            };
            read().map_err(|error| file.error(error))?;
        }
        Ok(())
    }

    /// How far the fold of the progress is. What the topic holds beyond is not in [`Reader::progress`] yet.
    pub fn progress_ends(&self) -> Result<Vec<ProgressEnd>, QueryError> {
        let session = self.pool.session(None)?;
        let end = |file: &File| {
            let read = || {
                let (bookmark, _) = read_position(&file.conn, PROGRESS)?;
                let latest_ms =
                    file.conn.query_row("SELECT max(appended_at_ms) FROM progress", (), |row| row.get(0))?;
                Ok(ProgressEnd { partition: file.partition, next: bookmark.next, latest_ms })
            };
            read().map_err(|error| file.error(error))
        };
        session.files.iter().map(end).collect()
    }

    /// What lies between these positions and the archive's end, in their order; a position in a partition that has
    /// no file here is left out.
    pub fn behind(&self, positions: &[(Partition, Offset)]) -> Result<Vec<(Partition, Behind)>, QueryError> {
        let session = self.pool.session(None)?;
        let mut found = Vec::with_capacity(positions.len());
        for (partition, offset) in positions {
            let Some(file) = session.files.iter().find(|file| file.partition == *partition) else { continue };
            let behind = behind(file, *offset).map_err(|error| file.error(error))?;
            found.push((*partition, behind));
        }
        Ok(found)
    }
}

/// Offsets rise with the numbers of messages within an epoch, so the first message at or after an offset is found
/// by halving, without an index.
fn behind(file: &File, offset: Offset) -> rusqlite::Result<Behind> {
    let (bookmark, end) = read_position(&file.conn, RECORDS)?;
    if offset >= bookmark.next {
        return Ok(Behind { messages: 0, first_appended_at_ms: None });
    }
    let mut low: u64 = file
        .conn
        .prepare_cached("SELECT first_seq FROM epoch ORDER BY epoch DESC LIMIT 1")?
        .query_row((), |row| row.get(0))?;
    let mut high = end;
    let mut at = file.conn.prepare_cached("SELECT log_offset FROM record WHERE seq = ?1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<Offset> = at.query_row([middle], |row| row.get(0)).optional()?;
        match found {
            Some(found) if found < offset => low = middle + 1,
            _ => high = middle,
        }
    }
    let first_appended_at_ms = file
        .conn
        .prepare_cached("SELECT appended_at_ms FROM record WHERE seq = ?1")?
        .query_row([low], |row| row.get(0))
        .optional()?;
    Ok(Behind { messages: end - low, first_appended_at_ms })
}

#[cfg(test)]
mod tests {
    use audit_journal::{Message, NewMessage, Placement};
    use serde_json::json;

    use super::Behind;
    use crate::query::Reader;
    use crate::samples::{message, on_log, record, store};

    fn document(offset: u64, key: &str, value: Option<&str>) -> Message {
        on_log(
            offset,
            NewMessage {
                key: key.to_owned().into(),
                headers: Vec::new(),
                value: value.map(|value| value.to_owned().into()),
                placement: Placement::ByKey,
            },
        )
    }

    fn documents(reader: &Reader) -> Vec<(String, String)> {
        let mut found = Vec::new();
        reader.progress(None, |row| found.push((row.key, row.json))).expect("documents");
        found
    }

    #[test]
    fn the_latest_document_of_each_key_stays_and_a_writer_begins_the_fold_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let reader = Reader::open(dir.path());
        let messages = [
            document(0, "g/a", Some("{\"n\":1}")),
            document(3, "g/b", Some("{\"n\":2}")),
            document(4, "g/a", Some("{\"n\":3}")),
            document(7, "g/b", None),
        ];
        let mut first = store(dir.path());
        first.append_progress(&messages, 0, 8).expect("appended");
        assert_eq!(documents(&reader), [("g/a".to_owned(), "{\"n\":3}".to_owned())]);
        let end = reader.progress_ends().expect("ends")[0];
        assert_eq!((end.next, end.latest_ms), (8, Some(messages[2].appended_at_ms)));
        drop(first);
        let mut second = store(dir.path());
        assert_eq!(documents(&reader), []);
        second.append_progress(&messages[2..], 0, 8).expect("appended");
        assert_eq!(documents(&reader).len(), 1);
    }

    #[test]
    fn what_lies_behind_a_position_is_counted_without_the_holes_of_the_log() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |offset| message(offset, &record(&format!("r{offset}"), json!({})));
        store(dir.path()).append(&[at(2), at(3), at(7), at(9)], 0, 12).expect("appended");
        let reader = Reader::open(dir.path());
        for (position, messages, first) in
            [(0, 4, Some(2)), (3, 3, Some(3)), (4, 2, Some(7)), (9, 1, Some(9)), (10, 0, None)]
        {
            let expected =
                Behind { messages, first_appended_at_ms: first.map(|first| at(first).appended_at_ms) };
            assert_eq!(reader.behind(&[(0, position)]).expect("an answer"), [(0, expected)], "{position}");
        }
        assert_eq!(reader.behind(&[(1, 0)]).expect("an answer"), []);
    }
}
