//! Files of the evidence: hashed as they are written, durable when closed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use audit_digest::Sha256;

use super::manifest::EvidenceFile;
use crate::durable::sync_folder;

/// How much is gathered before it is written, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// A file that is being written.
pub(super) struct Writing {
    path: String,
    place: PathBuf,
    out: BufWriter<File>,
    hasher: Sha256,
    bytes: u64,
}

impl Writing {
    /// Starts a file under `root`, over what an interrupted run may have left there.
    pub(super) fn create(root: &Path, path: impl Into<String>) -> io::Result<Self> {
        let path = path.into();
        let place = root.join(&path);
        if let Some(folder) = place.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let out = BufWriter::with_capacity(BUFFER_BYTES, File::create(&place)?);
        Ok(Self { path, place, out, hasher: Sha256::new(), bytes: 0 })
    }

    /// Makes it durable and says what it is.
    pub(super) fn close(self) -> io::Result<EvidenceFile> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        sync_folder(&self.place)?;
        Ok(EvidenceFile { path: self.path, bytes: self.bytes, sha256: hex::encode(self.hasher.finalize()) })
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a small file whole.
pub(super) fn write(
    root: &Path,
    path: impl Into<String>,
    text: impl AsRef<[u8]>,
) -> io::Result<EvidenceFile> {
    let mut file = Writing::create(root, path)?;
    file.write_all(text.as_ref())?;
    file.close()
}
