//! One self-contained file: to read in a browser, in light and in dark, and to print. It has no script, loads nothing,
//! and shows every text as text.

use std::fmt::Write as _;

use crate::cell::Cell;
use crate::coverage::SourceCoverage;
use crate::report::Report;

/// Longest text that stands on one line, in characters.
const LINE_CHARS_MAX: usize = 40;

/// Most columns that a page of paper has room for.
const PAPER_COLUMNS_MAX: usize = 9;

const STYLE: &str = include_str!("report.css");

/// What is said of a report beside its rows, as names and texts.
pub(super) fn facts(report: &Report) -> Vec<(String, String)> {
    let named = |name: &str, text: String| (name.to_owned(), text);
    let controls = report.definition.controls.iter();
    let controls: Vec<_> =
        controls.map(|control| format!("{} {}", control.framework.as_str(), control.id)).collect();
    let parameters = report.parameters.as_object().into_iter().flatten();
    let parameters: Vec<_> = parameters
        .map(|(name, value)| {
            format!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    let totals: Vec<_> =
        report.totals.iter().map(|total| format!("{}: {}", total.what, total.count)).collect();
    let mut facts = vec![
        named("What it means", report.definition.meaning.to_string()),
        named("Asked for", parameters.join("; ")),
        named("Counts", totals.join("; ")),
        named("Serves", controls.join(", ")),
        named("Definition", format!("{}, version {}", report.definition.name, report.definition.version)),
        named("Made", format!("{} for {} by {}", report.generated_at, report.asked_by, report.generator)),
    ];
    if let Some(cut) = report.cut {
        let text = format!(
            "{} rows are left out: a report has at most {}. Ask for a shorter period, or for one project.",
            cut.rows_left_out, cut.rows_max
        );
        facts.insert(1, named("Not complete", text));
    }
    facts
}

/// The coverage box, as names and texts.
pub(super) fn coverage_lines(report: &Report) -> Vec<(String, String)> {
    let coverage = &report.coverage;
    let mut lines = Vec::new();
    for note in &coverage.notes {
        lines.push(("Note".to_owned(), note.clone()));
    }
    let oldest = coverage.oldest_data_at.as_deref().unwrap_or("the archive is empty");
    lines.push(("Oldest event in the archive".to_owned(), oldest.to_owned()));
    for source in &coverage.sources {
        lines.push((format!("Source {}", source.name), of_source(source)));
    }
    let lag: u64 = coverage.partitions.iter().map(|partition| partition.lag).sum();
    let last = coverage.partitions.iter().filter_map(|partition| partition.last_appended_at.as_deref()).max();
    let seen: Option<u64> = coverage.partitions.iter().map(|partition| partition.messages).sum();
    let seen = seen.map(|messages| format!(", {messages} messages")).unwrap_or_default();
    let behind = match lag {
        0 => "nothing known of the log is missing".to_owned(),
        lag => format!("up to {lag} messages of the log are not archived yet"),
    };
    let archive = format!(
        "{} partitions{seen}, the last of {}; {behind}",
        coverage.partitions.len(),
        last.unwrap_or("never")
    );
    lines.push(("Archive".to_owned(), archive));
    lines.push(("Kept outside".to_owned(), coverage.anchored.clone()));
    lines
}

fn of_source(source: &SourceCoverage) -> String {
    let mut text =
        format!("{}. ", if source.system.is_empty() { "unknown platform" } else { &source.system });
    match &source.connected_since {
        Some(at) => {
            let _ = write!(text, "Set up {at}. ");
        }
        None => text.push_str("Not among the settings: its records were appended directly. "),
    }
    match (source.records, &source.first_record_at, &source.last_record_at) {
        (Some(records), Some(first), Some(last)) => {
            let _ = write!(text, "{records} records, the first taken {first}, the last {last}. ");
        }
        (Some(_), ..) => text.push_str("No record of it is here. "),
        (None, ..) => {}
    }
    match source.rejected {
        Some(count) => {
            let _ = write!(text, "{count} requests were rejected. ");
        }
        None => text.push_str("How many requests were rejected is not known here. "),
    }
    for silence in &source.silences {
        let to = silence.to.as_deref().unwrap_or("now");
        let _ = write!(text, "Silent from {} to {to}. ", silence.from);
    }
    if !source.sends_access {
        text.push_str("Sends no access events. ");
    }
    text.push_str(&source.cannot_tell.join(" "));
    text
}

pub(super) fn write(report: &Report) -> String {
    let mut out = String::new();
    let title = escaped(&report.title);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n"
    );
    list(&mut out, "facts", &facts(report));
    out.push_str("</header>\n");
    table(&mut out, report);
    out.push_str("<section>\n<h2>What this report could see</h2>\n");
    list(&mut out, "coverage", &coverage_lines(report));
    out.push_str("</section>\n<section>\n<h2>What words mean here</h2>\n");
    let compliance = report.compliance.lines().into_iter().map(|(name, value)| (name.to_owned(), value));
    list(&mut out, "facts", &compliance.collect::<Vec<_>>());
    out.push_str("</section>\n<section>\n<h2>Columns</h2>\n");
    let columns = report.definition.columns.iter();
    let columns = columns.map(|column| (column.name.to_string(), column.meaning.to_string()));
    list(&mut out, "facts", &columns.collect::<Vec<_>>());
    out.push_str("</section>\n<section>\n<h2>The SQL that was run</h2>\n");
    for run in &report.sql {
        let _ = write!(
            out,
            "<pre>{}\n-- {}\n-- {} rows</pre>\n",
            escaped(&run.text),
            escaped(&run.parameters.to_string()),
            run.rows
        );
    }
    out.push_str("</section>\n</body>\n</html>\n");
    out
}

fn list(out: &mut String, class: &str, lines: &[(String, String)]) {
    let _ = writeln!(out, "<dl class=\"{class}\">");
    for (name, text) in lines {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(text));
    }
    out.push_str("</dl>\n");
}

