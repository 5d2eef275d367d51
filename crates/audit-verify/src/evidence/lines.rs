//! Files that are read line by line, in constant memory, by number.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// How much of a file is read at a time, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file of lines.
#[derive(Debug)]
pub(super) struct Lines {
    from: BufReader<File>,
    line: Vec<u8>,
    number: u64,
    bytes_max: usize,
}

impl Lines {
    /// Opens a file whose lines are no longer than `bytes_max`.
    pub(super) fn open(path: &Path, bytes_max: usize) -> io::Result<Self> {
        let from = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        Ok(Self { from, line: Vec::new(), number: 0, bytes_max })
    }

    /// The next line without its end; `None` at the end of the file.
    pub(super) fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let most = self.bytes_max as u64 + 1;
        let read = self.from.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.pop() != Some(b'\n') {
            let problem = format!("line {} does not end, or is longer than it may be", self.number);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(Some(&self.line))
    }

    /// The number of the line that came last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}
