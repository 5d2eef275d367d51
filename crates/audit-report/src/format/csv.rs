//! The rows as CSV. What they mean stands in the JSON document, which `flagtrail report` puts beside the file.

use audit_archive::CsvLine;

use crate::cell::Cell;
use crate::report::Report;

pub(super) fn write(report: &Report) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, column) in report.definition.columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(column.name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    for row in &report.rows {
        let mut line = CsvLine::begin(&mut out);
        for cell in row {
            match (cell, cell.shown()) {
                (Cell::Text(_) | Cell::List(_) | Cell::None, shown) => line.text(shown.as_deref()),
                (_, shown) => line.literal(&shown.unwrap_or_default()),
            }
        }
        line.end();
    }
    out
}
