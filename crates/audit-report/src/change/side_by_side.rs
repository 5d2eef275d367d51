//! Which records are of one change. This file is the rule; the reports print its version.
//!
//! Nothing is merged: a change is a list of records, and each of them stays on the log as it came. A record that fits no
//! other is a change by itself. All platforms but Flagsmith send one record a change.
//!
//! At Flagsmith one save arrives as up to four records: an audit entry (AUDIT_LOG_CREATED) for the state and another for
//! the value, a FLAG_UPDATED with the old and the new state, and for a new or a deleted flag an entry above environments.
//! There is no common key. They are of one change where they come from the same source and project, and name the same
//! flag, environment and target (segment or identity; both none), and where
//!
//! 1. **a state and an entry happened together**: their times differ by at most half a second (20 ms are usual). Of each
//!    kind of entry (the kind is the action and the first two words of the sentence) a state takes the nearest one only:
//!    so the entries of two quick saves stay apart, although Flagsmith shows the last state in both.
//! 2. **an entry names a change request, or tells of a deletion, and a state arrived with it**: such a state is dated at its
//!    receipt, so what counts is that both requests came in within 15 s of each other. The entry takes the nearest state
//!    that rule 1 left. That of a change request names no author, and came after the request was created, where that is
//!    known.
//! 3. **a version was published**: an entry "New version published" takes every state that happened within 5 s before or
//!    after it, or arrived within 15 s and names the same author or none; and the NEW_VERSION_PUBLISHED of its uuid.
//! 4. **entries happened together and differ in kind**: where no state is at hand, entries by the same author within half
//!    a second are one save.
//! 5. **an entry above environments happened with it**: the entry of a new or a deleted flag, and of its variants, goes
//!    with the changes of that flag in its environments within half a second, as evidence of each. Where none of those is
//!    in the report it is a change by itself.
//!
//! Which change request a change belongs to is decided in [`super::request`].

use std::collections::BTreeMap;

use super::person::Thing;
use super::request::Requests;
use super::trace::{Form, Trace};

/// The version of the rule.
pub(crate) const RULE_VERSION: u32 = 1;

/// Records of one save happen within this time.
const TOGETHER_US: i64 = 500_000;

/// Records of one request of the platform arrive within this time: its retries and its workers take some seconds.
const ARRIVED_TOGETHER_US: i64 = 15_000_000;

/// A version's states are saved within this time of its being published.
const PUBLISHED_US: i64 = 5_000_000;

/// Puts records side by side. Each inner list is one change, by the numbers of `traces`, the record that tells most of
/// who and when first. Records above environments may stand in several.
pub(crate) fn side_by_side(traces: &[Trace], requests: &Requests) -> Vec<Vec<usize>> {
    let mut changes = Vec::new();
    for bucket in buckets(traces).into_values() {
        changes.extend(Flag::new(traces, requests, bucket).into_changes());
    }
    changes.sort_by_key(|change: &Vec<usize>| (traces[change[0]].at, change[0]));
    changes
}

/// Where a record is: environment and target.
type Place<'t> = (&'t str, &'t str, &'t str);

/// Records of one flag, by number: what comes together can't be in two of them. A flag's name stands in each of
/// Flagsmith's forms, its id in some.
fn buckets(traces: &[Trace]) -> BTreeMap<(&str, &str, &str), Vec<usize>> {
    let mut buckets: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (number, trace) in traces.iter().enumerate() {
        let project = trace.project.as_ref().map_or("", Thing::stable);
        let flag = trace.flag.as_ref().map_or("", Thing::label);
        buckets.entry((trace.source.as_str(), project, flag)).or_default().push(number);
    }
    buckets
}

/// The records of one flag, and what became of them.
struct Flag<'t> {
    traces: &'t [Trace],
    requests: &'t Requests,
    numbers: Vec<usize>,
    /// To which change each record went.
    taken: BTreeMap<usize, usize>,
    changes: Vec<Vec<usize>>,
}

/// A pair that might belong together: how far apart, and which two.
type Pair = (i64, usize, usize);

impl<'t> Flag<'t> {
    fn new(traces: &'t [Trace], requests: &'t Requests, numbers: Vec<usize>) -> Self {
        Self { traces, requests, numbers, taken: BTreeMap::new(), changes: Vec::new() }
    }

    fn into_changes(mut self) -> Vec<Vec<usize>> {
        if self.numbers.iter().any(|&number| self.traces[number].form != Form::Whole) {
            self.published();
            self.saved();
            self.arrived();
            self.edited_segments();
            self.entries_alone();
        }
        let left: Vec<usize> = self.numbers.clone();
        let above = self.above_environments();
        for number in left {
            if !self.taken.contains_key(&number) && !above.contains(&number) {
                self.begin(number);
            }
        }
        self.attach_above(above);
        for change in &mut self.changes {
            change.sort_by_key(|&number| (self.traces[number].rank(), self.traces[number].at, number));
        }
        self.changes
    }

