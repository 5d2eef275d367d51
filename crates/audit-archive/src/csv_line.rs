//! Lines of CSV for whatever was read from an archive and leaves it: RFC 4180, `null` distinct from empty, and a
//! guard against formulas.
//!
//! A value is always quoted, a `null` is nothing between two commas: so the two differ, which the `csv`
//! crate's quoting styles can't express for one file. Values that a spreadsheet would run as a formula get a
//! `'` in front (OWASP "CSV injection").

/// What a spreadsheet takes for the start of a formula, in the full-width forms that some accept, too.
const FORMULA_STARTS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

/// One line in the making. [`CsvLine::end`] ends it.
#[derive(Debug)]
pub struct CsvLine<'a> {
    out: &'a mut Vec<u8>,
    started: bool,
}

impl<'a> CsvLine<'a> {
    /// A line after what stands in `out`.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out, started: false }
    }

    /// Appends a value, or none. What begins like a formula is guarded.
    pub fn text(&mut self, value: Option<&str>) {
        self.quoted(value, value.is_some_and(|value| value.starts_with(FORMULA_STARTS)));
    }

    /// Appends a number or a word of our own, which is no formula whatever it begins with.
    pub fn literal(&mut self, value: &str) {
        self.quoted(Some(value), false);
    }

    /// Ends the line.
    pub fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn quoted(&mut self, value: Option<&str>, guarded: bool) {
        if self.started {
            self.out.push(b',');
        }
        self.started = true;
        let Some(value) = value else { return };
        self.out.push(b'"');
        if guarded {
            self.out.push(b'\'');
        }
        for byte in value.bytes() {
            if byte == b'"' {
                self.out.push(b'"');
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::CsvLine;

    #[test]
    fn a_value_an_empty_one_and_none_differ_and_a_formula_is_guarded() {
        let mut out = Vec::new();
        let mut line = CsvLine::begin(&mut out);
        for value in [Some("say \"hi\""), Some(""), None, Some("=1+1"), Some("＝1")] {
            line.text(value);
        }
        line.literal("-7");
        line.end();
        assert_eq!(String::from_utf8(out).unwrap(), "\"say \"\"hi\"\"\",\"\",,\"'=1+1\",\"'＝1\",\"-7\"\r\n");
    }
}
