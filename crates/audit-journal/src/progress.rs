//! The layout of `progress`, the same in both backends: the owned consumers' documents, keyed
//! `group/document`, and beside them each group's watermark of the partition.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::position::{Bookmark, Offset};

/// The document that holds a group's [`Watermark`]. Written by the journal, never among the documents
/// that an owner is given. Documents of consumers don't begin with `~`.
pub(crate) const WATERMARK_KEY: &[u8] = b"~watermark";

/// The version of [`Watermark`] that this release writes, and the highest that it reads.
pub(crate) const WATERMARK_VERSION: u32 = 1;

/// How far a group is in one partition. It is the truth; a Kafka group's offset is only a copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watermark {
    /// The version of this document; a higher one is not touched.
    pub(crate) v: u32,
    /// Rises with every assignment; the fence of the embedded backend.
    pub(crate) generation: u64,
    /// Whether the owner gave the partition up itself. Written as false by an assignment and by every
    /// commit, as true only by an orderly release: an owner that dies leaves false behind.
    pub(crate) clean: bool,
    /// Where to go on; absent until the first commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bookmark: Option<Bookmark>,
}

/// The key in `progress` of a group's document.
pub(crate) fn document_key(group: &str, document: &[u8]) -> Bytes {
    [group.as_bytes(), b"/", document].concat().into()
}

/// The document's own key, where `key` is of that group.
pub(crate) fn document_of<'a>(group: &str, key: &'a [u8]) -> Option<&'a [u8]> {
    key.strip_prefix(group.as_bytes())?.strip_prefix(b"/")
}

/// A document of a consumer group, as whoever reads `progress` without owning anything finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressDocument<'a> {
    /// Where the group goes on in the partition; absent until its first commit.
    Watermark(Option<Offset>),
    /// The consumer's own, by the key that the consumer gave it.
    Own(&'a [u8]),
}

impl<'a> ProgressDocument<'a> {
    /// The key in `progress` of a group's watermark.
    pub fn watermark_key(group: &str) -> Bytes {
        document_key(group, WATERMARK_KEY)
    }

    /// The key in `progress` of a group's own document.
    pub fn own_key(group: &str, document: &[u8]) -> Bytes {
        document_key(group, document)
    }

    /// What the message with this key and value is to `group`; `None` where it is another group's, or a
    /// watermark that this release can't read.
    pub fn read(group: &str, key: &'a [u8], value: &[u8]) -> Option<Self> {
        let own = document_of(group, key)?;
        if own != WATERMARK_KEY {
            return Some(Self::Own(own));
        }
        let watermark = Watermark::read(value).ok()?;
        Some(Self::Watermark(watermark.bookmark.map(|bookmark| bookmark.next)))
    }
}

/// Why a watermark can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WatermarkError {
    #[error(
        "it was written by a later release (its version is {0}, this release reads up to {WATERMARK_VERSION}): use that release"
    )]
    Newer(u32),
    #[error("it can't be read: {0}")]
    Unreadable(String),
}

impl Watermark {
    /// As it is written.
    pub(crate) fn bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("a watermark has string keys only").into()
    }

    /// Reads what an owner, perhaps of a later release, wrote.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, WatermarkError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let unreadable = |e: serde_json::Error| WatermarkError::Unreadable(e.to_string());
        let Versioned { v } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if v > WATERMARK_VERSION {
            return Err(WatermarkError::Newer(v));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}
