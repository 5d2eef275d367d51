//! Decisions of reviewers, read from the CSV that a report was handed out as and came back filled in.
//!
//! It is read as a whole or not at all: every line that is wrong is named. What a spreadsheet does to a file on the way
//! (semicolons, a byte order mark, its own form of times, the `'` of the formula guard) is taken back.

use audit_record::{Timestamp, parse_moment};
use serde::Serialize;

/// Most decisions of one file.
pub const DECISIONS_MAX: usize = 20_000;

/// Longest cell, in characters: the rest of a record is as long at most.
const CELL_CHARS_MAX: usize = 4_000;

/// Most wrong lines that are named; the rest is counted.
const WRONG_LISTED_MAX: usize = 100;

/// What may be decided.
pub const DECISIONS: [&str; 5] = ["keep", "modify", "revoke", "approve", "reject"];

/// Byte order mark, which spreadsheets put first.
const BOM: char = '\u{feff}';

/// One decision, as a line says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DecisionLine {
    /// The line of the file, from 1 (the header).
    #[serde(skip)]
    pub line: u64,
    /// The report whose line it is about.
    pub report: String,
    /// What of the line says which access or change it is about, and what else came with the decision, by column.
    #[serde(flatten)]
    pub cells: std::collections::BTreeMap<&'static str, String>,
    /// When it was decided.
    #[serde(skip)]
    pub decided_at: Timestamp,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongLine {
    /// The line of the file, from 1 (the header); 0 where it is about the whole file.
    pub line: u64,
    /// Which column.
    pub column: &'static str,
    /// What is wrong and how to mend it.
    pub problem: String,
}

/// A file that can't be taken: every line that is wrong, the first hundred of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} of the decisions can't be taken; nothing was recorded", .wrong.len() + .left_out)]
pub struct WrongDecisions {
    /// The first of them.
    pub wrong: Vec<WrongLine>,
    /// How many more there are.
    pub left_out: usize,
}

/// The decisions of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// One a line that has a decision.
    pub decided: Vec<DecisionLine>,
    /// Lines without one.
    pub undecided: usize,
}

/// What a decision is about: access, by these …
const ACCESS: [&str; 8] =
    ["user_id", "user_name", "email", "kind", "project", "environment", "role", "grant_record_id"];

/// … or a change, by these. The columns of `sod_exceptions` are among them.
const CHANGE: [&str; 5] = ["change_id", "flag", "environment", "project", "rule"];

/// What a reviewer fills in.
const FILLED_IN: [&str; 6] =
    ["reviewer", "decision", "decision_at", "rationale", "remediation_record_id", "remediation_at"];

/// Reads a file of a review of `report` (told from its columns where absent), as of `now`.
pub fn read_decisions(text: &str, report: Option<&str>, now: Timestamp) -> Result<Decisions, WrongDecisions> {
    let mut wrong = Wrong::default();
    let text = text.trim_start_matches(BOM);
    let delimiter = delimiter(text);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(false).from_reader(text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(WrongDecisions::whole(format!("is no CSV: {error}"))),
    };
    let of = |name: &str| header.iter().position(|column| column.trim().eq_ignore_ascii_case(name));
    for needed in ["reviewer", "decision", "decision_at"] {
        if of(needed).is_none() {
            return Err(WrongDecisions::whole(format!(
                "has no column {needed}: the first line names the columns"
            )));
        }
    }
    let about_change = of("change_id").is_some();
    if !about_change && ["user_id", "email", "user_name"].iter().all(|name| of(name).is_none()) {
        let problem =
            "has neither change_id nor user_id, email or user_name: nothing says what was decided on";
        return Err(WrongDecisions::whole(problem.to_owned()));
    }
    let told = if about_change { "change_log" } else { "user_access_review" };
    let report = report.unwrap_or(told);
    let about = if about_change { &CHANGE[..] } else { &ACCESS[..] };
    let columns: Vec<(&'static str, usize)> =
        about.iter().chain(&FILLED_IN).filter_map(|&name| Some((name, of(name)?))).collect();
    let mut decisions = Decisions { decided: Vec::new(), undecided: 0 };
    for row in reader.records() {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                wrong.add(line, "", format!("is no line of this CSV: {error}"));
                break;
            }
        };
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |column: usize| unguarded(row.get(column).unwrap_or_default().trim()).to_owned();
        let cells: std::collections::BTreeMap<&'static str, String> = columns
            .iter()
            .map(|&(name, column)| (name, cell(column)))
            .filter(|(_, cell)| !cell.is_empty())
            .collect();
        if !cells.contains_key("decision") {
            decisions.undecided += 1;
            continue;
        }
        if decisions.decided.len() >= DECISIONS_MAX {
            wrong.add(line, "", format!("is one decision too many: a file may have {DECISIONS_MAX}"));
            break;
        }
        decisions.decided.extend(read_line(line, report, about_change, cells, now, &mut wrong));
    }
    wrong.into_result(decisions)
}

