//! Whether an archive is what it says.

use std::path::Path;

use audit_journal::Partition;
use audit_proof::{Leaf, NodeHash, leaf_hash};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde::Deserialize;

use super::access::check_access;
use super::tree::TreeCheck;
use super::{MaintenanceError, archived_partitions, open_to_read};
use crate::layout::partition_file;
use crate::schema::{ATTEMPTS, CHECKPOINTS, RECORDS};
use crate::store::tree::{StoredTree, stored_trees};
use crate::text;

/// Most findings that are put into words; the rest is counted.
pub const FINDINGS_MAX: usize = 100;

/// Messages read in one short transaction.
const CHUNK_ROWS: u64 = 2_000;

/// Most records of a file that are looked up by their words, spread over the file: each takes half a millisecond.
const SEARCHED_MAX: u64 = 1_000;

/// Most checkpoints of a file that are compared with its tree, spread over the file, beside the last ten.
const COMPARED_MAX: u64 = 2_000;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub problem: String,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Files looked at.
    pub files: usize,
    /// Messages looked at.
    pub messages: u64,
    /// The first [`FINDINGS_MAX`] findings.
    pub findings: Vec<Finding>,
    /// All findings.
    pub found: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.found == 0
    }

    fn add(&mut self, path: &Path, problem: impl Into<String>) {
        self.found += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { file: path.display().to_string(), problem: problem.into() });
        }
    }
}

/// Checks that each partition of the log has a file, and every file: SQLite's own integrity check; that messages are numbered
/// without holes up to the position; that each body still has the hash it was archived with, and that the Merkle tree is made of these
/// messages; that each row's id is its record's; that the marks of duplicates point at earlier records of the same
/// id; that what is counted of each source is what there is; that records (up to a thousand of a file) are found by
/// their words; that intervals of access are what the records give when they are folded again; that every order to erase was
/// followed; that the tree still has the roots that were signed of it (of up to two thousand checkpoints), and that no checkpoint was other than it should be;
/// that delivery attempts, but for those that were forgotten, are numbered without holes and readable. Reads only, beside a
/// writer or without one. Where a checkpoint covers it, the archive is what was signed; beyond the last one that takes a root
/// from elsewhere.
pub fn check(dir: impl AsRef<Path>) -> Result<CheckReport, MaintenanceError> {
    let dir = dir.as_ref();
    let mut report = CheckReport::default();
    let there = archived_partitions(dir)?;
    let mut partitions: Partition = 0;
    for partition in &there {
        let path = partition_file(dir, *partition);
        let conn = open_to_read(&path)?;
        report.files += 1;
        let checked = check_file(&conn, &path, &mut report);
        let of_log = checked.and_then(|()| {
            conn.query_row("SELECT partitions FROM archive", (), |row| row.get::<_, Partition>(0))
        });
        partitions = partitions.max(of_log.map_err(|error| MaintenanceError::at(&path, error))?);
    }
    for partition in (0..partitions).filter(|partition| !there.contains(partition)) {
        let problem = format!("it is missing: the log has {partitions} partitions, and each has a file");
        report.add(&partition_file(dir, partition), problem);
    }
    Ok(report)
}

