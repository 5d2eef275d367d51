//! A workbook with typed cells: the rows, what they mean, and what stands behind them.

use audit_record::Timestamp;
use rust_xlsxwriter::{ExcelDateTime, Format, FormatAlign, Workbook, Worksheet, XlsxError};

use super::WriteError;
use crate::cell::Cell;
use crate::definition::Kind;
use crate::report::Report;

/// Most characters that a cell of a workbook takes.
const CELL_CHARS_MAX: usize = 32_767;

/// Days from Excel's day 0 to 1970.
const EPOCH_DAY: f64 = 25_569.0;

/// Widths of columns, in characters.
const WIDTH_TIME: f64 = 21.0;
const WIDTH_NUMBER: f64 = 12.0;
const WIDTH_TEXT: f64 = 26.0;
const WIDTH_SENTENCE: f64 = 100.0;

pub(super) fn write(report: &Report) -> Result<Vec<u8>, WriteError> {
    let mut workbook = Workbook::new();
    rows(workbook.add_worksheet(), report)?;
    definition(workbook.add_worksheet(), report)?;
    coverage(workbook.add_worksheet(), report)?;
    Ok(workbook.save_to_buffer()?)
}

fn rows(sheet: &mut Worksheet, report: &Report) -> Result<(), XlsxError> {
    let (head, time) = (Format::new().set_bold(), Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"));
    sheet.set_name("Rows")?;
    sheet.set_freeze_panes(1, 0)?;
    for (number, column) in (0_u16..).zip(report.definition.columns.iter()) {
        sheet.write_string_with_format(0, number, &*column.name, &head)?;
        let width = match column.kind {
            Kind::Time => WIDTH_TIME,
            Kind::Integer | Kind::Number | Kind::Bool => WIDTH_NUMBER,
            Kind::Text | Kind::List => WIDTH_TEXT,
        };
        sheet.set_column_width(number, width)?;
    }
    for (line, row) in (1_u32..).zip(&report.rows) {
        for (number, cell) in (0_u16..).zip(row) {
            match cell {
                Cell::None => {}
                Cell::Integer(value) => write_integer(sheet, line, number, *value)?,
                Cell::Number(value) => {
                    sheet.write_number(line, number, *value)?;
                }
                Cell::Bool(yes) => {
                    sheet.write_boolean(line, number, *yes)?;
                }
                Cell::Time(at) => {
                    sheet.write_datetime_with_format(line, number, date(*at)?, &time)?;
                }
                // Written as strings, whatever they begin with: no formula is ever made of them.
                other => {
                    sheet.write_string(line, number, fitting(&other.shown().unwrap_or_default()))?;
                }
            }
        }
    }
    let last_row = u32::try_from(report.rows.len()).unwrap_or(u32::MAX);
    let last_column = u16::try_from(report.definition.columns.len().saturating_sub(1)).unwrap_or(u16::MAX);
    sheet.autofilter(0, 0, last_row, last_column)?;
    Ok(())
}

/// A workbook's numbers are floating-point: what they can't hold exactly is text.
fn write_integer(sheet: &mut Worksheet, line: u32, column: u16, value: i64) -> Result<(), XlsxError> {
    const EXACT_MAX: u64 = 1 << 53;
    if value.unsigned_abs() > EXACT_MAX {
        sheet.write_string(line, column, value.to_string())?;
    } else {
        #[expect(clippy::cast_precision_loss, reason = "checked to be exact")]
        sheet.write_number(line, column, value as f64)?;
    }
    Ok(())
}

fn date(at: Timestamp) -> Result<ExcelDateTime, XlsxError> {
    #[expect(clippy::cast_precision_loss, reason = "a workbook's time has milliseconds")]
    let days = (at.micros() / 1_000) as f64 / 86_400e3;
    ExcelDateTime::from_serial_datetime(days + EPOCH_DAY)
}

fn fitting(text: &str) -> String {
    text.chars().take(CELL_CHARS_MAX).collect()
}

/// A sheet of two columns in the making.
struct Lines<'a> {
    sheet: &'a mut Worksheet,
    line: u32,
    head: Format,
    wrap: Format,
}

impl<'a> Lines<'a> {
    fn new(sheet: &'a mut Worksheet, name: &str) -> Result<Self, XlsxError> {
        sheet.set_name(name)?;
        sheet.set_column_width(0, WIDTH_TEXT + 10.0)?;
        sheet.set_column_width(1, WIDTH_SENTENCE)?;
        let wrap = Format::new().set_text_wrap().set_align(FormatAlign::Top);
        Ok(Self { sheet, line: 0, head: Format::new().set_bold().set_align(FormatAlign::Top), wrap })
    }

    fn put(&mut self, name: &str, text: &str) -> Result<(), XlsxError> {
        self.sheet.write_string_with_format(self.line, 0, fitting(name), &self.head)?;
        self.sheet.write_string_with_format(self.line, 1, fitting(text), &self.wrap)?;
        self.line += 1;
        Ok(())
    }

    fn gap(&mut self) {
        self.line += 1;
    }
}

fn definition(sheet: &mut Worksheet, report: &Report) -> Result<(), XlsxError> {
    let mut lines = Lines::new(sheet, "Definition")?;
    lines.put("Report", &report.title)?;
    for (name, text) in super::html::facts(report) {
        lines.put(&name, &text)?;
    }
    lines.gap();
    for column in &*report.definition.columns {
        lines.put(&column.name, &column.meaning)?;
    }
    lines.gap();
    for (name, value) in report.compliance.lines() {
        lines.put(name, &value)?;
    }
    lines.gap();
    for run in &report.sql {
        lines.put(&format!("SQL ({} rows)", run.rows), &format!("{}\n-- {}", run.text, run.parameters))?;
    }
    Ok(())
}

fn coverage(sheet: &mut Worksheet, report: &Report) -> Result<(), XlsxError> {
    let mut lines = Lines::new(sheet, "Coverage")?;
    for (name, text) in super::html::coverage_lines(report) {
        lines.put(&name, &text)?;
    }
    Ok(())
}
