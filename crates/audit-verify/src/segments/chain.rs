//! The segments of one tree, from the first to the last: that each goes on where the one before ends, and that its files are
//! what its manifest says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use audit_proof::{CutName, Frontier, NodeHash, NoteVerifier};

use super::kept::{Covered, Marks};
use super::manifest::{ListedFile, Segment};
use super::name::{Name, Tree};
use super::rows::{RowReader, Rows};
use crate::checksums::{hash_file, stays_inside};
use crate::report::Report;

/// Most segments of a tree that are named one by one because the log's keys did not sign them.
const UNVOUCHED_NAMED_MAX: u64 = 20;

/// The check of one tree.
pub(super) struct Chain<'c> {
    /// The folder that `segments` is, or stands for.
    pub(super) folder: &'c Path,
    pub(super) tree: &'c Tree,
    /// Keys that are known; `None` where none of them is the tree's.
    pub(super) known: Option<&'c [NoteVerifier]>,
    /// What opens the files of rows; `None` where they are hashed only.
    pub(super) reader: Option<&'c dyn RowReader>,
    pub(super) marks: &'c mut Marks,
    /// Files that no manifest has named yet.
    pub(super) left: &'c mut BTreeSet<String>,
    pub(super) report: &'c mut Report,
}

/// What was found of a tree.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Segments whose manifests could be read.
    pub(super) segments: u64,
    /// How many of them hold no message.
    pub(super) silent: u64,
    /// Where those end that say that their messages are lost: leaves before and after such a place are not shown to be of one
    /// tree.
    pub(super) holes: Vec<u64>,
    /// Files beside manifests.
    pub(super) files: u64,
    /// Rows that were compared with their leaves, in files in which nothing is wrong with any.
    pub(super) rows: u64,
    /// Where they begin and end; `None` where no manifest could be read.
    pub(super) covered: Option<Covered>,
    /// When the last one's checkpoint was signed, in seconds since 1970, where a known cosigner tells.
    pub(super) at_s: Option<u64>,
    /// Segments of which something is wrong with the manifest itself, so that what files they have is not known.
    pub(super) unread: Vec<Name>,
}

/// The segment before the one that is looked at.
struct Before {
    number: u64,
    /// Its cut, and the root of the tree at its end; `None` where its manifest is worth nothing.
    known: Option<(CutName, Option<NodeHash>)>,
}

impl Chain<'_> {
    /// Goes through all segments; `names` are in order.
    pub(super) fn run(mut self, names: &[Name]) -> Found {
        let mut found = Found::default();
        let mut before: Option<Before> = None;
        let mut unvouched = 0;
        for name in names {
            let path = name.manifest(&self.tree.deployment);
            self.left.remove(&path);
            if before.as_ref().is_some_and(|before| before.number == name.number) {
                self.report.find(
                    path,
                    format!("is a second segment {}: it was added, or is of a second history", name.number),
                );
                found.unread.push(*name);
                continue;
            }
            self.count(&path, name.number, before.as_ref());
            let segment = match Segment::read(&self.place(&path), *name, self.tree) {
                Ok(segment) => segment,
                Err(problem) => {
                    self.report.find(path, problem);
                    found.unread.push(*name);
                    before = Some(Before { number: name.number, known: None });
                    continue;
                }
            };
            found.at_s = None;
            match self.known.map(|known| segment.vouched(known)) {
                Some(Ok(at_s)) => found.at_s = at_s,
                Some(Err(problem)) if unvouched < UNVOUCHED_NAMED_MAX => {
                    unvouched += 1;
                    self.report.find(&path, problem);
                }
                Some(Err(_)) | None => {}
            }
            self.follow(&path, &segment, before.as_ref());
            found.segments += 1;
            found.silent += u64::from(segment.files.is_none() && segment.lost.is_none());
            found.holes.extend(segment.lost.is_some().then_some(segment.cut.end.seq));
            found.files += if segment.files.is_some() { 2 } else { 0 };
            let start = found.covered.map_or(segment.cut.start.seq, |covered| covered.start);
            let (end, cut_at_ms) = (segment.cut.end.seq, segment.cut.at_ms);
            found.covered = Some(Covered { start, end, cut_at_ms });
            let cut = segment.cut.name();
            let end = self.grow(&path, segment, &mut found.rows);
            before = Some(Before { number: name.number, known: Some((cut, end)) });
        }
        found
    }

    /// Whether any number is missing before this one.
    fn count(&mut self, path: &str, number: u64, before: Option<&Before>) {
        let expected = before.map_or(0, |before| before.number.saturating_add(1));
        if number > expected {
            let missing = match number - expected {
                1 => format!("segment {expected}, which comes before it, was"),
                more => format!("{more} segments that come before it, from number {expected} on, were"),
            };
            self.report.find(path, format!("{missing} left out"));
        }
    }

    /// Whether a segment goes on where the one before ends.
    fn follow(&mut self, path: &str, segment: &Segment, before: Option<&Before>) {
        let cut = &segment.cut;
        let Some(before) = before else {
            if cut.number == 0 && !cut.follows(None) {
                self.report.find(path, "is the first segment, and names another before it: it was altered");
            }
            return;
        };
        let Some((name, end)) = &before.known else { return };
        if before.number.checked_add(1) != Some(cut.number) {
            return;
        }
        let (start, wanted) = (cut.start.seq, name.end.seq);
        let problem = if start < wanted {
            format!(
                "overlaps the segment before it: it begins with leaf {start}, and that one ends before leaf {wanted}"
            )
        } else if start > wanted {
            format!(
                "begins with leaf {start}, and the segment before it ends before leaf {wanted}: what lies between is in none"
            )
        } else if !cut.follows(Some(name)) {
            "names another cut before it than the segment before it was cut by: one of the two is of a second history"
                .to_owned()
        } else if end.is_some_and(|end| end != segment.edge.root()) {
            "begins with another tree than the one with which the segment before it ends: its checkpoint does not extend the one before"
                .to_owned()
        } else {
            return;
        };
        self.report.find(path, problem);
    }

    /// Checks a segment's files, and grows the tree by its leaves: the root that it leads to, or `None` where that is not the one
    /// that is signed. Where it is, the rows are compared with the leaves, and counted.
    fn grow(&mut self, path: &str, segment: Segment, compared: &mut u64) -> Option<NodeHash> {
        let Segment { cut, files, lost, checkpoint, edge, .. } = segment;
        if let Some(why) = lost {
            // Its checkpoint holds all the same: the next one has to begin with that tree.
            let (start, end) = (cut.start.seq, cut.end.seq);
            self.report.find_gap(path, format!("says that leaves {start} to {end} are in no segment: {why}"));
            return Some(checkpoint.root);
        }
        let mut leaves = Leaves::after(edge, cut.end.seq, self.marks);
        leaves.kept = self.reader.map(|_| Vec::new());
        let (file, is_whole) = match &files {
            None => (path, true),
            Some([rows, hashes]) => {
                let problem = look(self.folder, hashes, |bytes| leaves.take(bytes));
                let is_whole = problem.is_none();
                if let Some(problem) = problem {
                    self.report.find(&hashes.path, problem);
                }
                if let Some(problem) = look(self.folder, rows, |_| {}) {
                    self.report.find(&rows.path, problem);
                }
                for file in [rows, hashes] {
                    self.left.remove(&file.path);
                }
                (hashes.path.as_str(), is_whole)
            }
        };
        let Leaves { tree, met, kept, .. } = leaves;
        if tree.size() == checkpoint.size && tree.root() == checkpoint.root {
            met.into_iter().for_each(|(size, root)| self.marks.meet(size, root));
            if let (Some([rows, _]), Some(kept)) = (&files, kept) {
                *compared += self.compare(rows, Rows::of(self.tree, &cut, &kept)).unwrap_or(0);
            }
            return Some(checkpoint.root);
        }
        if is_whole {
            self.report.find(
                file,
                format!(
                    "does not lead to the root that the segment's checkpoint signs for the first {} leaves: a leaf was altered, removed, added or moved",
                    checkpoint.size
                ),
            );
        }
        None
    }

    /// Compares the rows of a file with their leaves: how many there are, where nothing is wrong with any.
    fn compare(&mut self, file: &ListedFile, mut rows: Rows<'_>) -> Option<u64> {
        let place = self.place(&file.path);
        // Of one that was left out it is told already, and a path that leads out of the folder is not followed.
        let reader = self.reader.filter(|_| stays_inside(&file.path) && place.exists())?;
        if let Err(error) = reader.read(&place, &mut |cells| rows.take(cells)) {
            self.report.find(&file.path, format!("has rows that can't be read: {error}"));
            return None;
        }
        rows.end(&file.path, self.report)
    }

    fn place(&self, path: &str) -> PathBuf {
        place(self.folder, path)
    }
}