    /// Rule 3.
    fn published(&mut self) {
        let is_published = |trace: &Trace| trace.action == "flag.version.published";
        let entries = self.free(|trace| trace.form == Form::Entry && is_published(trace));
        let mut pairs = Vec::new();
        for &entry in &entries {
            let published = &self.traces[entry];
            for state in self.free(|trace| trace.may_be_of_version(published)) {
                let state_trace = &self.traces[state];
                let (apart, arrived) = (apart(published, state_trace), arrived_apart(published, state_trace));
                let same_author = !state_trace.author.is_known() || state_trace.author.is(&published.author);
                if apart <= PUBLISHED_US || (arrived <= ARRIVED_TOGETHER_US && same_author) {
                    pairs.push((apart.min(arrived), entry, state));
                }
            }
        }
        for &entry in &entries {
            self.begin(entry);
        }
        self.join(pairs, |_, _| true);
        for entry in entries {
            let Some(uuid) = self.traces[entry].version.clone() else { continue };
            let versions =
                self.free(|trace| trace.form == Form::Version && trace.version.as_ref() == Some(&uuid));
            versions.into_iter().for_each(|version| self.add(version, entry));
        }
    }

    /// Rule 1.
    fn saved(&mut self) {
        let entries = self.free(|trace| trace.form == Form::Entry && trace.environment.is_some());
        let mut by_place: BTreeMap<Place<'_>, Vec<usize>> = BTreeMap::new();
        for &entry in &entries {
            by_place.entry(self.traces[entry].place()).or_default().push(entry);
        }
        by_place.values_mut().for_each(|entries| entries.sort_by_key(|&entry| self.traces[entry].at));
        let states = self.free(|trace| trace.form == Form::State);
        let mut pairs = Vec::new();
        for &state in &states {
            let mine = &self.traces[state];
            let Some(entries) = by_place.get(&mine.place()) else { continue };
            let too_early = |&entry: &usize| self.traces[entry].at.micros() < mine.at.micros() - TOGETHER_US;
            for &entry in &entries[entries.partition_point(too_early)..] {
                let apart = apart(mine, &self.traces[entry]);
                if apart > TOGETHER_US {
                    break;
                }
                if may_be_one_author(mine, &self.traces[entry]) {
                    pairs.push((apart, state, entry));
                }
            }
        }
        let traces = self.traces;
        let paired: Vec<usize> = pairs.iter().map(|(_, state, _)| *state).collect();
        paired.into_iter().for_each(|state| self.begin(state));
        self.join(pairs, |change, entry| {
            // Of each kind of entry the nearest one only.
            !change.iter().any(|&other| {
                traces[other].form == Form::Entry && traces[other].kind() == traces[entry].kind()
            })
        });
    }

    /// Rule 2.
    fn arrived(&mut self) {
        let late = |trace: &Trace| trace.names_a_request() || trace.action == "flag.deleted";
        let entries =
            self.free(|trace| trace.form == Form::Entry && trace.environment.is_some() && late(trace));
        let mut pairs = Vec::new();
        for &entry in &entries {
            let mine = &self.traces[entry];
            let request = self.requests.of(&[mine]);
            let created = request.and_then(|request| request.created.as_ref()).map(|step| step.at);
            let fits = |trace: &Trace| match trace.form {
                Form::LastState => mine.action == "flag.deleted",
                Form::State => {
                    mine.names_a_request()
                        && !trace.author.is_known()
                        // It is dated at receipt.
                        && trace.at.micros() <= mine.at.micros() + ARRIVED_TOGETHER_US
                        && created.is_none_or(|created| trace.at.micros() >= created.micros() - TOGETHER_US)
                }
                _ => false,
            };
            for state in self.free(|trace| fits(trace) && trace.place() == mine.place()) {
                let apart = arrived_apart(mine, &self.traces[state]);
                if apart <= ARRIVED_TOGETHER_US {
                    pairs.push((apart, entry, state));
                }
            }
        }
        entries.into_iter().for_each(|entry| self.begin(entry));
        self.join(pairs, |change, _| change.len() == 1);
    }

