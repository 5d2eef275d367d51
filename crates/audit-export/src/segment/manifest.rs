//! A segment's manifest. `schemas/segment-manifest.v1.schema.json` is the contract.

use audit_proof::{Cut, InvalidNote, NoteSigner, SignedNote};
use serde::{Deserialize, Serialize};

/// The version that this release writes.
pub(super) const MANIFEST_VERSION: u32 = 1;

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
    /// Its files: the rows, then the leaf hashes. None where there are no messages.
    pub files: Vec<SegmentFile>,
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
    /// What is signed: the tree's name, the SHA-256 of the cut's JSON, and a line for each file as `sha256sum` writes it.
    pub fn signed_text(&self) -> String {
        let cut = self.cut.name();
        let files = self.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path));
        format!("flagtrail segment v1\n{}\ncut {}\n{}", cut.origin, cut.hash, files.collect::<String>())
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
