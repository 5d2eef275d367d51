//! Free space where the archive lies.

use std::io;
use std::path::Path;

/// Bytes that this process may still write in `dir`'s file system.
pub(crate) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let fs = rustix::fs::statvfs(dir)?;
    Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
}
