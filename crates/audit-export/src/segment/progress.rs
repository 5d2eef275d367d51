//! How far a partition is cut, and how far what was cut is written: a document in `progress`, which moves with the sealer's
//! position in one transaction.

use audit_journal::Offset;
use audit_proof::{CutName, Edge, NodeHash};
use serde::{Deserialize, Serialize};

/// The key of the document in `progress`.
pub(crate) const DOCUMENT: &[u8] = b"segments";

/// The version of the document that this release writes.
const PROGRESS_VERSION: u32 = 1;

/// Why a partition is not cut any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidProgress {
    #[error(
        "how far it is cut was written by a later release (version {0}, this release reads up to {PROGRESS_VERSION}): use that release"
    )]
    Newer(u32),
    #[error("how far it is cut can't be read: {0}")]
    Form(String),
}

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    v: u32,
    /// The cut that was made last.
    pub(crate) head: Option<CutName>,
    /// When, milliseconds since 1970; where there was none, when the first segment began.
    pub(crate) cut_at_ms: i64,
    /// Where the segment begins that is growing.
    pub(crate) start: Edge,
    /// The tree's right edge there.
    pub(crate) peaks: Vec<NodeHash>,
    /// What the messages since weigh, in bytes.
    pub(crate) bytes: u64,
    /// The UTC day on which the log took them.
    pub(crate) date: Option<String>,
    /// Where the tree ended when the document was committed: whoever seals without cutting leaves it behind. `None` in
    /// documents of a release before it.
    #[serde(default)]
    pub(crate) upto: Option<Upto>,
    /// The last cut whose segment is written.
    pub(crate) written: Option<CutName>,
    /// Where on `checkpoints` the first cut can be whose segment is not written.
    pub(crate) read_from: Offset,
}

/// Where a tree ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upto {
    /// Its name.
    pub(crate) origin: String,
    /// How many leaves it had.
    pub(crate) seq: u64,
}

impl Progress {
    /// Of a partition whose first segment begins at `start`.
    pub(crate) fn begin(start: Edge, peaks: Vec<NodeHash>, now_ms: i64, read_from: Offset) -> Self {
        Self {
            v: PROGRESS_VERSION,
            head: None,
            cut_at_ms: now_ms,
            start,
            peaks,
            bytes: 0,
            date: None,
            upto: None,
            written: None,
            read_from,
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, InvalidProgress> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let form = |error: serde_json::Error| InvalidProgress::Form(error.to_string());
        let Versioned { v } = serde_json::from_slice(bytes).map_err(form)?;
        if v > PROGRESS_VERSION {
            return Err(InvalidProgress::Newer(v));
        }
        serde_json::from_slice(bytes).map_err(form)
    }

    /// Cuts whose segments are not known to be written; of a former tree's none are counted.
    pub(crate) fn waiting(&self) -> u64 {
        let Some(head) = &self.head else { return 0 };
        let written = self.written.as_ref().filter(|written| written.origin == head.origin);
        written.map_or(head.number + 1, |written| head.number.saturating_sub(written.number))
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a document has string keys only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(origin: &str, number: u64) -> CutName {
        CutName { origin: origin.to_owned(), number, hash: String::new(), end: Edge { seq: 9, offset: 9 } }
    }

    #[test]
    fn a_document_of_a_release_that_did_not_say_where_the_tree_ended_is_read_and_a_later_one_is_not() {
        let mut progress = Progress::begin(Edge { seq: 3, offset: 4 }, Vec::new(), 5, 6);
        let mut json: serde_json::Value = serde_json::from_slice(&progress.to_json()).expect("json");
        json.as_object_mut().expect("an object").remove("upto");
        let read = Progress::read(json.to_string().as_bytes()).expect("it is read");
        assert_eq!(read, progress);
        progress.upto = Some(Upto { origin: "o".to_owned(), seq: 3 });
        assert_eq!(Progress::read(&progress.to_json()).expect("it is read"), progress);
        json["v"] = (PROGRESS_VERSION + 1).into();
        let later = Progress::read(json.to_string().as_bytes());
        assert!(matches!(later, Err(InvalidProgress::Newer(found)) if found == PROGRESS_VERSION + 1));
    }

    #[test]
    fn cuts_of_a_tree_wait_from_the_first_one_that_is_not_written() {
        let mut progress = Progress::begin(Edge { seq: 0, offset: 0 }, Vec::new(), 0, 0);
        assert_eq!(progress.waiting(), 0);
        progress.head = Some(name("o", 4));
        assert_eq!(progress.waiting(), 5);
        progress.written = Some(name("o", 3));
        assert_eq!(progress.waiting(), 1);
        progress.written = Some(name("of a former tree", 9));
        assert_eq!(progress.waiting(), 5);
    }
}
