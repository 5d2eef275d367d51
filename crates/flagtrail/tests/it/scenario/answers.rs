//! Reports by the command line, and what they find beside what is planted.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Debug;

use flagtrail_testkit::company::{Moment, Planted, Tag, begin, end, rfc3339};
use serde_json::Value;

use super::feed::Fed;
use crate::harness::Node;

/// How many of each are shown where they differ.
const SHOWN_MAX: usize = 8;

/// Who asks, and what is true.
pub(super) struct Asker<'a> {
    pub(super) node: &'a Node,
    pub(super) planted: &'a Planted,
    pub(super) fed: &'a Fed,
    /// The names of all reports that were asked for.
    pub(super) asked: RefCell<BTreeSet<String>>,
    /// What differs so far: all of it is told at the end.
    pub(super) wrong: RefCell<Vec<String>>,
}

impl Asker<'_> {
    /// The rows of a report.
    pub(super) fn report(&self, name: &str, more: &[&str]) -> Vec<Value> {
        self.asked.borrow_mut().insert(name.to_owned());
        let words = [["report", name, "--format", "json"].as_slice(), more].concat();
        let mut document: Value = serde_json::from_str(&self.node.command(&words)).unwrap();
        assert!(document["cut"].is_null(), "{name} is cut");
        match document["rows"].take() {
            Value::Array(rows) => rows,
            other => panic!("{name}: {other}"),
        }
    }

    /// Over the whole year.
    pub(super) fn of_the_year(&self, name: &str) -> Vec<Value> {
        self.report(name, &["--from", &rfc3339(begin()), "--to", &rfc3339(end())])
    }

    /// As of a moment.
    pub(super) fn as_of(&self, name: &str, at: Moment) -> Vec<Value> {
        self.report(name, &["--at", &rfc3339(at)])
    }

    /// What is found is what is planted, none of it more often or less.
    pub(super) fn same<T: Ord + Debug>(&self, what: &str, mut planted: Vec<T>, mut found: Vec<T>) {
        planted.sort();
        found.sort();
        if planted == found {
            return;
        }
        let without = |these: &[T], others: &[T]| -> String {
            let missing = these.iter().filter(|one| others.binary_search(one).is_err());
            let missing: Vec<String> = missing.take(SHOWN_MAX).map(|one| format!("\n  {one:?}")).collect();
            missing.concat()
        };
        let wrong = format!(
            "{what}: {} planted, {} found\nplanted and not found:{}\nfound and not planted:{}",
            planted.len(),
            found.len(),
            without(&planted, &found),
            without(&found, &planted)
        );
        // At once, too: what comes after may fail altogether.
        eprintln!("{wrong}\n");
        self.wrong.borrow_mut().push(wrong);
    }

    /// Tells all that differs.
    pub(super) fn finish(self) {
        let wrong = self.wrong.into_inner();
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    }

    pub(super) fn ids<'t>(&self, tags: impl IntoIterator<Item = &'t Tag>) -> BTreeSet<String> {
        tags.into_iter().map(|tag| self.fed.id(*tag).to_owned()).collect()
    }
}

/// A cell as text; nothing where it is empty.
pub(super) fn text(row: &Value, column: &str) -> Option<String> {
    let cell = row.get(column).unwrap_or_else(|| panic!("no column {column} in {row}"));
    match cell {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A cell that is a list.
pub(super) fn list(row: &Value, column: &str) -> BTreeSet<String> {
    let cell = row.get(column).unwrap_or_else(|| panic!("no column {column} in {row}"));
    cell.as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// A moment as reports write it: without a fraction where there is none.
pub(super) fn written(at: Moment) -> String {
    audit_record::Timestamp::parse(&rfc3339(at)).unwrap().to_string()
}
