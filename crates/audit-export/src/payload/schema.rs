//! What says what a file means, so that it is understood without Flagtrail: one document a format, put beside the files.

use audit_archive::ExportFile;
use audit_dialect::outbound::ocsf;

use super::columns::{Content, Presence, RECORD_COLUMNS};
use super::csv;
use super::format::Format;

/// The JSON Schema of a record.
const RECORD_SCHEMA: &str = include_str!("../../../../schemas/audit-record.v1.schema.json");

/// A document that describes a format.
#[derive(Clone, Debug)]
pub struct SchemaDocument {
    /// Its file name.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

impl Format {
    /// The document that describes files of this format.
    pub fn schema(self) -> SchemaDocument {
        match self {
            Self::Ndjson => {
                SchemaDocument { name: "audit-record.v1.schema.json", text: RECORD_SCHEMA.to_owned() }
            }
            Self::Csv => SchemaDocument { name: "csv-columns.md", text: csv_columns() },
            Self::Parquet => SchemaDocument { name: "parquet-columns.md", text: parquet_columns() },
            Self::Sqlite => SchemaDocument { name: "records.sql", text: ExportFile::schema() },
            Self::Ocsf => SchemaDocument { name: "ocsf-mapping.md", text: ocsf::mapping() },
        }
    }
}

fn csv_columns() -> String {
    let mut text = "# The columns of the CSV files\n\n\
        RFC 4180, UTF-8, one header line, moments as RFC 3339 in UTC. A value is always quoted: `\"\"` is an empty text, and \
        nothing between two commas is no value. A text that begins with `=`, `+`, `-`, `@` (in their full-width forms, too), \
        a tab or a carriage return has a `'` in front, so that no spreadsheet runs it.\n\n\
        | column | meaning |\n|---|---|\n"
        .to_owned();
    for (name, meaning) in csv::COLUMNS {
        text.push_str(&format!("| {name} | {meaning} |\n"));
    }
    text
}

fn parquet_columns() -> String {
    let mut text = "# The columns of the Parquet files\n\n\
        Moments are timestamps in microseconds, UTC. Rows are in order of partition and seq.\n\n\
        | column | type | | meaning |\n|---|---|---|---|\n"
        .to_owned();
    for column in RECORD_COLUMNS {
        let kind = match column.content {
            Content::Text(_) => "string",
            Content::Json(_) => "string, JSON",
            Content::Bytes(_) => "binary",
            Content::Moment(_) => "timestamp",
            Content::Number(_) => "64-bit integer",
        };
        let presence = match column.presence {
            Presence::Always | Presence::EveryRecord => "required",
            Presence::Sometimes => "optional",
        };
        text.push_str(&format!("| {} | {kind} | {presence} | {} |\n", column.name, column.meaning));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_a_document_that_names_what_stands_in_its_files() {
        for (format, needle) in [
            (Format::Ndjson, "\"occurred_at\""),
            (Format::Csv, "| change_before |"),
            (Format::Parquet, "| occurred_at | timestamp | required |"),
            (Format::Sqlite, "CREATE TABLE audit_log"),
            (Format::Ocsf, "| `flag.created` |"),
        ] {
            let document = format.schema();
            assert!(document.text.contains(needle), "{}: {}", document.name, document.text);
        }
    }
}
