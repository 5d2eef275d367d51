//! Dropping the bodies of records: what a person said or did is gone from the file, that something stood there stays.
//!
//! Of an erased message the row keeps its number, times, action and what it concerned beside persons, and the header
//! of its leaf: so the tree, every proof and every checkpoint stay as they are. Body, salt, author, object and words are
//! removed, and so are the names of holders of access that nothing but erased records gave them, and what receivers answered
//! when the record was delivered to them. Without the salt the hash
//! of the body tells nobody what the body was.
//!
//! `PRAGMA secure_delete` overwrites what is removed. What SQLite still holds elsewhere is cleared behind it, step by
//! step: things that only erased rows named (`orphan`), and the write-ahead log (`archive.unscrubbed`).

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use audit_journal::{Message, Partition};
use audit_proof::{Leaf, TagKey};
use rusqlite::{Connection, OptionalExtension, params};

use super::tree::stored_trees;
use super::{StoreError, attempts};
use crate::access;
use crate::erasure::{ERASED_ACTION, ErasureOrder, NoOrder};
use crate::text;

/// Things that are looked at in one transaction.
const ORPHANS_AT_ONCE_MAX: usize = 64;

/// Most messages whose numbers are held while their bodies are dropped; an order may name millions.
const NUMBERS_AT_ONCE_MAX: usize = 4_096;

/// What stands in `record.problem` of a message that was no record and was erased: the words before may quote it.
const ERASED_PROBLEM: &str = "erased";

/// How long readers are waited for when the write-ahead log is to be emptied; it is tried again later.
const SCRUB_WAIT_MAX: Duration = Duration::from_millis(200);

/// Whether a message may hold an order: it has our own routing key, which others can't have, and says the word. A
/// transaction ends with it, so that an order is followed before anything behind it is looked at, wherever batches end.
pub(super) fn may_be_order(message: &Message) -> bool {
    let word = ERASED_ACTION.as_bytes();
    message.key[..] == *audit_record::RoutingKey::own().as_str().as_bytes()
        && message.value.as_deref().is_some_and(|value| value.windows(word.len()).any(|at| at == word))
}

/// Follows the order of message `by`, if it is one. Returns how many bodies were dropped.
pub(super) fn follow_order(
    conn: &Connection,
    path: &Path,
    key: &TagKey,
    (partition, by): (Partition, u64),
    order: Result<ErasureOrder, NoOrder>,
) -> Result<u64, StoreError> {
    let file = path.display();
    let followed = match order {
        Ok(order) => follow(conn, key, partition, by, &order)?,
        Err(NoOrder::Unreadable(why)) => Err(why),
        Err(NoOrder::Unvouched) => {
            // Whoever may append to the records can put any number of them there: it is no duty of ours.
            tracing::error!(%file, seq = by, "archive: a record that orders an erasure was not made with this log's secret");
            return Ok(0);
        }
    };
    match followed {
        Ok(dropped) => Ok(dropped),
        Err(why) => {
            tracing::error!(%file, seq = by, why, "archive: an erasure is not followed");
            not_followed(conn, by, &why)?;
            Ok(0)
        }
    }
}

/// Follows an order, in the transaction that is open on `conn`; `by` is the number of its record, which is the last one
/// there. Returns how many bodies were dropped. What can't be followed is said and changes nothing.
fn follow(
    conn: &Connection,
    key: &TagKey,
    partition: Partition,
    by: u64,
    order: &ErasureOrder,
) -> Result<Result<u64, String>, StoreError> {
    if order.partition != partition {
        return Ok(Err(format!("it is about partition {}", order.partition)));
    }
    let Some(first_seq) = tree_of(conn, order)? else {
        return Ok(Err(format!(
            "the archive has no tree with the root {} at {} leaves",
            order.root, order.size
        )));
    };
    let mut dropped = 0;
    let mut holders = BTreeSet::new();
    for (start, end) in &order.leaves {
        // The tree has no more than that, whatever the order says.
        let (start, end) = ((*start).min(order.size), (*end).min(order.size));
        let run = first_seq + start..(first_seq + end).min(by);
        dropped += drop_run(conn, run, first_seq, by, &mut holders)?;
    }
    dropped += drop_repeats(conn, first_seq + order.size)?;
    access::forget_names(conn, key, &holders)?;
    conn.execute("UPDATE archive SET unscrubbed = 1", ())?;
    Ok(Ok(dropped))
}