fn table(out: &mut String, report: &Report) {
    if report.rows.is_empty() {
        out.push_str("<p class=\"none\">No row: nothing here fits what was asked for.</p>\n");
        return;
    }
    // What no row fills takes room that the others need.
    let is_filled = |&number: &usize| report.rows.iter().any(|row| row[number] != Cell::None);
    let all = 0..report.definition.columns.len();
    let (filled, empty): (Vec<usize>, Vec<usize>) = all.partition(is_filled);
    // On paper the rows of a wide table become cards.
    let class = if filled.len() > PAPER_COLUMNS_MAX { " class=\"wide\"" } else { "" };
    let _ = write!(out, "<div class=\"rows\">\n<table{class}>\n<thead><tr>");
    for &number in &filled {
        let column = &report.definition.columns[number];
        let name = escaped(&column.name).replace('_', "_<wbr>");
        let _ = write!(out, "<th title=\"{}\">{name}</th>", escaped(&column.meaning));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &report.rows {
        out.push_str("<tr>");
        for &number in &filled {
            let _ = write!(out, "<td data-column=\"{}\"", escaped(&report.definition.columns[number].name));
            write_cell(out, &row[number]);
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    if !empty.is_empty() {
        let names: Vec<_> = empty.iter().map(|&number| &*report.definition.columns[number].name).collect();
        let _ = writeln!(out, "<p class=\"none\">Empty in every row: {}.</p>", escaped(&names.join(", ")));
    }
}

/// The rest of a cell, whose tag has begun.
fn write_cell(out: &mut String, cell: &Cell) {
    match cell {
        Cell::None => out.push_str(" class=\"none\">–</td>"),
        Cell::Time(at) => {
            let text = at.to_string();
            let short = text.get(..19).unwrap_or(&text).replace('T', " ");
            let time = format!("<time datetime=\"{text}\" title=\"{text}\">{short}</time>");
            let _ = write!(out, " class=\"time\">{time}</td>");
        }
        Cell::List(entries) => {
            let class = if entries.iter().any(|entry| is_long(entry)) { " class=\"long\"" } else { "" };
            let entries: Vec<_> = entries.iter().map(|entry| escaped(entry)).collect();
            let _ = write!(out, "{class}>{}</td>", entries.join("<br>"));
        }
        Cell::Integer(_) | Cell::Number(_) => {
            let _ = write!(out, " class=\"number\">{}</td>", cell.shown().unwrap_or_default());
        }
        Cell::Text(text) if is_long(text) => {
            let _ = write!(out, " class=\"long\">{}</td>", escaped(text));
        }
        other => {
            let _ = write!(out, ">{}</td>", escaped(&other.shown().unwrap_or_default()));
        }
    }
}

/// Whether a text is broken into lines. An id of 36 characters is not.
fn is_long(text: &str) -> bool {
    text.chars().nth(LINE_CHARS_MAX).is_some()
}

/// Text as text: nothing of it is markup, and nothing turns the direction of what follows.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}
