//! What a report reads through: the archive up to one frontier, what was asked, and what the process knows beside it.

use std::collections::BTreeMap;
use std::time::Instant;

use audit_archive::{Frontier, Over, QueryError, Reader, SelectedRow, SqlValue, Statement};
use audit_record::{Period, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::compliance::Compliance;
use crate::question::Question;
use crate::report::Total;

/// Narrows a statement over `audit_log` to the projects asked for.
pub(crate) const IN_PROJECTS: &str = "(:projects IS NULL
    OR project_id IN (SELECT value FROM json_each(:projects))
    OR project_key IN (SELECT value FROM json_each(:projects))
    OR project_name IN (SELECT value FROM json_each(:projects)))";

/// What the process that runs a report knows beside the archive.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// What the configuration calls production and so on.
    pub compliance: Compliance,
    /// The sources among the settings.
    pub sources: Vec<KnownSource>,
    /// The names of the webhook endpoints among the settings, by id.
    pub endpoints: BTreeMap<String, String>,
    /// How many partitions the log has.
    pub partitions: u32,
    /// Since when, by whom and where the log's checkpoints are kept outside, or that they are not: a sentence.
    pub anchored: String,
}

/// A source among the settings.
#[derive(Clone, Debug)]
pub struct KnownSource {
    /// Its name.
    pub name: String,
    /// The platform, as records name it.
    pub system: String,
    /// When it was set up, RFC 3339.
    pub connected_since: String,
    /// Requests that could not become records, as far as this process knows.
    pub rejected: Option<u64>,
}

/// SQL that a report ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlRun {
    /// The text; it is run on every partition's file. `:first_seq` and `:end_seq` go through the file in pieces.
    pub text: String,
    /// The other parameters and what was bound to them.
    pub parameters: serde_json::Value,
    /// How many rows it gave, of all files.
    pub rows: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Nothing of that name.
    #[error("there is no report {0:?}: flagtrail report list names them all")]
    Unknown(String),
    /// What was asked for does not fit.
    #[error("{0}")]
    Asked(String),
    /// The archive does not answer.
    #[error(transparent)]
    Archive(#[from] QueryError),
    /// It takes longer than it may.
    #[error("the report takes too long: ask for a shorter period, or for one project")]
    TooLong,
    /// More is to be held in memory than may be.
    #[error("the report would have to hold more than {0}: ask for a shorter period, or for one project")]
    TooMuch(&'static str),
}

/// What a report reads through.
#[derive(Debug)]
pub(crate) struct Evidence<'a> {
    reader: &'a Reader,
    frontier: Frontier,
    question: &'a Question,
    surroundings: &'a Surroundings,
    until: Instant,
    sql: Vec<SqlRun>,
    totals: Vec<Total>,
    notes: Vec<String>,
}