fn read_line(
    line: u64,
    report: &str,
    about_change: bool,
    mut cells: std::collections::BTreeMap<&'static str, String>,
    now: Timestamp,
    wrong: &mut Wrong,
) -> Option<DecisionLine> {
    let before = wrong.count();
    for (name, cell) in &cells {
        if cell.chars().count() > CELL_CHARS_MAX {
            wrong.add(line, name, format!("may have {CELL_CHARS_MAX} characters"));
        }
    }
    let decision = cells.get("decision").map(|decision| decision.to_lowercase()).unwrap_or_default();
    if !DECISIONS.contains(&decision.as_str()) {
        wrong.add(line, "decision", format!("must be one of {}", DECISIONS.join(", ")));
    }
    cells.insert("decision", decision);
    if !cells.contains_key("reviewer") {
        wrong.add(line, "reviewer", "must say who decided".to_owned());
    }
    let subjects: &[&str] = if about_change { &["change_id"] } else { &["email", "user_id", "user_name"] };
    if !subjects.iter().any(|name| cells.contains_key(name)) {
        wrong.add(line, subjects[0], "must say what was decided on".to_owned());
    }
    let mut decided_at = None;
    for name in ["decision_at", "remediation_at"] {
        let Some(text) = cells.get(name) else { continue };
        match time(text, now) {
            Some(at) if at <= now => {
                cells.insert(name, at.to_string());
                if name == "decision_at" {
                    decided_at = Some(at);
                }
            }
            Some(_) => wrong.add(line, name, "lies in the future".to_owned()),
            None => wrong.add(
                line,
                name,
                "must be a time such as 2026-09-30T12:00:00Z or 2026-09-30 12:00".to_owned(),
            ),
        }
    }
    if !cells.contains_key("decision_at") {
        wrong.add(line, "decision_at", "must say when it was decided".to_owned());
    }
    if wrong.count() > before {
        return None;
    }
    Some(DecisionLine { line, report: report.to_owned(), cells, decided_at: decided_at? })
}

/// RFC 3339, a day, or as spreadsheets write it, in UTC.
fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let spaced = text.replacen(' ', "T", 1);
    let completed = [text.to_owned(), format!("{spaced}Z"), format!("{spaced}:00Z")];
    // A duration back from now is no time that a reviewer decided at.
    let is_day = text.len() == 10;
    completed
        .iter()
        .find_map(|text| Timestamp::parse(text).ok())
        .or_else(|| is_day.then(|| parse_moment(text, now).ok()).flatten())
}

/// Without the mark that keeps spreadsheets from running a cell.
fn unguarded(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) => rest,
        _ => cell,
    }
}

/// Spreadsheets of some countries write semicolons.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    let count = |c: char| header.matches(c).count();
    if count(';') > count(',') { b';' } else { b',' }
}

#[derive(Default)]
struct Wrong {
    listed: Vec<WrongLine>,
    left_out: usize,
}

impl Wrong {
    fn add(&mut self, line: u64, column: &'static str, problem: String) {
        if self.listed.len() < WRONG_LISTED_MAX {
            self.listed.push(WrongLine { line, column, problem });
        } else {
            self.left_out += 1;
        }
    }

    fn count(&self) -> usize {
        self.listed.len() + self.left_out
    }

    fn into_result(self, decisions: Decisions) -> Result<Decisions, WrongDecisions> {
        if self.listed.is_empty() {
            Ok(decisions)
        } else {
            Err(WrongDecisions { wrong: self.listed, left_out: self.left_out })
        }
    }
}

impl WrongDecisions {
    fn whole(problem: String) -> Self {
        Self {
            wrong: vec![WrongLine { line: 0, column: "", problem: format!("the file {problem}") }],
            left_out: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse("2026-11-21T12:00:00Z").unwrap()
    }

    #[test]
    fn decisions_on_access_are_read_and_lines_without_one_counted() {
        let text = "\u{feff}user_id;email;role;reviewer;decision;decision_at;rationale\r\n\
            1;ada@example.com;admin;Grace;Keep;2026-09-30 12:00;'-needed\r\n\
            2;bob@example.com;viewer;;;;\r\n";
        let read = read_decisions(text, None, now()).unwrap();
        assert_eq!((read.decided.len(), read.undecided), (1, 1));
        let decided = &read.decided[0];
        assert_eq!(decided.report, "user_access_review");
        assert_eq!(decided.cells["decision"], "keep");
        assert_eq!(decided.cells["decision_at"], "2026-09-30T12:00:00.000000Z");
        assert_eq!(decided.cells["rationale"], "-needed", "the guard against formulas is taken back");
    }

    #[test]
    fn every_wrong_line_is_named_and_then_nothing_is_taken() {
        let text = "change_id,reviewer,decision,decision_at\n\
            c1,Grace,approve,2026-09-30T12:00:00Z\n\
            c2,Grace,maybe,2026-09-30\n\
            ,Grace,reject,2027-01-01T00:00:00Z\n\
            c4,,approve,soon\n";
        let wrong = read_decisions(text, Some("emergency_changes"), now()).unwrap_err();
        let named: Vec<_> = wrong.wrong.iter().map(|wrong| (wrong.line, wrong.column)).collect();
        let expected =
            [(3, "decision"), (4, "change_id"), (4, "decision_at"), (5, "reviewer"), (5, "decision_at")];
        assert_eq!(named, expected);
    }

    #[test]
    fn a_file_of_something_else_is_refused_by_what_it_lacks() {
        for (text, named) in [
            ("a,b\n1,2\n", "reviewer"),
            ("reviewer,decision,decision_at\nx,keep,2026-01-01\n", "change_id"),
            ("", "reviewer"),
        ] {
            let wrong = read_decisions(text, None, now()).unwrap_err();
            assert!(wrong.wrong[0].problem.contains(named), "{text:?}: {wrong:?}");
        }
    }
}
