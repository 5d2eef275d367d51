//! A report on a terminal.

use anyhow::Result;
use audit_report::{Cell, Report};
use serde_json::Value;

use crate::print;

/// The rows as a table, and beneath it what they are worth.
pub(super) fn table(report: &Report) -> Result<()> {
    print::line(&print::visible(&report.title))?;
    print::line("")?;
    // What no row fills is left out: some reports have more columns than a terminal.
    let filled = |column: usize| report.rows.iter().any(|row| row[column] != Cell::None);
    let columns: Vec<usize> = (0..report.definition.columns.len()).filter(|&column| filled(column)).collect();
    let header: Vec<&str> = columns.iter().map(|&column| &*report.definition.columns[column].name).collect();
    let rows = report.rows.iter().map(|row| columns.iter().map(|&column| shown(&row[column])).collect());
    print::table(&header, rows.collect(), "nothing here fits what was asked for")?;
    print::line("")?;
    if let Some(cut) = report.cut {
        print::line(&format!(
            "{} rows are left out: a report has at most {}; ask for a shorter period, or for one project",
            cut.rows_left_out, cut.rows_max
        ))?;
    }
    let totals: Vec<_> =
        report.totals.iter().map(|total| format!("{}: {}", total.what, total.count)).collect();
    print::line(&print::visible(&totals.join(", ")))?;
    for note in &report.coverage.notes {
        print::line(&format!("note: {}", print::visible(note)))?;
    }
    for source in &report.coverage.sources {
        let since =
            source.connected_since.as_deref().or(source.first_record_at.as_deref()).unwrap_or("never");
        let access = if source.sends_access { "" } else { ", sends no access events" };
        let silent = if source.silences.is_empty() {
            String::new()
        } else {
            format!(", silent {} times", source.silences.len())
        };
        let records = source.records.map(|records| format!(", {records} records")).unwrap_or_default();
        print::line(&print::visible(&format!(
            "source {} ({}): since {since}{records}{silent}{access}",
            source.name, source.system
        )))?;
    }
    let lag: u64 = report.coverage.partitions.iter().map(|partition| partition.lag).sum();
    if lag > 0 {
        print::line(&format!("up to {lag} messages of the log are not archived yet"))?;
    }
    print::line("definition, SQL and what each source can't tell: --format html or json")
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Time(at) => {
            let text = at.to_string();
            text.get(..19).unwrap_or(&text).replace('T', " ")
        }
        other => other.shown().unwrap_or_else(|| "–".to_owned()),
    }
}

/// What a report means, with its columns.
pub(super) fn definition(report: &Value) -> Result<()> {
    print::line(&format!("{}, version {}", print::cell(&report["title"]), report["version"]))?;
    print::line(&print::cell(&report["meaning"]))?;
    if let Some(list) = report["list"]["meaning"].as_str() {
        print::line(&format!("compares with a list (--list FILE): {list}"))?;
    }
    print::line(&format!("serves {}", controls(report)))?;
    print::line("")?;
    let columns = report["columns"].as_array().into_iter().flatten();
    let row = |column: &Value| {
        vec![print::cell(&column["name"]), print::cell(&column["kind"]), print::cell(&column["meaning"])]
    };
    print::table(&["column", "kind", "meaning"], columns.map(row).collect(), "it has no columns")
}

/// The controls that it serves.
pub(super) fn controls(report: &Value) -> String {
    let controls = report["controls"].as_array().into_iter().flatten();
    let name =
        |control: &Value| format!("{} {}", print::cell(&control["framework"]), print::cell(&control["id"]));
    controls.map(name).collect::<Vec<_>>().join(", ")
}
