//! Where a partition's log is cut into segments: a message on the topic `checkpoints`, beside the signed heads.
//!
//! A cut says that the leaves from one size of the tree to another are one segment file, and is on the log before that
//! file is written. Every cut names the one before it by its hash; of two that name the same one, the first in log order is
//! in force and the other never was. So however many sealers there are, and wherever they were killed, there is one
//! sequence of segments, without gap or overlap.

use audit_digest::Sha256;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::NodeHash;
use crate::note::{InvalidNote, SignedNote};
use crate::tree::{Frontier, InvalidFrontier};

/// The version of the document that this release writes.
pub const CUT_VERSION: u32 = 1;

/// The header of a message on `checkpoints` that says what it is, where it is not a signed head.
pub const KIND_HEADER: &str = "kind";

/// The value of [`KIND_HEADER`] of a cut.
pub const CUT_KIND: &str = "cut";

/// A place in a partition: between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Leaves before it: the number of the message after it.
    pub seq: u64,
    /// The offset after the last message before it, or after what is no message behind it (a transaction's marker).
    pub offset: u64,
}

/// By what the cut after it names a cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutName {
    /// The tree's name.
    pub origin: String,
    /// How many cuts of this tree there were before.
    pub number: u64,
    /// SHA-256 of its JSON, lower-case hex.
    pub hash: String,
    /// Where its segment ends.
    pub end: Edge,
}

/// A cut. As JSON it stands on the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The version of this document.
    pub v: u32,
    /// `cut`, as [`KIND_HEADER`] has it.
    pub kind: String,
    /// The tree's name.
    pub origin: String,
    /// How many cuts of this tree there were before.
    pub number: u64,
    /// SHA-256 of the JSON of the cut before it, lower-case hex; `None` of the tree's first.
    pub previous: Option<String>,
    /// Where the segment begins: where the one before it ends.
    pub start: Edge,
    /// Where it ends. The same place, where nothing came: silence is sealed too.
    pub end: Edge,
    /// The tree's right edge at the start: with it, a segment is checked without those before.
    pub peaks: Vec<NodeHash>,
    /// The UTC day on which the log took all messages of the segment; of one without, the day of the cut. `2026-11-21`.
    pub date: String,
    /// When it was cut, milliseconds since 1970.
    pub at_ms: i64,
    /// The signed checkpoint of the end.
    pub note: String,
}