fn check_file(conn: &Connection, path: &Path, report: &mut CheckReport) -> rusqlite::Result<()> {
    let found_before = report.found;
    let mut integrity = conn.prepare("PRAGMA integrity_check")?;
    for line in integrity.query_map((), |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            report.add(path, format!("SQLite says: {line}"));
        }
    }
    let position = "SELECT seq, duplicates, undecodable FROM position WHERE topic = ?1";
    // Position and trees of one moment: a writer may be at work.
    let moment = conn.unchecked_transaction()?;
    let (end, duplicates, undecodable): (u64, u64, u64) =
        conn.query_row(position, [RECORDS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut tree = TreeCheck::begin(conn)?;
    let mut next: u64 = conn.query_row("SELECT first_seq FROM archive", (), |row| row.get(0))?;
    drop(moment);
    let mut counted = (0, 0);
    while next < end {
        next = check_chunk(conn, path, next, end, &mut counted, &mut tree, report)?;
    }
    for problem in tree.finish(conn, end)? {
        report.add(path, problem);
    }
    check_checkpoints(conn, path, report)?;
    if counted != (duplicates, undecodable) {
        report.add(
            path,
            format!(
                "the position counts {duplicates} duplicates and {undecodable} undecodable messages, but there are {} and {}",
                counted.0, counted.1
            ),
        );
    }
    if report.found == found_before {
        // Where rows are not as they should be, their number says nothing new.
        check_heard(conn, path, report)?;
    }
    check_words(conn, path, report)?;
    check_erasures(conn, path, report)?;
    for problem in check_access(conn)? {
        report.add(path, problem);
    }
    check_attempts(conn, path, report)
}

/// Says where a duty was not carried out.
fn check_erasures(conn: &Connection, path: &Path, report: &mut CheckReport) -> rusqlite::Result<()> {
    let select = "SELECT unfollowed, coalesce(unfollowed_why, '') FROM archive";
    let (count, why): (u64, String) = conn.query_row(select, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    if count > 0 {
        report.add(path, format!("{count} orders to erase were not followed; the last of them: {why}"));
    }
    Ok(())
}

/// Compares the checkpoints that agreed with the tree as it stands now, and names those that were not as they should be.
fn check_checkpoints(conn: &Connection, path: &Path, report: &mut CheckReport) -> rusqlite::Result<()> {
    // Where the log is cut into segments has a number and no row.
    let position = "SELECT seq, duplicates FROM position WHERE topic = ?1";
    let (end, cuts): (u64, u64) =
        conn.query_row(position, [CHECKPOINTS], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (count, agreed): (u64, u64) = conn.query_row(
        "SELECT count(*), count(*) FILTER (WHERE verdict IN ('agrees', 'unsigned')) FROM checkpoint WHERE seq < ?1",
        [end],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let wanted = end.saturating_sub(cuts);
    if count != wanted {
        report.add(path, format!("{} of {wanted} checkpoints are missing", wanted.saturating_sub(count)));
    }
    let mut alarms = conn.prepare(
        "SELECT seq, verdict, coalesce(detail, '') FROM checkpoint
         WHERE verdict NOT IN ('agrees', 'unsigned', 'pending', 'before') AND seq < ?1 ORDER BY seq",
    )?;
    let mut rows = alarms.query([end])?;
    while let Some(row) = rows.next()? {
        let (seq, verdict, detail): (u64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        report.add(path, format!("checkpoint {seq} ({verdict}): {detail}"));
    }
    drop(rows);
    let trees = stored_trees(conn)?;
    let stride = agreed.div_ceil(COMPARED_MAX).max(1);
    let mut agreeing = conn.prepare(
        "SELECT seq, size, root FROM checkpoint
         WHERE verdict IN ('agrees', 'unsigned') AND seq < ?1 AND (seq % ?2 = 0 OR seq > ?1 - 10) ORDER BY seq",
    )?;
    let mut rows = agreeing.query((end, stride))?;
    while let Some(row) = rows.next()? {
        let (seq, size, root): (u64, u64, [u8; 32]) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let has_root = |tree: &StoredTree| {
            let fits = (tree.base.size()..=tree.frontier.size()).contains(&size);
            fits && tree.prover(conn, size).root().is_ok_and(|own| *own.as_bytes() == root)
        };
        if !trees.iter().any(has_root) {
            report.add(
                path,
                format!("checkpoint {seq}: the tree had its root at {size} leaves, and has it no more"),
            );
        }
    }
    Ok(())
}

/// Compares what is counted of sources with the rows, both as they are at one moment.
fn check_heard(conn: &Connection, path: &Path, report: &mut CheckReport) -> rusqlite::Result<()> {
    let (counted, there): (u64, u64) = conn.query_row(
        "SELECT (SELECT coalesce(sum(records), 0) FROM heard),
           (SELECT count(*) FROM record WHERE source IS NOT NULL AND duplicate_of IS NULL)",
        (),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if counted != there {
        report.add(path, format!("{counted} records of sources are counted, but there are {there}"));
    }
    Ok(())
}

/// Looks records up by their own first words. That the index is sound in itself SQLite's integrity check says.
fn check_words(conn: &Connection, path: &Path, report: &mut CheckReport) -> rusqlite::Result<()> {
    let (is_kept, end): (bool, u64) =
        conn.query_row("SELECT full_text, text_seq FROM archive", (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    if !is_kept {
        return Ok(());
    }
    let mut select = conn.prepare(
        "SELECT seq, json FROM record
         WHERE seq >= ?1 AND seq < ?2 AND json IS NOT NULL AND duplicate_of IS NULL ORDER BY seq LIMIT 1",
    )?;
    let mut search = conn.prepare("SELECT count(*) FROM text WHERE text MATCH ?1 AND rowid = ?2")?;
    let stride = end.div_ceil(SEARCHED_MAX).max(1);
    for from in (0..end).step_by(stride as usize) {
        let mut rows = select.query((from, end.min(from + stride)))?;
        let Some(row) = rows.next()? else { continue };
        let (seq, json): (u64, String) = (row.get(0)?, row.get(1)?);
        let Some(expression) = text::expression_for(&json) else { continue };
        if search.query_row((&expression, seq), |row| row.get::<_, u64>(0))? == 0 {
            report.add(path, format!("message {seq}: full text does not find it by its words"));
        }
    }
    Ok(())
}

fn check_attempts(conn: &Connection, path: &Path, report: &mut CheckReport) -> rusqlite::Result<()> {
    // Of one moment: a writer adds some, and forgets some that are too old.
    let moment = conn.unchecked_transaction()?;
    let position = "SELECT seq, duplicates, undecodable FROM position WHERE topic = ?1";
    let (end, forgotten, undecodable): (u64, u64, u64) =
        conn.query_row(position, [ATTEMPTS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (count, first, last, unreadable, broken): (u64, Option<u64>, Option<u64>, u64, u64) = conn
        .query_row(
            "SELECT count(*), min(seq), max(seq), count(*) FILTER (WHERE json IS NULL),
               count(*) FILTER (WHERE json IS NOT NULL AND NOT json_valid(json))
             FROM attempt WHERE seq < ?1",
            [end],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )?;
    drop(moment);
    let wanted = end.saturating_sub(forgotten);
    let is_whole = first.unwrap_or(end) == forgotten && last.map_or(forgotten, |last| last + 1) == end;
    if count != wanted || !is_whole {
        report
            .add(path, format!("{} of {wanted} delivery attempts are missing", wanted.saturating_sub(count)));
    }
    if unreadable != undecodable || broken != 0 {
        report.add(
            path,
            format!(
                "the position counts {undecodable} undecodable delivery attempts, but there are {}",
                unreadable + broken
            ),
        );
    }
    Ok(())
}

/// Checks the messages `from` on; returns the number after the last one looked at.
fn check_chunk(
    conn: &Connection,
    path: &Path,
    from: u64,
    end: u64,
    counted: &mut (u64, u64),
    tree: &mut TreeCheck,
    report: &mut CheckReport,
) -> rusqlite::Result<u64> {
    let to = end.min(from + CHUNK_ROWS);
    let mut select = conn.prepare_cached(
        "SELECT r.seq, r.salt, r.body_hash, r.json, r.raw, r.id, r.problem, r.duplicate_of, first.id, first.seq,
           r.tags, r.leaf, r.erased_by, r.header, erasing.problem IS NULL AND erasing.json IS NOT NULL
         FROM record r LEFT JOIN record first ON first.seq = r.duplicate_of LEFT JOIN record erasing ON erasing.seq = r.erased_by
         WHERE r.seq >= ?1 AND r.seq < ?2 ORDER BY r.seq",
    )?;
    let mut rows = select.query((from, to))?;
    let mut next = from;
    while let Some(row) = rows.next()? {
        let seq: u64 = row.get(0)?;
        if seq != next {
            report.add(path, format!("messages {next} to {} are missing", seq - 1));
        }
        next = seq + 1;
        report.messages += 1;
        tree.leaf(seq, NodeHash::from_bytes(row.get(11)?));
        for problem in problems(row, seq, tree.index(seq), counted)? {
            report.add(path, format!("message {seq}: {problem}"));
        }
    }
    if next != to {
        report.add(path, format!("messages {next} to {} are missing", to - 1));
    }
    Ok(to)
}

#[derive(Deserialize)]
struct OnlyId {
    id: String,
}

fn problems(row: &Row<'_>, seq: u64, index: u64, counted: &mut (u64, u64)) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    if let Some(by) = row.get::<_, Option<u64>>(12)? {
        return erased_problems(row, by, seq, counted);
    }
    let (salt, tags): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(1)?, row.get(10)?);
    let json: Option<String> = row.get(3)?;
    let raw: Option<Vec<u8>> = row.get(4)?;
    let body = json.as_deref().map(str::as_bytes).or(raw.as_deref());
    let leaf = Leaf::of(index, salt.as_deref(), tags.as_deref(), body);
    if row.get_ref(2)?.as_bytes()? != leaf.body {
        found.push("the body is not the one that was archived".to_owned());
    } else if row.get_ref(11)?.as_bytes()? != leaf.hash(&mut Vec::new()).as_bytes() {
        found.push("its leaf in the tree is another message's".to_owned());
    }
    if row.get_ref(6)?.as_str_or_null()?.is_some() {
        counted.1 += 1;
        return Ok(found);
    }
    let id: Option<String> = row.get(5)?;
    let inside = json.as_deref().and_then(|json| serde_json::from_str::<OnlyId>(json).ok());
    if inside.map(|record| record.id) != id {
        found.push("the row's id is not the record's".to_owned());
    }
    if let Some(duplicate_of) = row.get::<_, Option<u64>>(7)? {
        counted.0 += 1;
        let first: Option<String> = row.get(8)?;
        if duplicate_of >= seq || first != id {
            found.push(format!(
                "it is marked as a duplicate of message {duplicate_of}, which it does not repeat"
            ));
        }
    }
    Ok(found)
}

/// What is wrong with a message whose body was erased: its header has to be the leaf's, and nothing of the body may stand.
fn erased_problems(
    row: &Row<'_>,
    by: u64,
    seq: u64,
    counted: &mut (u64, u64),
) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    let header: Option<Vec<u8>> = row.get(13)?;
    let header = header.unwrap_or_default();
    if leaf_hash(&header).as_bytes() != row.get_ref(11)?.as_bytes()? {
        found.push("its leaf in the tree is another message's".to_owned());
    } else if Leaf::parse(&header)
        .is_ok_and(|leaf| row.get_ref(2).is_ok_and(|hash| hash.as_bytes() != Ok(&leaf.body[..])))
    {
        found.push("the body is not the one that was archived".to_owned());
    }
    if !row.get::<_, Option<bool>>(14)?.unwrap_or(false) {
        found.push(format!("its body is gone, and message {by} is no erasure"));
    }
    let left =
        [1, 3, 4].into_iter().any(|column| row.get_ref(column).is_ok_and(|value| value != ValueRef::Null));
    if left || by == seq {
        found.push("its body was erased, and is there".to_owned());
    }
    if row.get_ref(6)?.as_str_or_null()?.is_some() {
        counted.1 += 1;
    } else if row.get::<_, Option<u64>>(7)?.is_some() {
        counted.0 += 1;
    }
    Ok(found)
}
