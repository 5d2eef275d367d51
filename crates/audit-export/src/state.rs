//! What an unfinished export remembers, so that the same job goes on after a kill.

use std::io;
use std::path::{Path, PathBuf};

use audit_journal::{Offset, Partition};
use serde::{Deserialize, Serialize};

use crate::durable::write_whole;
use crate::error::ExportError;
use crate::job::ExportJob;
use crate::manifest::{FileEntry, QueryText};
use crate::payload::{Compression, Format};

/// Its name in the folder of the unfinished export.
pub(crate) const STATE_FILE: &str = "state.json";

/// The version of this document; a later one is not resumed.
pub(crate) const STATE_VERSION: u32 = 1;

/// Where one partition is cut: every message before is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cut {
    pub(crate) partition: Partition,
    /// The first offset that the log kept.
    pub(crate) start: Offset,
    /// The first offset not covered.
    pub(crate) end: Offset,
    /// The first number not covered.
    pub(crate) seq: u64,
    /// Whether the archive had passed the log's end.
    pub(crate) complete: bool,
    /// Records written so far.
    pub(crate) records: u64,
    /// Records that were asked for and had been erased.
    #[serde(default)]
    pub(crate) erased: u64,
}

/// Everything that a resumed run needs. Written after each payload file is durable: if we crash in between,
/// that file is written again, over itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    v: u32,
    pub(crate) export_id: String,
    pub(crate) query: QueryText,
    pub(crate) format: Format,
    #[serde(default)]
    pub(crate) compression: Compression,
    pub(crate) asked_by: String,
    pub(crate) asked_at: String,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) files: Vec<FileEntry>,
    /// (partition, seq) of the first message not yet looked at; absent at the very start.
    pub(crate) next: Option<(Partition, u64)>,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl State {
    /// The beginning of `job`.
    pub(crate) fn begin(job: &ExportJob, asked_at: String, cuts: Vec<Cut>) -> Self {
        Self {
            v: STATE_VERSION,
            export_id: job.id.clone(),
            query: job.query_text(),
            format: job.format,
            compression: job.compression,
            asked_by: job.asked_by.clone(),
            asked_at,
            cuts,
            files: Vec::new(),
            next: None,
        }
    }

    /// Reads what an interrupted run left; `None` where there is nothing.
    pub(crate) fn read(root: &Path) -> Result<Option<Self>, ExportError> {
        let bytes = match std::fs::read(place(root)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        // First: of a later version nothing else is known.
        let Versioned { v } = serde_json::from_slice(&bytes).map_err(io::Error::from)?;
        if v > STATE_VERSION {
            return Err(ExportError::Newer { folder: root.display().to_string(), found: v });
        }
        Ok(Some(serde_json::from_slice(&bytes).map_err(io::Error::from)?))
    }

    /// Makes it durable.
    pub(crate) fn write(&self, root: &Path) -> io::Result<()> {
        write_whole(&place(root), &serde_json::to_vec(self)?)
    }

    /// Whether `job` is the one that was begun.
    pub(crate) fn is_of(&self, job: &ExportJob) -> bool {
        self.v == STATE_VERSION
            && self.export_id == job.id
            && self.query == job.query_text()
            && self.format == job.format
            && self.compression == job.compression
    }

    /// Forgets it: the last thing before the export is renamed into place.
    pub(crate) fn remove(root: &Path) -> io::Result<()> {
        std::fs::remove_file(place(root))
    }
}

fn place(root: &Path) -> PathBuf {
    root.join(STATE_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_release_began_is_refused_by_its_version() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(State::read(dir.path()).expect("read").is_none());
        std::fs::write(place(dir.path()), r#"{"v": 2, "cuts": "in another way"}"#).expect("written");
        let refused = State::read(dir.path()).expect_err("of a later release");
        assert!(matches!(refused, ExportError::Newer { found: 2, .. }), "{refused}");
        let text = refused.to_string();
        assert!(text.contains(&dir.path().display().to_string()) && text.contains("version 2"), "{text}");
    }
}
