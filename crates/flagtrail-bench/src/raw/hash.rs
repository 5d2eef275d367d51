//! SHA-256 alone, on one thread.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Result;
use audit_digest::Sha256;

/// How much of a file is hashed at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Hashes these bytes, one after the other, as one.
pub(crate) fn bytes<'b>(parts: impl IntoIterator<Item = &'b [u8]>) {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    black_box(hasher.finalize());
}

/// Hashes every file of a folder once. Tells how many bytes they were.
pub(crate) fn files(folder: &Path) -> Result<u64> {
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                bytes += file(&path)?;
            }
        }
    }
    Ok(bytes)
}

fn file(path: &Path) -> Result<u64> {
    let mut file = BufReader::with_capacity(CHUNK_BYTES, File::open(path)?);
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    loop {
        let chunk = file.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        hasher.update(chunk);
        let length = chunk.len();
        bytes += length as u64;
        file.consume(length);
    }
    black_box(hasher.finalize());
    Ok(bytes)
}
