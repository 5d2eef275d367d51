//! A file that is hashed as it is written: every byte once.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use audit_digest::Sha256;

/// How much is gathered before it is hashed and written, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// The file.
pub(super) struct HashedFile {
    file: File,
    buffer: Vec<u8>,
    hasher: Sha256,
    bytes: u64,
}

impl HashedFile {
    /// Makes the file, over what may be there.
    pub(super) fn create(place: &Path) -> io::Result<Self> {
        let file = File::create(place)?;
        Ok(Self { file, buffer: Vec::with_capacity(BUFFER_BYTES), hasher: Sha256::new(), bytes: 0 })
    }

    /// Bytes taken so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes what was written durable, and answers with its SHA-256 in lower-case hex and its size.
    pub(super) fn close(mut self) -> io::Result<(String, u64)> {
        self.flush()?;
        self.file.sync_all()?;
        Ok((hex::encode(self.hasher.finalize()), self.bytes))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        let taken = bytes.len().min(BUFFER_BYTES);
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.bytes += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