impl<'a> Evidence<'a> {
    pub(crate) fn new(
        reader: &'a Reader,
        question: &'a Question,
        surroundings: &'a Surroundings,
        until: Instant,
    ) -> Result<Self, ReportError> {
        let frontier = reader.frontier()?;
        let (sql, totals, notes) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { reader, frontier, question, surroundings, until, sql, totals, notes })
    }

    pub(crate) fn reader(&self) -> &'a Reader {
        self.reader
    }

    /// How far the report looks.
    pub(crate) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    pub(crate) fn question(&self) -> &'a Question {
        self.question
    }

    pub(crate) fn surroundings(&self) -> &'a Surroundings {
        self.surroundings
    }

    pub(crate) fn compliance(&self) -> &'a Compliance {
        &self.surroundings.compliance
    }

    /// Counts over all rows, for the report's end.
    pub(crate) fn total(&mut self, what: impl Into<String>, count: u64) {
        self.totals.push(Total { what: what.into(), count });
    }

    /// Something that a reader of this report has to know, beside what its definition says.
    pub(crate) fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// Runs `sql` over every file, with the projects and the period asked for bound, and shows each row to `each`. The
    /// report prints it.
    pub(crate) fn rows(
        &mut self,
        sql: &str,
        over: Over,
        period: Period,
        each: &mut dyn FnMut(SelectedRow),
    ) -> Result<(), ReportError> {
        self.rows_with(sql, over, period, Vec::new(), each)
    }

    /// The same with parameters of the report's own.
    pub(crate) fn rows_with(
        &mut self,
        sql: &str,
        over: Over,
        period: Period,
        more: Vec<(&'static str, SqlValue)>,
        each: &mut dyn FnMut(SelectedRow),
    ) -> Result<(), ReportError> {
        self.rows_kept(sql, over, period, more, &mut |row| {
            each(row);
            true
        })
    }

    /// The same where `keep` judges what the SQL can't: of rows that it does not keep, not even their number is printed.
    pub(crate) fn rows_kept(
        &mut self,
        sql: &str,
        over: Over,
        period: Period,
        more: Vec<(&'static str, SqlValue)>,
        keep: &mut dyn FnMut(SelectedRow) -> bool,
    ) -> Result<(), ReportError> {
        let parameters = self.parameters(sql, period, more);
        let shown = parameters.iter().map(|(name, value)| ((*name).to_owned(), shown(value))).collect();
        let mut rows = 0;
        self.run(sql, over, period, parameters, &mut |row| rows += u64::from(keep(row)))?;
        self.sql.push(SqlRun {
            text: sql.trim().to_owned(),
            parameters: serde_json::Value::Object(shown),
            rows,
        });
        Ok(())
    }

    /// Has the report print what a question to the archive comes to in SQL, where no statement of the report's own was
    /// run.
    pub(crate) fn ran(&mut self, sql: &str, parameters: serde_json::Value, rows: u64) {
        self.sql.push(SqlRun { text: sql.to_owned(), parameters, rows });
    }

    /// Whether there is time left.
    pub(crate) fn in_time(&self) -> Result<(), ReportError> {
        if Instant::now() > self.until { Err(ReportError::TooLong) } else { Ok(()) }
    }

    /// The same for what stands beside every report, and is not printed.
    pub(crate) fn aside(
        &self,
        sql: &str,
        over: Over,
        each: &mut dyn FnMut(SelectedRow),
    ) -> Result<(), ReportError> {
        self.run(sql, over, Period::default(), Vec::new(), each)
    }

    /// What is bound to the parameters that the text has.
    fn parameters(
        &self,
        sql: &str,
        period: Period,
        more: Vec<(&'static str, SqlValue)>,
    ) -> Vec<(&'static str, SqlValue)> {
        let projects = &self.question.projects;
        let projects =
            if projects.is_empty() { SqlValue::Null } else { SqlValue::Text(json!(projects).to_string()) };
        let us = |at: Option<Timestamp>, open| SqlValue::Integer(at.map_or(open, Timestamp::micros));
        let all = [
            (":projects", projects),
            (":from_us", us(period.from, i64::MIN)),
            (":to_us", us(period.to, i64::MAX)),
            (":at_us", us(Some(self.question.at), 0)),
        ];
        all.into_iter().chain(more).filter(|(name, _)| sql.contains(name)).collect()
    }

    fn run(
        &self,
        sql: &str,
        over: Over,
        period: Period,
        parameters: Vec<(&'static str, SqlValue)>,
        each: &mut dyn FnMut(SelectedRow),
    ) -> Result<(), ReportError> {
        let statement = Statement { sql: sql.to_owned(), over, period, parameters };
        let mut selection = self.reader.select(statement, &self.frontier)?;
        while let Some(found) = selection.look_on() {
            self.in_time()?;
            if let Some(row) = found? {
                each(row);
            }
        }
        Ok(())
    }

    pub(crate) fn into_parts(self) -> (Vec<SqlRun>, Vec<Total>, Vec<String>) {
        (self.sql, self.totals, self.notes)
    }
}

fn shown(value: &SqlValue) -> serde_json::Value {
    match value {
        SqlValue::Null => serde_json::Value::Null,
        SqlValue::Integer(number) => json!(number),
        SqlValue::Real(number) => json!(number),
        SqlValue::Text(text) => json!(text),
        SqlValue::Blob(bytes) => json!(format!("{} bytes", bytes.len())),
    }
}
