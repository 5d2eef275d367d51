//! How an archive is kept.

use std::path::PathBuf;

/// Free space below which an archive pauses unless told otherwise: 512 MiB.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;

/// Where the archive is and what it keeps beside the rows.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// The directory; made where it is missing. One process writes it at a time.
    pub dir: PathBuf,
    /// The archive pauses, and says so, while its file system has less than this many bytes free.
    pub free_bytes_min: u64,
    /// Whether records are made searchable by their words.
    pub full_text: bool,
}

impl ArchiveConfig {
    /// The usual settings for `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), free_bytes_min: FREE_BYTES_MIN, full_text: true }
    }
}
