//! Tables for people, JSON for programs.

use std::io::{self, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

/// Prints one JSON document on a line of its own.
pub(crate) fn json(value: &Value) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Prints a line; a closed pipe (`| head`) ends the process quietly.
pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// Prints a document as it is; a closed pipe ends the process quietly.
pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// Prints a table; `none` where it has no rows.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, none: &str) -> anyhow::Result<()> {
    if rows.is_empty() {
        return line(none);
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if !io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    for row in rows {
        table.add_row(row.into_iter().map(|cell| visible(&cell)));
    }
    line(&table.trim_fmt())
}

/// Control characters, which could rewrite a terminal, become visible escapes.
pub(crate) fn visible(text: &str) -> String {
    let is_bidi =
        |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    let escape =
        |c: char| if c.is_control() || is_bidi(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// What a field of a JSON answer looks like in a table.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn a_name_can_not_rewrite_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\u{202e}c🚀"), "a\\u{1b}[2Jb\\u{202e}c🚀");
    }
}