/// Where a file lies whose path begins with `segments/`.
fn place(folder: &Path, path: &str) -> PathBuf {
    folder.join(path.strip_prefix("segments/").unwrap_or(path))
}

/// Hashes a file, whose bytes `seen` gets; what is wrong with it.
fn look(folder: &Path, file: &ListedFile, seen: impl FnMut(&[u8])) -> Option<String> {
    if !stays_inside(&file.path) {
        return Some("leads out of the folder".to_owned());
    }
    match hash_file(&place(folder, &file.path), seen) {
        Err(error) => Some(format!("was left out: it can't be read: {error}")),
        Ok((sha256, _)) if sha256 != file.sha256 => {
            Some(format!("was altered: its SHA-256 is {sha256}, its segment's manifest says {}", file.sha256))
        }
        Ok((_, bytes)) if bytes != file.bytes => {
            Some(format!("has {bytes} bytes, its segment's manifest says {}", file.bytes))
        }
        Ok(_) => None,
    }
}

/// A tree that grows by leaf hashes as they pass, however they are cut into pieces.
struct Leaves<'c> {
    tree: Frontier,
    /// How many leaves it is to have: what comes after is not looked at.
    end: u64,
    rest: Vec<u8>,
    marks: &'c Marks,
    /// The roots that it had at the sizes of the marks. They count once the tree is the one that was signed.
    met: Vec<(u64, NodeHash)>,
    /// The hashes that passed, where rows are to be compared with them: of one segment.
    kept: Option<Vec<NodeHash>>,
}

impl<'c> Leaves<'c> {
    fn after(tree: Frontier, end: u64, marks: &'c Marks) -> Self {
        let mut leaves = Self { tree, end, rest: Vec::new(), marks, met: Vec::new(), kept: None };
        leaves.note_root();
        leaves
    }

    fn note_root(&mut self) {
        if self.marks.are_at(self.tree.size()) {
            self.met.push((self.tree.size(), self.tree.root()));
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut hashes = rest.chunks_exact(NodeHash::BYTES);
        for hash in &mut hashes {
            if let Ok(leaf) = NodeHash::try_from(hash)
                && self.tree.size() < self.end
            {
                self.tree.append(leaf, |_, _| {});
                if let Some(kept) = &mut self.kept {
                    kept.push(leaf);
                }
                self.note_root();
            }
        }
        self.rest = hashes.remainder().to_vec();
    }
}
