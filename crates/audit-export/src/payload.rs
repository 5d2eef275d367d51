//! The payload: files of bounded size, each hashed as it is written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::durable::sync_folder;
use crate::job::Format;
use crate::manifest::FileEntry;

/// A payload file is closed once it has this many bytes. What is closed survives an interruption.
pub(crate) const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// How much is gathered before it is written, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// The payload file that is being written.
pub(crate) struct OpenFile {
    path: String,
    place: PathBuf,
    out: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
    records: u64,
}

impl OpenFile {
    /// Starts file `number` under `root`, over what an interrupted run may have left there.
    pub(crate) fn create(root: &Path, number: usize, format: Format) -> io::Result<Self> {
        let path = format!("data/records-{number:05}.{}", format.as_str());
        let place = root.join(&path);
        let out = BufWriter::with_capacity(BUFFER_BYTES, File::create(&place)?);
        Ok(Self { path, place, out, hasher: Sha256::new(), bytes: 0, records: 0 })
    }

    /// Appends bytes, which hold `records` records.
    pub(crate) fn write(&mut self, bytes: &[u8], records: u64) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.records += records;
        Ok(())
    }

    /// Whether the file is to be closed.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= FILE_BYTES
    }

    /// Makes the file durable and says what it is.
    pub(crate) fn close(self) -> io::Result<FileEntry> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        sync_folder(&self.place)?;
        Ok(FileEntry {
            path: self.path,
            bytes: self.bytes,
            sha256: hex::encode(self.hasher.finalize()),
            records: self.records,
        })
    }
}

/// Where an unfinished export lies: beside its destination.
pub(crate) fn unfinished(destination: &Path) -> PathBuf {
    let mut name = destination.file_name().unwrap_or_default().to_os_string();
    name.push(".unfinished");
    destination.with_file_name(name)
}
