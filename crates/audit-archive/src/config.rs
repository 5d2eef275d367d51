//! How an archive is kept.

use std::path::PathBuf;

use audit_proof::LogKeys;

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
    /// The keys by which checkpoints of the log are checked, those of witnesses among them. Without a key of the log
    /// their roots are compared all the same, but it is not known who signed them.
    pub log_keys: LogKeys,
}

impl ArchiveConfig {
    /// The usual settings for `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            free_bytes_min: FREE_BYTES_MIN,
            full_text: true,
            log_keys: LogKeys::default(),
        }
    }
}
