//! A small SQL shell, for where `sqlite3` is missing or can't attach all files.

use std::io::{BufRead, Write};

use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Rows};

use super::SqlError;

/// Rows that are laid out together as one table; more follow as further tables.
const TABLE_ROWS: usize = 500;

/// Widest cell of a table, in characters; what is longer ends in `…`. CSV is never cut.
const CELL_CHARS_MAX: usize = 60;

/// Longest statement, in bytes.
const STATEMENT_BYTES_MAX: usize = 1024 * 1024;

const HELP: &str = "\
audit_log, access, access_events, access_snapshots, checkpoints, flag_versions, delivery_attempts, duplicates and undecodable
are views over all partitions; p00.record, … the rows.
A search by words: SELECT * FROM audit_log WHERE partition = 0 AND seq IN (SELECT rowid FROM p00.text('checkout'));
A statement ends with ; at the end of a line, and may take several.
.tables          tables and views
.schema [NAME]   how they were made
.csv on|off      rows as CSV instead of tables
.quit            leave
";

/// Reads statements from `input` until its end or `.quit`, and writes what they give to `output`. An error in
/// a statement is written there, too; only a failing `input` or `output` ends the shell. `prompt` is written
/// before each line, and nothing else that is not asked for.
pub fn shell(
    conn: &Connection,
    input: impl BufRead,
    mut output: impl Write,
    prompt: Option<&str>,
) -> Result<(), SqlError> {
    let mut statement = String::new();
    let mut csv = false;
    let mut lines = input.lines();
    loop {
        if let Some(prompt) = prompt {
            write!(output, "{}", if statement.is_empty() { prompt } else { "   ...> " })?;
            output.flush()?;
        }
        let Some(line) = lines.next() else { break };
        let line = line?;
        if statement.is_empty() && line.starts_with('.') {
            match command(conn, &line, &mut csv, &mut output)? {
                Command::Quit => break,
                Command::Done => continue,
            }
        }
        if statement.len() + line.len() > STATEMENT_BYTES_MAX {
            writeln!(output, "error: a statement may have {STATEMENT_BYTES_MAX} bytes")?;
            statement.clear();
            continue;
        }
        statement.push_str(&line);
        statement.push('\n');
        if statement.trim().is_empty() {
            statement.clear();
        } else if ends_with_a_statement(&statement) {
            run(conn, &statement, csv, &mut output)?;
            statement.clear();
        }
    }
    run(conn, &statement, csv, &mut output)?;
    output.flush()?;
    Ok(())
}

enum Command {
    Quit,
    Done,
}

fn command(
    conn: &Connection,
    line: &str,
    csv: &mut bool,
    output: &mut impl Write,
) -> Result<Command, SqlError> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [".quit" | ".exit"] => return Ok(Command::Quit),
        [".help"] => write!(output, "{HELP}")?,
        [".csv", "on"] => *csv = true,
        [".csv", "off"] => *csv = false,
        [".tables"] => {
            let sql = "SELECT schema AS file, type, name FROM pragma_table_list
                       WHERE type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite_%' AND schema <> 'main'
                       ORDER BY schema = 'temp' DESC, schema, name;";
            run(conn, sql, *csv, output)?;
        }
        [".schema"] => describe(conn, None, output)?,
        [".schema", name] => describe(conn, Some(name), output)?,
        _ => writeln!(output, "error: {} is no command; .help lists them", visible(line))?,
    }
    Ok(Command::Done)
}

/// How tables and views were made: those of the first file (all are alike), and the views over all.
fn describe(conn: &Connection, name: Option<&str>, output: &mut impl Write) -> Result<(), SqlError> {
    let first: String = conn.query_row(
        "SELECT name FROM pragma_database_list WHERE name NOT IN ('main', 'temp') ORDER BY seq LIMIT 1",
        (),
        |row| row.get(0),
    )?;
    for schema in ["temp", &first] {
        let mut select = conn.prepare(&format!(
            "SELECT sql FROM {schema}.sqlite_master WHERE sql IS NOT NULL AND (?1 IS NULL OR name = ?1)"
        ))?;
        for sql in select.query_map([name], |row| row.get::<_, String>(0))? {
            writeln!(output, "{};", sql?)?;
        }
    }
    Ok(())
}