/// Writes down that an order was not followed: somebody has to see to it.
fn not_followed(conn: &Connection, by: u64, why: &str) -> rusqlite::Result<()> {
    let why = format!("message {by}: {why}");
    conn.execute("UPDATE archive SET unfollowed = unfollowed + 1, unfollowed_why = ?1", [why]).map(drop)
}

/// Drops the bodies of the messages numbered `run`, of the tree that begins with `first_seq`; into `holders` comes whose
/// access they told of. Returns how many bodies there were.
fn drop_run(
    conn: &Connection,
    run: Range<u64>,
    first_seq: u64,
    by: u64,
    holders: &mut BTreeSet<i64>,
) -> rusqlite::Result<u64> {
    let mut select = conn.prepare_cached(
        "SELECT seq FROM record WHERE seq >= ?1 AND seq < ?2 AND erased_by IS NULL ORDER BY seq LIMIT ?3",
    )?;
    let mut told_of = conn.prepare_cached("SELECT holder FROM access_event WHERE seq = ?1")?;
    let (mut next, mut dropped) = (run.start, 0);
    loop {
        let seqs = select.query_map((next, run.end, NUMBERS_AT_ONCE_MAX), |row| row.get(0))?;
        let seqs: Vec<u64> = seqs.collect::<rusqlite::Result<_>>()?;
        let Some(last) = seqs.last() else { return Ok(dropped) };
        next = last + 1;
        for seq in &seqs {
            for holder in told_of.query_map([seq], |row| row.get::<_, i64>(0))? {
                holders.insert(holder?);
            }
            drop_body(conn, *seq, seq - first_seq, by)?;
            dropped += 1;
        }
    }
}