    /// Rule 6.
    fn edited_segments(&mut self) {
        let of = |action: &'static str| {
            move |trace: &Trace| {
                trace.form == Form::Entry && trace.environment.is_none() && trace.action == action
            }
        };
        let (edited, copies) = (self.free(of("flag.segment.changed")), self.free(of("flag.segment.created")));
        let mut pairs = Vec::new();
        for &entry in &edited {
            for &copy in &copies {
                let (mine, other) = (&self.traces[entry], &self.traces[copy]);
                if apart(mine, other) <= TOGETHER_US && may_be_one_author(mine, other) {
                    pairs.push((apart(mine, other), entry, copy));
                }
            }
        }
        edited.into_iter().for_each(|entry| self.begin(entry));
        self.join(pairs, |change, _| change.len() == 1);
    }

    /// Rule 4.
    fn entries_alone(&mut self) {
        let mut entries = self.free(|trace| trace.form == Form::Entry && trace.environment.is_some());
        entries.sort_by_key(|&entry| self.traces[entry].at);
        let mut latest: BTreeMap<Place<'t>, usize> = BTreeMap::new();
        let traces = self.traces;
        for entry in entries {
            let mine = &traces[entry];
            let earlier = latest.get(&mine.place()).copied().filter(|&first| {
                let change = &self.changes[self.taken[&first]];
                apart(&traces[first], mine) <= TOGETHER_US
                    && may_be_one_author(&traces[first], mine)
                    && change.iter().all(|&other| traces[other].kind() != mine.kind())
            });
            match earlier {
                Some(first) => self.add(entry, first),
                None => {
                    self.begin(entry);
                    latest.insert(mine.place(), entry);
                }
            }
        }
    }

    /// The entries of rule 5.
    fn above_environments(&self) -> Vec<usize> {
        let goes_along = |action: &str| {
            matches!(action, "flag.created" | "flag.deleted" | "flag.variant.added" | "flag.variant.removed")
        };
        self.free(|trace| {
            trace.form == Form::Entry && trace.environment.is_none() && goes_along(&trace.action)
        })
    }

    /// Rule 5.
    fn attach_above(&mut self, above: Vec<usize>) {
        let in_environments = self.changes.len();
        for entry in above {
            let mine = &self.traces[entry];
            let goes_with = |other: &Trace| {
                let began_or_ended = match mine.action.as_str() {
                    "flag.variant.added" => other.action == "flag.created",
                    "flag.variant.removed" => other.action == "flag.deleted",
                    action => other.action == action,
                };
                began_or_ended && other.environment.is_some() && apart(mine, other) <= TOGETHER_US
            };
            let mut found = false;
            for change in &mut self.changes[..in_environments] {
                if change.iter().any(|&other| goes_with(&self.traces[other])) {
                    change.push(entry);
                    found = true;
                }
            }
            if !found {
                self.begin(entry);
            }
        }
    }

    /// The records that are in no change yet and fit.
    fn free(&self, fits: impl Fn(&Trace) -> bool) -> Vec<usize> {
        let free = self.numbers.iter().copied().filter(|number| !self.taken.contains_key(number));
        free.filter(|&number| fits(&self.traces[number])).collect()
    }

    /// A change of this record, if it is in none.
    fn begin(&mut self, number: usize) {
        if !self.taken.contains_key(&number) {
            self.taken.insert(number, self.changes.len());
            self.changes.push(vec![number]);
        }
    }

    fn add(&mut self, number: usize, beside: usize) {
        if let Some(&change) = self.taken.get(&beside) {
            self.taken.insert(number, change);
            self.changes[change].push(number);
        }
    }

    /// Joins the second of each pair to the change of the first, the nearest pairs first, where it is still free and
    /// `may` it.
    fn join(&mut self, mut pairs: Vec<Pair>, may: impl Fn(&[usize], usize) -> bool) {
        pairs.sort_unstable();
        for (_, first, second) in pairs {
            let Some(&change) = self.taken.get(&first) else { continue };
            if !self.taken.contains_key(&second) && may(&self.changes[change], second) {
                self.add(second, first);
            }
        }
    }
}

impl Trace {
    fn place(&self) -> Place<'_> {
        let environment = self.environment.as_ref().map_or("", Thing::stable);
        let (kind, target) =
            self.target.as_ref().map_or(("", ""), |(kind, target)| (kind.as_str(), target.label()));
        (environment, kind, target)
    }

    /// What tells the entries of one save apart.
    fn kind(&self) -> (&str, &str) {
        (&self.action, &self.aspect)
    }

    /// A version holds the state of a flag in an environment with its segments; identities are apart from it.
    fn may_be_of_version(&self, published: &Self) -> bool {
        let environment = |trace: &Self| trace.environment.as_ref().map(|it| it.stable().to_owned());
        let of_identity = self.target.as_ref().is_some_and(|(kind, _)| kind == "identity");
        self.form == Form::State && !of_identity && environment(self) == environment(published)
    }

    /// Which record of a change tells most of who and when.
    fn rank(&self) -> u8 {
        match (self.form, self.environment.is_some()) {
            (Form::Entry, false) if self.action == "flag.segment.changed" => 1,
            (Form::Whole, _) => 0,
            (Form::Entry, true) => 1,
            (Form::State | Form::LastState, _) => 2,
            (Form::Version, _) => 3,
            (Form::Entry, false) => 4,
        }
    }
}

fn apart(mine: &Trace, other: &Trace) -> i64 {
    (mine.at.micros() - other.at.micros()).abs()
}

fn arrived_apart(mine: &Trace, other: &Trace) -> i64 {
    (mine.received_at.micros() - other.received_at.micros()).abs()
}

/// Whether nothing speaks against one author: an API key has a name in a state and none in an entry.
fn may_be_one_author(mine: &Trace, other: &Trace) -> bool {
    !mine.author.is_known() || !other.author.is_known() || mine.author.is(&other.author)
}
