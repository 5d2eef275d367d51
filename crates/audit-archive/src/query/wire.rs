//! Cursors as texts: opaque, printable, safe in a URL, and of one version.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cursor::CursorError;

/// Longest cursor read, in bytes: a thousand partitions' worth, or a long name.
const BYTES_MAX: usize = 64 * 1024;

/// Only the version, so that another one is recognised whatever else it holds.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

/// Writes a cursor, which has its version in `v`.
pub(super) fn write(cursor: &impl Serialize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let json = serde_json::to_vec(cursor).map_err(|_| fmt::Error)?;
    f.write_str(&URL_SAFE_NO_PAD.encode(json))
}

/// Reads a cursor of one version.
pub(super) fn read<C: DeserializeOwned>(text: &str, version: u32) -> Result<C, CursorError> {
    if text.len() > BYTES_MAX {
        return Err(CursorError::Malformed);
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
    let Versioned { v } = serde_json::from_slice(&json).map_err(|_| CursorError::Malformed)?;
    if v != version {
        return Err(CursorError::OtherVersion);
    }
    serde_json::from_slice(&json).map_err(|_| CursorError::Malformed)
}
