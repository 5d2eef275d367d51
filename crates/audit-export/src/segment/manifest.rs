//! A segment's manifest. `schemas/segment-manifest.v1.schema.json` is the contract.

use audit_proof::{Cut, InvalidNote, NoteSigner, SignedNote};
use serde::{Deserialize, Serialize};

/// The version that this release writes of a segment that has its messages.
pub(super) const MANIFEST_VERSION: u32 = 1;

/// That of one that is [`SegmentLoss`], which earlier releases can't read.
pub(super) const LOST_VERSION: u32 = 2;

/// Why a segment is written without its messages: so that the chain goes on, and says itself what is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentLoss {
    /// They were removed from the log before they were written.
    Removed,
    /// The log was replaced by that of another epoch before they were written.
    Replaced,
    /// They were sealed while nobody cut: more than a segment has, or of more days than one.
    Uncut,
}

impl SegmentLoss {
    /// As the manifest has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Replaced => "replaced",
            Self::Uncut => "uncut",
        }
    }
}

/// What a segment is, and what vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentManifest {
    /// The version of this document.
    pub version: u32,
    /// The deployment that the log belongs to.
    pub deployment: String,
    /// The partition.
    pub partition: u32,
    /// The cut, as it stands on the log: where the segment begins and ends, the tree's edge before and its signed
    /// checkpoint after, and which cut came before.
    pub cut: Cut,
    /// Messages in it.
    pub messages: u64,
    /// Its files: the rows, then the leaf hashes. None where there are no messages, or where they are lost.
    pub files: Vec<SegmentFile>,
    /// Why it is without its messages; absent where it has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<SegmentLoss>,
    /// What wrote it.
    pub written_by: String,
    /// A note that the log's keys signed. Its text is [`SegmentManifest::signed_text`].
    pub signature: String,
}

/// One file of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentFile {
    /// Its path, below the destination's prefix.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub sha256: String,
}

impl SegmentManifest {
    /// What is signed: the tree's name, the SHA-256 of the cut's JSON, and a line for each file as `sha256sum` writes it,
    /// or one that says why there are none.
    pub fn signed_text(&self) -> String {
        let cut = self.cut.name();
        let files = self.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path));
        let lost = self.lost.map(|lost| format!("lost {}\n", lost.as_str()));
        let lines: String = files.chain(lost).collect();
        format!("flagtrail segment v1\n{}\ncut {}\n{lines}", cut.origin, cut.hash)
    }

    /// Signs it, with every key that the log has at the time.
    pub(super) fn signed(mut self, signers: &[NoteSigner]) -> Result<Self, InvalidNote> {
        let mut note = SignedNote::unsigned(self.signed_text())?;
        signers.iter().for_each(|signer| note.sign(signer));
        self.signature = note.to_string();
        Ok(self)
    }

    /// As it is put.
    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a manifest has string keys only")
    }
}
