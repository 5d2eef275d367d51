//! The rows of a segment's Parquet file, compared with the leaves that the log's keys have signed.
//!
//! Parquet is read by whoever calls ([`RowReader`]), for a reader of it is larger than all of this crate. What a row has to be
//! is decided here: its `leaf_header` is that of a leaf of the segment, salt and body have the hash that the header keeps, and
//! the other columns say what the body says.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use audit_proof::{Cut, Leaf, NodeHash, body_hash, leaf_hash};
use audit_record::{AuditRecord, Timestamp};
use serde_json::Value;

use super::columns::{COLUMNS, Says};
use super::name::Tree;
use crate::report::Report;

/// Most things wrong with the rows of one file that are told one by one.
const PROBLEMS_NAMED_MAX: usize = 20;

/// What stands in a column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Nothing.
    Absent,
    /// Text, JSON or bytes.
    Bytes(&'a [u8]),
    /// A number, or a moment in microseconds since 1970.
    Number(i64),
}

/// A column's name, and what stands in it.
pub type NamedCell<'a> = (&'a str, Cell<'a>);

/// Reads the Parquet files of segments.
pub trait RowReader {
    /// Gives every row of a file in order. An `Err` says why the file can't be
    /// read, or can't be read on: the rows before were given.
    fn read(&self, file: &Path, each: &mut dyn FnMut(&[NamedCell<'_>])) -> io::Result<()>;
}

/// The comparison of one file.
pub(super) struct Rows<'c> {
    tree: &'c Tree,
    cut: &'c Cut,
    /// The hashes of the segment's leaves: they lead to the root that was signed.
    leaves: &'c [NodeHash],
    columns: BTreeMap<&'static str, Says>,
    /// Whether there was a row of each leaf.
    seen: Vec<bool>,
    /// Which row is of which leaf, each once.
    order: Vec<(u64, u64)>,
    rows: u64,
    problems: Vec<String>,
    /// Problems that are counted only.
    more: u64,
    /// Columns that are not known here.
    unknown: Vec<String>,
}

impl<'c> Rows<'c> {
    pub(super) fn of(tree: &'c Tree, cut: &'c Cut, leaves: &'c [NodeHash]) -> Self {
        Self {
            tree,
            cut,
            leaves,
            columns: COLUMNS.into_iter().collect(),
            seen: vec![false; leaves.len()],
            order: Vec::new(),
            rows: 0,
            problems: Vec::new(),
            more: 0,
            unknown: Vec::new(),
        }
    }

    /// Looks at the next row.
    pub(super) fn take(&mut self, cells: &[(&str, Cell<'_>)]) {
        self.rows += 1;
        if self.rows == 1 {
            self.look_at_names(cells);
        }
        match self.leaf_of(cells) {
            Err(problem) => self.find(format!("row {} {problem}", self.rows)),
            Ok((at, leaf)) => {
                if std::mem::replace(&mut self.seen[at], true) {
                    self.find_in(&leaf, "is a second row of that leaf: it was added");
                } else {
                    self.order.push((self.rows, leaf.seq));
                }
                self.compare(cells, &leaf);
            }
        }
    }

    /// What all rows together come to: how many there are, where nothing is wrong with any.
    pub(super) fn end(mut self, file: &str, report: &mut Report) -> Option<u64> {
        let order = std::mem::take(&mut self.order);
        let mut sorted: Vec<u64> = order.iter().map(|(_, leaf)| *leaf).collect();
        sorted.sort_unstable();
        for ((row, leaf), ought) in order.iter().zip(&sorted).filter(|((_, leaf), ought)| leaf != *ought) {
            self.find(format!(
                "row {row} is of leaf {leaf}, where that of leaf {ought} belongs: rows were swapped or moved"
            ));
        }
        let seen = std::mem::take(&mut self.seen);
        let missing = seen.iter().enumerate().filter(|(_, is_seen)| !**is_seen).map(|(at, _)| at as u64);
        for at in missing {
            let leaf = self.cut.start.seq + at;
            self.find(format!(
                "no row is of leaf {leaf}: it was removed, or altered so that it says another"
            ));
        }
        if !self.unknown.is_empty() {
            report.not_covered.push(format!(
                "the columns {} of {file}: no column that is known here is called so",
                self.unknown.join(", ")
            ));
        }
        let is_sound = self.problems.is_empty();
        self.problems.into_iter().for_each(|problem| report.find(file, problem));
        if self.more > 0 {
            report.find(file, format!("{} more things are wrong with its rows", self.more));
        }
        is_sound.then_some(self.rows)
    }

    /// Which columns there are: those of a row are those of all.
    fn look_at_names(&mut self, cells: &[(&str, Cell<'_>)]) {
        const OWN: [&str; 8] =
            ["json", "raw", "leaf_header", "salt", "partition", "seq", "log_offset", "appended_at"];
        let is_there = |name: &str| cells.iter().any(|(column, _)| *column == name);
        let wanted = COLUMNS.iter().map(|(name, _)| *name).chain(OWN);
        for name in wanted.filter(|name| !is_there(name)) {
            self.find(format!("has no column {name}"));
        }
        let mut names = BTreeSet::new();
        for (name, _) in cells {
            // Readers take names that differ in case alone for the same.
            if !names.insert(name.to_ascii_lowercase()) {
                self.find(format!("has two columns {name}: one was added"));
            }
        }
        let is_unknown = |name: &str| !OWN.contains(&name) && !self.columns.contains_key(name);
        let unknown = cells.iter().map(|(name, _)| *name).filter(|name| is_unknown(name));
        self.unknown = unknown.take(PROBLEMS_NAMED_MAX).map(str::to_owned).collect();
    }

    /// The leaf that a row is of, and its place in the segment. An `Err` says why it is of none.
    fn leaf_of<'a>(&self, cells: &[(&str, Cell<'a>)]) -> Result<(usize, Leaf<'a>), String> {
        let Cell::Bytes(header) = cell(cells, "leaf_header") else {
            return Err("has no leaf_header: it was altered, or added".to_owned());
        };
        let leaf = Leaf::parse(header)
            .map_err(|error| format!("has a leaf_header that was altered, or added: {error}"))?;
        let at = leaf.seq.checked_sub(self.cut.start.seq).and_then(|at| usize::try_from(at).ok());
        match at.and_then(|at| Some((at, self.leaves.get(at)?))) {
            Some((at, hash)) if *hash == leaf_hash(header) => Ok((at, leaf)),
            Some(_) => {
                Err(format!("has a leaf_header that is not that of leaf {}: it was altered", leaf.seq))
            }
            None => Err(format!("is of leaf {}, which is not of this segment: it was added", leaf.seq)),
        }
    }

    /// Compares what a row says with the leaf that it is of.
    fn compare(&mut self, cells: &[(&str, Cell<'_>)], leaf: &Leaf<'_>) {
        let (tree, cut) = (self.tree, self.cut);
        let of = |name| cell(cells, name);
        let bytes = |name| match of(name) {
            Cell::Bytes(bytes) => Some(bytes),
            Cell::Absent | Cell::Number(_) => None,
        };
        let (json, raw) = (bytes("json"), bytes("raw"));
        if json.is_some() && raw.is_some() {
            self.find_in(leaf, "has both json and raw: it was altered");
        }
        if body_hash(bytes("salt"), json.or(raw)) != leaf.body {
            self.find_in(
                leaf,
                "says something else in json, raw or salt than its leaf was made of: it was altered",
            );
        }
        // What is appended here is in this form, so its columns were made of it.
        let is_record = |raw| AuditRecord::from_json(raw).is_ok_and(|record| record.canonical() == raw);
        if raw.is_some_and(is_record) {
            self.find_in(leaf, "hides a record in raw: it was altered");
        }
        let record: Option<Value> = json.and_then(|json| serde_json::from_slice(json).ok());
        if json.is_some() && record.is_none() {
            self.find_in(leaf, "has json that is none: it was altered");
        }
        let offsets = cut.start.offset..cut.end.offset;
        let is_on_the_day = |micros: i64| {
            Timestamp::from_micros(micros).is_ok_and(|at| at.to_string().starts_with(&cut.date))
        };
        let number =
            |name, fits: &dyn Fn(i64) -> bool| matches!(of(name), Cell::Number(number) if fits(number));
        let is = |number: i64, wanted: u64| u64::try_from(number) == Ok(wanted);
        let places = [
            ("partition", number("partition", &|number: i64| is(number, tree.partition.into()))),
            ("seq", number("seq", &|number: i64| is(number, leaf.seq))),
            (
                "log_offset",
                number("log_offset", &|number: i64| {
                    u64::try_from(number).is_ok_and(|at| offsets.contains(&at))
                }),
            ),
            ("appended_at", number("appended_at", &is_on_the_day)),
        ];
        for (name, _) in places.into_iter().filter(|(_, fits)| !fits) {
            self.find_in(
                leaf,
                &format!("can't have that in column {name} where its leaf stands: it was altered"),
            );
        }
        for (name, cell) in cells {
            let says = self.columns.get(*name).copied();
            if says.is_some_and(|says| !says.fits(record.as_ref(), *cell)) {
                self.find_in(
                    leaf,
                    &format!("says something else in column {name} than in json: it was altered"),
                );
            }
        }
    }

    fn find_in(&mut self, leaf: &Leaf<'_>, problem: &str) {
        self.find(format!("row {}, of leaf {}, {problem}", self.rows, leaf.seq));
    }

    fn find(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_NAMED_MAX {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }
}

/// What stands in a column; nothing, where there is no such column.
fn cell<'a>(cells: &[(&str, Cell<'a>)], name: &str) -> Cell<'a> {
    cells.iter().find(|(column, _)| *column == name).map_or(Cell::Absent, |(_, cell)| *cell)
}
