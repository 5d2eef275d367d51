//! Dropping the bodies of records: what a person said or did is gone from the file, that something stood there stays.
//!
//! Of an erased message the row keeps its number, times, action and what it concerned beside persons, and the header
//! of its leaf: so the tree, every proof and every checkpoint stay as they are. Body, salt, author, object and words are
//! removed, and so are the names of those of whose access nothing but erased records told. Without the salt the hash of the body tells nobody what the body was.
//!
//! `PRAGMA secure_delete` overwrites what is removed. What SQLite still holds elsewhere is cleared behind it, step by
//! step: things that only erased rows named (`orphan`), and the write-ahead log (`archive.unscrubbed`).

use audit_proof::Leaf;
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::tree::stored_trees;
use crate::erasure::ErasureOrder;
use crate::text;

/// Things that are looked at in one transaction.
const ORPHANS_AT_ONCE_MAX: usize = 64;

/// Which routing key the records of erasures have: others can't order any.
pub(super) fn is_own(key: &[u8]) -> bool {
    key == audit_record::RoutingKey::own().as_str().as_bytes()
}

/// Follows an order, in the transaction that is open on `conn`; `by` is the number of its record. Returns how many bodies
/// were dropped. What can't be followed is said and changes nothing.
pub(super) fn follow(
    conn: &Connection,
    partition: u32,
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
    for (start, end) in &order.leaves {
        let end = (*end).min(order.size);
        let mut select = conn.prepare_cached(
            "SELECT seq FROM record WHERE seq >= ?1 AND seq < ?2 AND erased_by IS NULL ORDER BY seq",
        )?;
        let seqs = select.query_map((first_seq + start, (first_seq + end).min(by)), |row| row.get(0))?;
        let seqs: Vec<u64> = seqs.collect::<rusqlite::Result<_>>()?;
        for seq in seqs {
            drop_body(conn, seq, seq - first_seq, by)?;
            dropped += 1;
        }
    }
    forget_holders(conn, by)?;
    conn.execute("UPDATE archive SET unscrubbed = 1", ())?;
    Ok(Ok(dropped))
}

/// Takes away the names of those whose access was told by nothing but records that are erased now, the last of them by
/// message `by`: that somebody held it, from when, until when, stays.
fn forget_holders(conn: &Connection, by: u64) -> rusqlite::Result<()> {
    let forgotten = conn.execute(
        "UPDATE access_holder SET identity = 'erased:' || holder
         WHERE identity <> '' AND identity NOT GLOB 'erased:*'
           AND holder IN (SELECT e.holder FROM access_event e JOIN record r ON r.seq = e.seq WHERE r.erased_by = ?1)
           AND NOT EXISTS (SELECT 1 FROM access_event e JOIN record r ON r.seq = e.seq
                           WHERE e.holder = access_holder.holder AND r.erased_by IS NULL)",
        [by],
    )?;
    if forgotten > 0 {
        conn.execute(
            "DELETE FROM access_label WHERE kind = 'subject'
               AND number IN (SELECT holder FROM access_holder WHERE identity GLOB 'erased:*')",
            (),
        )?;
    }
    Ok(())
}

/// Drops the bodies of repeats behind message `after` whose first bodies were erased: those that came in one transaction
/// with the erasure. Returns how many.
pub(super) fn drop_repeats(conn: &Connection, after: u64) -> rusqlite::Result<u64> {
    let first_seq = stored_trees(conn)?.last().map_or(0, |newest| newest.first_seq);
    let mut select = conn.prepare_cached(
        "SELECT r.seq, first.erased_by FROM record r JOIN record first ON first.seq = r.duplicate_of
         WHERE r.seq > ?1 AND r.erased_by IS NULL AND first.erased_by IS NOT NULL ORDER BY r.seq",
    )?;
    let repeats = select.query_map([after], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let repeats: Vec<(u64, u64)> = repeats.collect::<rusqlite::Result<_>>()?;
    for (seq, by) in &repeats {
        drop_body(conn, *seq, seq.saturating_sub(first_seq), *by)?;
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
        "SELECT salt, tags, json, raw, author, object, seq < (SELECT text_seq FROM archive) FROM record WHERE seq = ?1",
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
    let mut orphan = conn.prepare_cached("INSERT OR IGNORE INTO orphan (thing) VALUES (?1)")?;
    for column in [4, 5] {
        if let Some(thing) = row.get::<_, Option<i64>>(column)? {
            orphan.execute([thing])?;
        }
    }
    conn.prepare_cached(
        "UPDATE record SET json = NULL, raw = NULL, salt = NULL, headers = NULL, author = NULL, object = NULL, header = ?2,
           erased_by = ?3
         WHERE seq = ?1",
    )?
    .execute(params![seq, header, by])
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
    let is_busy: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
    if !is_busy {
        conn.execute("UPDATE archive SET unscrubbed = 0", ())?;
    }
    Ok(!is_busy)
}
