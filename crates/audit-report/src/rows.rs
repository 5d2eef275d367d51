//! The rows of a report in the making, bounded.

use audit_record::Timestamp;

use crate::cell::Cell;
use crate::report::Cut;

/// Most rows of one report. Nobody reads more, and a spreadsheet takes ten times as many; a report that has more says
/// that it was cut, and where. A shorter period, or one project, gives the rest.
pub const ROWS_MAX: usize = 100_000;

/// Most bytes of one report's cells.
pub const ROWS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most characters of one cell: what is longer is cut, and ends in `…`. The record has the whole.
pub const CELL_CHARS_MAX: usize = 4_000;

/// The rows so far.
#[derive(Debug)]
pub(crate) struct Rows {
    columns: usize,
    rows: Vec<Vec<Cell>>,
    bytes: usize,
    cut: Option<Cut>,
}

impl Rows {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, rows: Vec::new(), bytes: 0, cut: None }
    }

    /// Appends a row, one cell a column. Once the report is full, rows are only counted.
    pub(crate) fn push(&mut self, mut cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns, "a row has a cell for every column");
        if self.is_full() {
            let cut = self.cut.get_or_insert(Cut { rows_left_out: 0, rows_max: ROWS_MAX as u64 });
            cut.rows_left_out += 1;
            return;
        }
        cells.iter_mut().for_each(shorten);
        self.bytes += cells.iter().map(Cell::bytes).sum::<usize>() + 16 * cells.len();
        self.rows.push(cells);
    }

    /// Whether what comes now is only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_MAX || self.bytes >= ROWS_BYTES_MAX
    }

    /// Orders the rows by these columns, the first first. What is not known comes last.
    pub(crate) fn sort_by(&mut self, columns: &[usize]) {
        self.rows.sort_by(|a, b| {
            let each = columns.iter().map(|&column| order(&a[column]).cmp(&order(&b[column])));
            each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn into_parts(self) -> (Vec<Vec<Cell>>, Option<Cut>) {
        (self.rows, self.cut)
    }
}

/// A cell's place in an order.
fn order(cell: &Cell) -> (u8, Option<Timestamp>, Option<i64>, Option<String>) {
    match cell {
        Cell::Time(at) => (0, Some(*at), None, None),
        Cell::Integer(number) => (1, None, Some(*number), None),
        Cell::None => (3, None, None, None),
        other => (2, None, None, other.shown()),
    }
}

fn shorten(cell: &mut Cell) {
    let cut = |text: &mut String| {
        if let Some((at, _)) = text.char_indices().nth(CELL_CHARS_MAX) {
            text.truncate(at);
            text.push('…');
        }
    };
    match cell {
        Cell::Text(text) => cut(text),
        Cell::List(entries) => {
            let mut left = CELL_CHARS_MAX;
            let fitting = entries.iter().take_while(|entry| {
                let fits = entry.len() <= left;
                left = left.saturating_sub(entry.len() + 2);
                fits
            });
            let fitting = fitting.count();
            if fitting < entries.len() {
                let more = entries.len() - fitting;
                entries.truncate(fitting);
                entries.push(format!("… and {more} more"));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_report_counts_what_it_leaves_out() {
        let mut rows = Rows::new(1);
        for number in 0..ROWS_MAX + 3 {
            rows.push(vec![number.into()]);
        }
        let (rows, cut) = rows.into_parts();
        assert_eq!((rows.len(), cut.map(|cut| cut.rows_left_out)), (ROWS_MAX, Some(3)));
    }

    #[test]
    fn a_long_text_and_a_long_list_are_cut_where_it_shows() {
        let mut rows = Rows::new(2);
        let list = (0..2_000).map(|n| format!("id-{n}")).collect();
        rows.push(vec![Cell::Text("ü".repeat(5_000)), Cell::List(list)]);
        let (rows, _) = rows.into_parts();
        let Cell::Text(text) = &rows[0][0] else { panic!("text") };
        assert_eq!((text.chars().count(), text.ends_with('…')), (CELL_CHARS_MAX + 1, true));
        let Cell::List(entries) = &rows[0][1] else { panic!("a list") };
        let more: usize = entries.last().unwrap().split(' ').nth(2).unwrap().parse().unwrap();
        assert_eq!(entries.len() - 1 + more, 2_000);
    }
}
