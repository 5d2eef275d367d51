//! A report as it is handed out: the rows, and all that a reader needs to judge them.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::cell::Cell;
use crate::compliance::Compliance;
use crate::coverage::Coverage;
use crate::definition::Definition;
use crate::evidence::SqlRun;

/// The version of this document.
pub(crate) const DOCUMENT_VERSION: u32 = 1;

/// A report that was run.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it means.
    pub definition: Definition,
    /// Its title, which says so where its sources can't tell what it is about.
    pub title: String,
    /// What was asked for.
    pub parameters: Value,
    /// Who asked.
    pub asked_by: String,
    /// When, RFC 3339.
    pub generated_at: String,
    /// What ran it: name and version.
    pub generator: String,
    /// What the configuration calls production, privileged and so on.
    pub compliance: Compliance,
    /// What the sources behind it could and could not tell.
    pub coverage: Coverage,
    /// Counts over all rows, those left out included where they could be counted.
    pub totals: Vec<Total>,
    /// The SQL that was run, on every partition's file.
    pub sql: Vec<SqlRun>,
    /// Where rows were left out.
    pub cut: Option<Cut>,
    /// A cell a column.
    pub rows: Vec<Vec<Cell>>,
}

/// One count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// What is counted.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// What a report that had too many rows left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// How many rows are missing.
    pub rows_left_out: u64,
    /// How many rows a report may have; fewer stand in it where they were long.
    pub rows_max: u64,
}

/// The document as it stands in JSON: each row an object by column.
#[derive(Serialize, Deserialize)]
struct Document {
    v: u32,
    definition: Definition,
    title: String,
    parameters: Value,
    asked_by: String,
    generated_at: String,
    generator: String,
    compliance: Compliance,
    coverage: Coverage,
    totals: Vec<Total>,
    sql: Vec<SqlRun>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
    rows: Vec<serde_json::Map<String, Value>>,
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = |row: &Vec<Cell>| {
            let columns = self.definition.columns.iter().map(|column| column.name.to_string());
            columns.zip(row.iter().map(Cell::to_json)).collect()
        };
        Document {
            v: DOCUMENT_VERSION,
            definition: self.definition.clone(),
            title: self.title.clone(),
            parameters: self.parameters.clone(),
            asked_by: self.asked_by.clone(),
            generated_at: self.generated_at.clone(),
            generator: self.generator.clone(),
            compliance: self.compliance.clone(),
            coverage: self.coverage.clone(),
            totals: self.totals.clone(),
            sql: self.sql.clone(),
            cut: self.cut,
            rows: self.rows.iter().map(named).collect(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Document::deserialize(deserializer)?;
        if document.v > DOCUMENT_VERSION {
            return Err(serde::de::Error::custom(format!(
                "the report is of a later release (its version is {}, this release knows {DOCUMENT_VERSION})",
                document.v
            )));
        }
        let columns = &document.definition.columns;
        let cell = |row: &serde_json::Map<String, Value>, column: &crate::definition::Column| {
            Cell::from_json(row.get(&*column.name).unwrap_or(&Value::Null), column.kind)
        };
        let rows = document.rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect());
        let rows = rows.collect();
        Ok(Self {
            rows,
            definition: document.definition,
            title: document.title,
            parameters: document.parameters,
            asked_by: document.asked_by,
            generated_at: document.generated_at,
            generator: document.generator,
            compliance: document.compliance,
            coverage: document.coverage,
            totals: document.totals,
            sql: document.sql,
            cut: document.cut,
        })
    }
}
