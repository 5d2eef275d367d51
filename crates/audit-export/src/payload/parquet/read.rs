//! Reads a Parquet file of records back, row by row, for whoever compares it with what it was made of. The file may be anything:
//! somebody may have altered it.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as PhysicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};

/// Rows that are decoded at a time: of each column so many values are held, beside the page that they are from.
const BATCH_ROWS: usize = 1_024;

/// What stands in a column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParquetCell<'a> {
    /// Nothing.
    Absent,
    /// Text, JSON or bytes.
    Bytes(&'a [u8]),
    /// A number, or a moment in microseconds since 1970.
    Number(i64),
}

/// Gives every row of a file in order, as pairs of a column's name and what stands in it. An `Err` says why the file can't
/// be read, or can't be read on: the rows before were given.
pub fn read_parquet(file: File, mut each: impl FnMut(&[(&str, ParquetCell<'_>)])) -> io::Result<()> {
    let reader = guarded(|| SerializedFileReader::new(file))?;
    for number in 0..reader.num_row_groups() {
        let mut columns = guarded(|| open(&*reader.get_row_group(number)?))?;
        loop {
            let rows = guarded(|| next_batch(&mut columns))?;
            if rows == 0 {
                break;
            }
            for row in 0..rows {
                let cells: Vec<(&str, ParquetCell<'_>)> =
                    columns.iter_mut().map(|column| column.cell(row)).collect();
                each(&cells);
            }
        }
    }
    Ok(())
}

/// Decodes something. The decoder is made for files that are whole: where it panics over another, that is an error as well.
fn guarded<T>(decode: impl FnOnce() -> Result<T>) -> io::Result<T> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(decoded) => Ok(decoded?),
        Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no whole Parquet file")),
    }
}

fn open(group: &dyn RowGroupReader) -> Result<Vec<Column>> {
    (0..group.num_columns()).map(|number| Column::open(group, number)).collect()
}

/// Decodes the next rows; answers with how many there are.
fn next_batch(columns: &mut [Column]) -> Result<usize> {
    let mut rows = None;
    for column in columns {
        let read = column.read()?;
        if *rows.get_or_insert(read) != read {
            let problem = format!("column {} has other rows than the columns before it", column.name);
            return Err(ParquetError::General(problem));
        }
    }
    Ok(rows.unwrap_or(0))
}

/// A column of a row group, with the rows that were decoded last.
struct Column {
    name: String,
    is_optional: bool,
    /// Whether each row has a value; empty where every row has one.
    levels: Vec<i16>,
    values: Values,
    /// Which value is the next row's.
    next: usize,
}

enum Values {
    Bytes(ColumnReaderImpl<ByteArrayType>, Vec<ByteArray>),
    Numbers(ColumnReaderImpl<Int64Type>, Vec<i64>),
}

impl Column {
    fn open(group: &dyn RowGroupReader, number: usize) -> Result<Self> {
        let column = group.metadata().schema_descr().column(number);
        let unfit = || {
            let problem = format!("column {} is of a kind that no file of records has", column.name());
            ParquetError::General(problem)
        };
        // In a group, its name would be that of another column; of another kind, other readers would show another day or number.
        let is_ours = column.path().parts().len() == 1
            && match (column.physical_type(), column.logical_type_ref()) {
                (PhysicalType::BYTE_ARRAY, Some(LogicalType::String | LogicalType::Json)) => true,
                (PhysicalType::INT64, Some(kind)) => *kind == LogicalType::timestamp(true, TimeUnit::MICROS),
                (PhysicalType::BYTE_ARRAY | PhysicalType::INT64, None) => {
                    column.converted_type() == ConvertedType::NONE
                }
                _ => false,
            };
        if !is_ours || column.max_rep_level() > 0 || column.max_def_level() > 1 {
            return Err(unfit());
        }
        let values = match group.get_column_reader(number)? {
            ColumnReader::ByteArrayColumnReader(reader) => Values::Bytes(reader, Vec::new()),
            ColumnReader::Int64ColumnReader(reader) => Values::Numbers(reader, Vec::new()),
            _ => return Err(unfit()),
        };
        let is_optional = column.max_def_level() > 0;
        Ok(Self { name: column.name().to_owned(), is_optional, levels: Vec::new(), values, next: 0 })
    }

    fn read(&mut self) -> Result<usize> {
        self.levels.clear();
        self.next = 0;
        let levels = Some(&mut self.levels);
        let (rows, _, _) = match &mut self.values {
            Values::Bytes(reader, values) => {
                values.clear();
                reader.read_records(BATCH_ROWS, levels, None, values)?
            }
            Values::Numbers(reader, values) => {
                values.clear();
                reader.read_records(BATCH_ROWS, levels, None, values)?
            }
        };
        Ok(rows)
    }

    /// What stands in it in a row of those that were decoded last. Rows are asked for in order.
    fn cell(&mut self, row: usize) -> (&str, ParquetCell<'_>) {
        if self.is_optional && self.levels.get(row).is_none_or(|level| *level == 0) {
            return (self.name.as_str(), ParquetCell::Absent);
        }
        let next = self.next;
        self.next += 1;
        let cell = match &self.values {
            Values::Bytes(_, values) => values.get(next).map(|value| ParquetCell::Bytes(value.data())),
            Values::Numbers(_, values) => values.get(next).map(|value| ParquetCell::Number(*value)),
        };
        (self.name.as_str(), cell.unwrap_or(ParquetCell::Absent))
    }
}
