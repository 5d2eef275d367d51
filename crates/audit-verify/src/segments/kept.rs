//! Checkpoints that whoever checks has kept: the roots that a tree must have had.

use std::collections::BTreeMap;

use audit_proof::{Checkpoint, NodeHash};

use super::manifest::is_key_of;
use crate::report::Report;
use crate::trust::Trust;

/// Those of one tree, by size.
#[derive(Debug, Default)]
pub(super) struct Marks {
    at: BTreeMap<u64, Vec<Mark>>,
}

#[derive(Debug)]
struct Mark {
    /// What the checkpoint is called.
    name: String,
    root: NodeHash,
    /// When it was signed, in seconds since 1970, where a known cosigner tells.
    at_s: Option<u64>,
    /// Whether its signature was checked.
    is_vouched: bool,
    met: Met,
}

/// How the tree stood to a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    NotYet,
    SameRoot,
    OtherRoot,
}

/// What of a tree its segments cover.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covered {
    /// Leaves before the first segment.
    pub(super) start: u64,
    /// Leaves up to the end of the last one.
    pub(super) end: u64,
    /// When the last one was cut, milliseconds since 1970.
    pub(super) cut_at_ms: i64,
}

impl Marks {
    /// Those of the tree of this name. Where keys of it are known, they have to vouch for each.
    pub(super) fn of(origin: &str, trust: &Trust, report: &mut Report) -> Self {
        let mut marks = Self::default();
        let is_vouched = trust.keys.iter().any(|key| is_key_of(key, origin));
        for kept in &trust.kept {
            let Ok(checkpoint) = Checkpoint::parse(kept.note.text()) else { continue };
            if checkpoint.origin != origin {
                continue;
            }
            let mut at_s = None;
            if is_vouched {
                match Checkpoint::open(&kept.note, origin, &trust.keys) {
                    Ok((_, cosigned_at_s)) => at_s = cosigned_at_s,
                    Err(error) => {
                        let problem = format!("is not one that the log's keys vouch for: {error}");
                        report.find(&kept.name, problem);
                        continue;
                    }
                }
            }
            let Checkpoint { size, root, .. } = checkpoint;
            let mark = Mark { name: kept.name.clone(), root, at_s, is_vouched, met: Met::NotYet };
            marks.at.entry(size).or_default().push(mark);
        }
        marks
    }

    /// Whether there is one of this size.
    pub(super) fn are_at(&self, size: u64) -> bool {
        self.at.contains_key(&size)
    }

    /// Compares the root of the tree of some size with those that are signed of it.
    pub(super) fn meet(&mut self, size: u64, root: NodeHash) {
        for mark in self.at.get_mut(&size).into_iter().flatten() {
            // Where it was another root once, it stays that, though another segment says otherwise.
            if mark.met != Met::OtherRoot {
                mark.met = if root == mark.root { Met::SameRoot } else { Met::OtherRoot };
            }
        }
    }

    /// What the checkpoints show of a tree that has segments. `holes` are the ends of those that are without their messages.
    pub(super) fn tell(
        &self,
        origin: &str,
        covered: Covered,
        holes: &[u64],
        last: &str,
        report: &mut Report,
    ) {
        let Covered { start, end, cut_at_ms } = covered;
        for (size, mark) in
            self.at.iter().flat_map(|(size, marks)| marks.iter().map(move |mark| (*size, mark)))
        {
            let Mark { name, at_s, is_vouched, met, .. } = mark;
            let unchecked = if *is_vouched {
                ""
            } else {
                " (its signature was not checked: no key of the log was given)"
            };
            let hole = holes.iter().copied().filter(|end| *end <= size).max();
            match met {
                Met::SameRoot if hole == Some(size) => report.not_covered.push(format!(
                    "{name}: it signs {size} leaves of {origin}, of which the last ones are in no segment"
                )),
                Met::SameRoot => {
                    let leaves = match hole {
                        Some(hole) => format!("leaves {hole} to {size}"),
                        None => format!("the first {size} leaves"),
                    };
                    let held = if start > 0 && hole.is_none() { ", as far as segments hold them" } else { "" };
                    report.proven.push(format!(
                        "nothing of {leaves} of {origin} has changed since {name} was signed{held}{unchecked}"
                    ));
                }
                Met::OtherRoot => report.find(
                    last,
                    format!(
                        "ends a second history: the checkpoint {name}, which was kept from earlier, signs another root for the first {size} leaves of {origin}"
                    ),
                ),
                Met::NotYet if size > end => {
                    let is_earlier = at_s
                        .and_then(|at_s| i64::try_from(at_s).ok()?.checked_mul(1_000))
                        .is_some_and(|at_ms| at_ms < cut_at_ms);
                    if is_earlier {
                        report.find(last, format!("was cut of a log that was truncated: {name}, signed before it, covers {size} leaves of {origin}, and it ends with {end}"));
                    } else {
                        report.find_gap(last, format!("is the last segment of {origin} and ends after {end} leaves, and {name} covers {size}: the segments are behind, or their chain was truncated"));
                    }
                }
                Met::NotYet if size < start => report.not_covered.push(format!(
                    "{name}: it signs {size} leaves of {origin}, whose segments begin after {start}"
                )),
                // Within what is left out, which is told of where it is missed.
                Met::NotYet => {}
            }
        }
    }
}
