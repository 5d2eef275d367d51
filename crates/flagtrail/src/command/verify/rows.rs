//! The rows of segments, for the check that compares them with their leaves: it is built without Parquet.

use std::fs::File;
use std::io;
use std::path::Path;

use audit_export::{ParquetCell, read_parquet};
use audit_verify::{Cell, NamedCell, RowReader};

/// Reads them with the library that writes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParquetRows;

impl RowReader for ParquetRows {
    fn read(&self, file: &Path, each: &mut dyn FnMut(&[NamedCell<'_>])) -> io::Result<()> {
        read_parquet(File::open(file)?, |cells| {
            let cells: Vec<NamedCell<'_>> = cells.iter().map(|(name, cell)| (*name, told(*cell))).collect();
            each(&cells);
        })
    }
}

fn told(cell: ParquetCell<'_>) -> Cell<'_> {
    match cell {
        ParquetCell::Absent => Cell::Absent,
        ParquetCell::Bytes(bytes) => Cell::Bytes(bytes),
        ParquetCell::Number(number) => Cell::Number(number),
    }
}