/// Runs the statements of `sql`, one after the other.
fn run(conn: &Connection, sql: &str, csv: bool, output: &mut impl Write) -> Result<(), SqlError> {
    let mut rest = rusqlite::Batch::new(conn, sql);
    loop {
        let mut statement = match rest.next() {
            Ok(Some(statement)) => statement,
            Ok(None) => return Ok(()),
            Err(error) => {
                writeln!(output, "error: {error}")?;
                return Ok(());
            }
        };
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let printed = match statement.raw_query() {
            rows if csv => print_csv(rows, &names, output),
            rows => print_tables(rows, &names, output),
        };
        match printed {
            Ok(()) => {}
            Err(SqlError::Sqlite(error)) => {
                writeln!(output, "error: {error}")?;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether the last thing in `sql` outside strings, quoted names and comments is a semicolon.
fn ends_with_a_statement(sql: &str) -> bool {
    let mut rest = sql;
    let mut last = ' ';
    while let Some(c) = rest.chars().next() {
        let (opened, end) = match c {
            '\'' | '"' | '`' => (1, c.to_string()),
            '[' => (1, "]".to_owned()),
            _ if rest.starts_with("--") => (2, "\n".to_owned()),
            _ if rest.starts_with("/*") => (2, "*/".to_owned()),
            _ => {
                if !c.is_whitespace() {
                    last = c;
                }
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        // A quote doubled within quotes ends one string and begins another, which comes to the same.
        let Some(length) = rest[opened..].find(&end) else { return false };
        if opened == 1 {
            last = c;
        }
        rest = &rest[opened + length + end.len()..];
    }
    last == ';'
}

fn print_csv(mut rows: Rows<'_>, names: &[String], output: &mut impl Write) -> Result<(), SqlError> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(output);
    let io = |error: csv::Error| SqlError::Io(error.into());
    if !names.is_empty() {
        writer.write_record(names).map_err(io)?;
    }
    while let Some(row) = rows.next()? {
        let cells: Vec<String> =
            (0..names.len()).map(|n| Ok(text(row.get_ref(n)?, ""))).collect::<rusqlite::Result<_>>()?;
        writer.write_record(cells).map_err(io)?;
    }
    writer.flush()?;
    Ok(())
}

fn print_tables(mut rows: Rows<'_>, names: &[String], output: &mut impl Write) -> Result<(), SqlError> {
    let mut table: Vec<Vec<String>> = Vec::new();
    let mut printed = 0;
    while let Some(row) = rows.next()? {
        let cells = (0..names.len()).map(|n| Ok(cell(&text(row.get_ref(n)?, "NULL"))));
        table.push(cells.collect::<rusqlite::Result<_>>()?);
        if table.len() == TABLE_ROWS {
            printed += table.len();
            print_table(&table, names, output)?;
            table.clear();
        }
    }
    printed += table.len();
    if !table.is_empty() {
        print_table(&table, names, output)?;
    }
    if !names.is_empty() {
        writeln!(output, "({printed} rows)")?;
    }
    Ok(())
}

fn print_table(table: &[Vec<String>], names: &[String], output: &mut impl Write) -> std::io::Result<()> {
    let width = |n: usize| {
        let cells = table.iter().map(|row| row[n].chars().count());
        cells.chain([names[n].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    let mut line = |cells: &[String]| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(output, "{}", padded.join("  ").trim_end())
    };
    line(names)?;
    line(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>())?;
    table.iter().try_for_each(|row| line(row))
}

fn text(value: ValueRef<'_>, null: &str) -> String {
    match value {
        ValueRef::Null => null.to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => hex::encode(bytes),
    }
}

/// A value as a cell: one line, of bounded width.
fn cell(value: &str) -> String {
    let shown = visible(value);
    if shown.chars().count() <= CELL_CHARS_MAX {
        return shown;
    }
    shown.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
}

/// Control characters as escapes: what somebody named a flag must not steer the terminal.
fn visible(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::ends_with_a_statement;

    #[test]
    fn a_semicolon_within_quotes_or_a_comment_ends_nothing() {
        for complete in
            ["SELECT 1;\n", "SELECT ';'; -- done\n", "SELECT 'it''s', [a;b], \"c\"\"\";", "/* ; */ ;"]
        {
            assert!(ends_with_a_statement(complete), "{complete}");
        }
        for incomplete in
            ["SELECT 1", "SELECT ';\n", "SELECT 1 -- ;\n", "SELECT 1 /* ;", "SELECT ';'", "", "SELECT \"a;"]
        {
            assert!(!ends_with_a_statement(incomplete), "{incomplete}");
        }
    }
}
