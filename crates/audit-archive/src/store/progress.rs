//! Writing how far consumers are: the fold of the compacted topic `progress`.
//!
//! A document is a JSON object of its consumer's making. The archive keeps its bytes and knows nothing of it.
//! No position in a compacted topic outlives a process, so the fold begins anew with each writer; the position
//! that stands beside it tells readers how far this writer's fold is.

use audit_journal::Message;
use rusqlite::{Connection, params};

use super::StoreError;
use super::position::Place;
use crate::schema::PROGRESS;

/// Forgets the fold of an earlier writer, and where it was. If we crash before the commit, it is forgotten by the
/// next writer.
pub(super) fn begin_anew(conn: &mut Connection) -> Result<Place, StoreError> {
    let tx = conn.transaction()?;
    tx.execute("DELETE FROM progress", ())?;
    tx.execute(
        "UPDATE position SET next = 0, seq = 0, epoch = 0, anchor_offset = NULL, anchor_hash = NULL, log_end = 0,
           undecodable = 0
         WHERE topic = ?1",
        [PROGRESS],
    )?;
    let place = Place::read(&tx, PROGRESS)?;
    tx.commit()?;
    Ok(place)
}

/// Writes the documents, in the transaction that is open on `conn`; one without a value is gone. Returns how many
/// are none that anybody could read: their key or value is no text. Those are left out.
pub(super) fn write(conn: &Connection, messages: &[Message]) -> rusqlite::Result<u64> {
    let mut keep = conn.prepare_cached(
        "INSERT INTO progress (key, appended_at_ms, json) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET appended_at_ms = excluded.appended_at_ms, json = excluded.json",
    )?;
    let mut remove = conn.prepare_cached("DELETE FROM progress WHERE key = ?1")?;
    let mut undecodable = 0;
    for message in messages {
        let key = std::str::from_utf8(&message.key);
        let value = message.value.as_deref().map(std::str::from_utf8).transpose();
        match (key, value) {
            (Ok(key), Ok(Some(json))) => {
                keep.execute(params![key, message.appended_at_ms, json])?;
            }
            (Ok(key), Ok(None)) => {
                remove.execute([key])?;
            }
            (Err(_), _) | (_, Err(_)) => undecodable += 1,
        }
    }
    Ok(undecodable)
}