/// The bytes are no cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCut {
    /// Of a later release.
    #[error("it has version {found}, this release reads up to {CUT_VERSION}: use the release that wrote it")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// Not the document.
    #[error("it is no cut: {0}")]
    Form(String),
    /// What it holds is no signed note.
    #[error("its checkpoint: {0}")]
    Note(#[from] InvalidNote),
    /// What it holds is no checkpoint.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// Its edge has another size than its start.
    #[error(transparent)]
    Edge(#[from] InvalidFrontier),
    /// The checkpoint is of another tree or place.
    #[error("its checkpoint is not of the place where it ends")]
    Elsewhere,
    /// It ends before it begins.
    #[error("it ends before it begins")]
    Backwards,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
    kind: String,
}

impl Cut {
    /// Whether the value of a message on `checkpoints` is a cut, of whatever version, and so no signed head.
    pub fn is_one(value: &[u8]) -> bool {
        serde_json::from_slice::<Versioned>(value).is_ok_and(|value| value.kind == CUT_KIND)
    }

    /// Reads a document and checks that its parts belong together; answers with the tree's edge at its start, too. Whose
    /// signatures it carries is for the caller to check.
    pub fn read(bytes: &[u8]) -> Result<(Self, SignedNote, Checkpoint, Frontier), InvalidCut> {
        let form = |error: serde_json::Error| InvalidCut::Form(error.to_string());
        let Versioned { v, kind } = serde_json::from_slice(bytes).map_err(form)?;
        if v > CUT_VERSION {
            return Err(InvalidCut::Newer { found: v });
        }
        if kind != CUT_KIND {
            return Err(InvalidCut::Form(format!("its kind is {kind:?}")));
        }
        let cut: Self = serde_json::from_slice(bytes).map_err(form)?;
        let note = SignedNote::parse(cut.note.as_bytes())?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.size != cut.end.seq || checkpoint.origin != cut.origin {
            return Err(InvalidCut::Elsewhere);
        }
        if cut.end.seq < cut.start.seq || cut.end.offset < cut.start.offset {
            return Err(InvalidCut::Backwards);
        }
        let frontier = Frontier::from_peaks(cut.start.seq, cut.peaks.clone())?;
        Ok((cut, note, checkpoint, frontier))
    }

    /// As JSON, as it stands on the log.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a cut has string keys only")
    }

    /// Its name for the cut after it.
    pub fn name(&self) -> CutName {
        let hash = hex::encode(Sha256::digest(self.to_json()));
        CutName { origin: self.origin.clone(), number: self.number, hash, end: self.end }
    }

    /// Whether it comes after `before`; `None` where there is none yet. The first one of a tree may begin anywhere:
    /// segments begin when a destination is configured. Another tree's cuts have a sequence of their own.
    pub fn follows(&self, before: Option<&CutName>) -> bool {
        match before.filter(|before| before.origin == self.origin) {
            None => self.number == 0 && self.previous.is_none(),
            Some(before) => {
                Some(self.number) == before.number.checked_add(1)
                    && self.start == before.end
                    && self.previous.as_ref() == Some(&before.hash)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NoteSigner, leaf_hash, origin};

    const DEPLOYMENT: &str = "d";

    fn cut(before: Option<&Cut>, frontier: &mut Frontier, leaves: u64) -> Cut {
        let start = before.map_or(Edge { seq: 0, offset: 0 }, |before| before.end);
        let peaks = frontier.peaks().to_vec();
        (0..leaves).for_each(|leaf| frontier.append(leaf_hash(&leaf.to_be_bytes()), |_, _| {}));
        let origin = origin(&DEPLOYMENT, 3, 0);
        let checkpoint = Checkpoint { origin: origin.clone(), size: frontier.size(), root: frontier.root() };
        let mut note = checkpoint.to_note().expect("a note");
        note.sign(&NoteSigner::new(&origin, &[7; 32]).expect("a key"));
        Cut {
            v: CUT_VERSION,
            kind: CUT_KIND.to_owned(),
            origin,
            number: before.map_or(0, |before| before.number + 1),
            previous: before.map(|before| before.name().hash),
            start,
            end: Edge { seq: start.seq + leaves, offset: start.offset + 2 * leaves },
            peaks,
            date: "2026-11-21".to_owned(),
            at_ms: 0,
            note: note.to_string(),
        }
    }

    #[test]
    fn a_cut_comes_back_from_its_json_and_what_does_not_belong_together_does_not() {
        let mut frontier = Frontier::new();
        let first = cut(None, &mut frontier, 5);
        let second = cut(Some(&first), &mut frontier, 3);
        for one in [&first, &second] {
            assert!(Cut::is_one(&one.to_json()));
            let (read, _, checkpoint, edge) = Cut::read(&one.to_json()).expect("a cut");
            assert_eq!((&read, checkpoint.size, edge.size()), (one, one.end.seq, one.start.seq));
        }
        let wrong = |cut: Cut| Cut::read(&cut.to_json()).expect_err("it does not belong together");
        let end = Edge { seq: 9, ..second.end };
        assert_eq!(wrong(Cut { end, ..second.clone() }), InvalidCut::Elsewhere);
        assert!(matches!(wrong(Cut { peaks: Vec::new(), ..second.clone() }), InvalidCut::Edge(_)));
        let start = Edge { seq: 5, offset: 99 };
        assert_eq!(wrong(Cut { start, ..second.clone() }), InvalidCut::Backwards);
        let newer = Cut { v: CUT_VERSION + 1, ..second };
        assert!(Cut::is_one(&newer.to_json()), "nobody takes it for a signed head");
        assert_eq!(wrong(newer), InvalidCut::Newer { found: CUT_VERSION + 1 });
        assert!(!Cut::is_one(br#"{"v":1,"epoch":0,"next":0,"peaks":[],"note":""}"#));
    }

    #[test]
    fn of_two_that_name_the_same_one_before_only_the_first_is_in_force() {
        let mut frontier = Frontier::new();
        let first = cut(None, &mut frontier, 5);
        let mut other = frontier.clone();
        let second = cut(Some(&first), &mut frontier, 3);
        let rival = cut(Some(&first), &mut other, 4);
        assert!(
            first.follows(None) && second.follows(Some(&first.name())) && rival.follows(Some(&first.name()))
        );
        assert!(!rival.follows(Some(&second.name())), "the second was there sooner");
        assert!(
            !second.follows(None)
                && !second.follows(Some(&rival.name()))
                && !first.follows(Some(&first.name()))
        );
        let silent = cut(Some(&second), &mut frontier, 0);
        assert!(silent.follows(Some(&second.name())) && silent.start == silent.end);
    }
}
