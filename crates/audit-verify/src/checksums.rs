//! Checksum files as `sha256sum` writes and reads them, and hashing a file once, in constant memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use audit_digest::Sha256;

/// How much of a file is in memory at once, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// A line of a checksum file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) sha256: String,
    pub(crate) path: String,
}

/// Reads `<64 hex digits>  <path>` lines; names the first that is none.
pub(crate) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let line = |line: &str| {
        let (sha256, path) = line.split_once("  ").ok_or_else(|| format!("{line:?} is no checksum line"))?;
        let hex = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
        if !hex || path.is_empty() {
            return Err(format!("{line:?} is no checksum line"));
        }
        Ok(Line { sha256: sha256.to_ascii_lowercase(), path: path.to_owned() })
    };
    text.lines().filter(|text| !text.is_empty()).map(line).collect()
}

/// The SHA-256 of a file in lower-case hex and its size; `seen` gets its bytes as they pass.
pub(crate) fn hash_file(path: &Path, mut seen: impl FnMut(&[u8])) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((hex::encode(hasher.finalize()), bytes));
        }
        hasher.update(&chunk[..read]);
        seen(&chunk[..read]);
        bytes += read as u64;
    }
}

/// Whether a path of a checksum file or manifest stays inside the export.
pub(crate) fn stays_inside(path: &str) -> bool {
    let relative = Path::new(path);
    !path.is_empty() && relative.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}