/// Drops the bodies of repeats, from message `from` on, whose first bodies were erased: those that came after what is
/// erased was looked for. Returns how many. Of those that come later [`super::rows`] sees to it.
fn drop_repeats(conn: &Connection, from: u64) -> rusqlite::Result<u64> {
    let trees = stored_trees(conn)?;
    let mut select = conn.prepare_cached(
        "SELECT r.seq, first.erased_by FROM record r JOIN record first ON first.seq = r.duplicate_of
         WHERE r.seq >= ?1 AND r.erased_by IS NULL AND first.erased_by IS NOT NULL ORDER BY r.seq",
    )?;
    let repeats = select.query_map([from], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let repeats: Vec<(u64, u64)> = repeats.collect::<rusqlite::Result<_>>()?;
    for (seq, by) in &repeats {
        let first_seq = trees.iter().rev().map(|tree| tree.first_seq).find(|first| first <= seq);
        drop_body(conn, *seq, seq - first_seq.unwrap_or(0), *by)?;
    }
    Ok(repeats.len() as u64)
}

/// The first message of the tree that an order is about: of several, the one that had that root.
fn tree_of(conn: &Connection, order: &ErasureOrder) -> rusqlite::Result<Option<u64>> {
    let trees = stored_trees(conn)?;
    let is_meant = |tree: &&super::tree::StoredTree| {
        // Taken up later, a tree can't tell its root before; its numbers are those of the checkpoint all the same.
        order.size < tree.base.size()
            || (order.size <= tree.frontier.size()
                && tree.prover(conn, order.size).root().is_ok_and(|root| root == order.root))
    };
    Ok(trees.iter().rev().find(is_meant).map(|tree| tree.first_seq))
}

/// Drops the body of a message that is leaf `index`, and everything that was made of it.
pub(super) fn drop_body(conn: &Connection, seq: u64, index: u64, by: u64) -> rusqlite::Result<()> {
    let mut select = conn.prepare_cached(
        "SELECT salt, tags, json, raw, author, object, seq < (SELECT text_seq FROM archive), id FROM record WHERE seq = ?1",
    )?;
    let mut rows = select.query([seq])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let bytes = |column| row.get_ref(column)?.as_bytes_or_null().map_err(rusqlite::Error::from);
    let header = Leaf::of(index, bytes(0)?, bytes(1)?, bytes(2)?.or(bytes(3)?)).header();
    if let Some(json) = row.get_ref(2)?.as_str_or_null()?
        && row.get(6)?
    {
        text::remove(conn, seq, json)?;
    }
    if let Some(id) = row.get_ref(7)?.as_str_or_null()? {
        attempts::forget_answers(conn, id)?;
    }
    let mut orphan = conn.prepare_cached("INSERT OR IGNORE INTO orphan (thing) VALUES (?1)")?;
    for column in [4, 5] {
        if let Some(thing) = row.get::<_, Option<i64>>(column)? {
            orphan.execute([thing])?;
        }
    }
    conn.prepare_cached(
        "UPDATE record SET json = NULL, raw = NULL, salt = NULL, headers = NULL, author = NULL, object = NULL, header = ?2,
           erased_by = ?3, problem = CASE WHEN problem IS NULL THEN NULL ELSE ?4 END
         WHERE seq = ?1",
    )?
    .execute(params![seq, header, by, ERASED_PROBLEM])
    .map(drop)
}

/// Removes things that no row names any more, some at a time, in a transaction of its own; whether any are left.
pub(super) fn forget_orphans(conn: &mut Connection) -> rusqlite::Result<bool> {
    let tx = conn.transaction()?;
    let things: Vec<i64> = tx
        .prepare_cached("SELECT thing FROM orphan LIMIT ?1")?
        .query_map([ORPHANS_AT_ONCE_MAX], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for thing in &things {
        let is_named: bool = tx
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM record WHERE author = ?1) OR EXISTS (SELECT 1 FROM record WHERE object = ?1)",
            )?
            .query_row([thing], |row| row.get(0))?;
        if !is_named {
            // By its labels: they are found by kind and label alone.
            let called: Option<(String, [Option<String>; 5])> = tx
                .prepare_cached("SELECT kind, uuid, id, email, key, name FROM thing WHERE thing = ?1")?
                .query_row([thing], |row| {
                    Ok((row.get(0)?, [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?]))
                })
                .optional()?;
            if let Some((kind, labels)) = called {
                let mut remove =
                    tx.prepare_cached("DELETE FROM label WHERE kind = ?1 AND label = ?2 AND thing = ?3")?;
                for label in labels.into_iter().flatten().chain([String::new()]) {
                    remove.execute((&kind, label, thing))?;
                }
            }
            tx.prepare_cached("DELETE FROM thing WHERE thing = ?1")?.execute([thing])?;
        }
        tx.prepare_cached("DELETE FROM orphan WHERE thing = ?1")?.execute([thing])?;
    }
    tx.commit()?;
    Ok(things.len() == ORPHANS_AT_ONCE_MAX)
}

/// Moves the write-ahead log into the file and empties it: until then it holds pages as they were before. Whether it is
/// done; readers and backups that are under way put it off.
pub(super) fn scrub(conn: &Connection) -> rusqlite::Result<bool> {
    // Nothing is written while readers are waited for.
    conn.busy_timeout(SCRUB_WAIT_MAX)?;
    let is_busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, bool>(0));
    conn.busy_timeout(super::BUSY_TIMEOUT)?;
    let is_busy = is_busy?;
    if !is_busy {
        conn.execute("UPDATE archive SET unscrubbed = 0", ())?;
    }
    Ok(!is_busy)
}

#[cfg(test)]
mod tests;
