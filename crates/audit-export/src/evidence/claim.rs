//! Which leaves an export accounts for: the part of its query that leaf headers show.
//!
//! Actions, object types and times stand in the headers. Projects, environments, flags and authors are there as tags,
//! which the keys of their scopes make readable. What a filter calls by another name than the one that tags are made
//! of is looked up in the archive; so the claim may admit more than the query, never less.

use std::collections::{BTreeSet, HashMap, HashSet};

use audit_archive::{Named, StableLabel};
use audit_proof::{Leaf, ScopeKey, Tag};
use audit_record::{Author, AuthorKind, Filter, Ref, RoutingKey};

use super::manifest::{Provable, Subject};
use crate::job::ExportJob;

/// Most scopes whose keys are disclosed in one export; a query that leads to more is restricted by them in words only.
const SCOPES_MAX: usize = 1_000;

/// Most environments, flags or authors that a query may lead to, likewise.
const SUBJECTS_MAX: usize = 10_000;

/// The provable part of a query, ready to be applied.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) provable: Provable,
    /// What else is asked for, in words.
    pub(super) asserted: Vec<String>,
    /// The keys to disclose.
    pub(super) keys: Vec<(RoutingKey, ScopeKey)>,
    filter: Filter,
    period: audit_record::Period,
    scopes: Option<HashMap<Tag, ScopeTags>>,
}

/// The tags that are wanted within one scope; `None`: not restricted.
#[derive(Debug, Default)]
struct ScopeTags {
    environments: Option<HashSet<Tag>>,
    flags: Option<HashSet<Tag>>,
    authors: Option<HashSet<Tag>>,
}

impl Claim {
    /// Of a job, whose words stand for `named`.
    pub(super) fn of(job: &ExportJob, named: Named, scope_key: impl Fn(&RoutingKey) -> ScopeKey) -> Self {
        let filter = &job.filter;
        let mut asserted = Vec::new();
        let actions: Vec<String> = filter.action.iter().map(|action| action.as_str().to_owned()).collect();
        let mut provable = Provable {
            actions: (!actions.is_empty()).then_some(actions),
            related_object_types: (!filter.related_object_type.is_empty())
                .then(|| filter.related_object_type.clone()),
            from: job.period.from.map(|at| at.to_string()),
            to: job.period.to.map(|at| at.to_string()),
            ..Provable::default()
        };
        if job.text.is_some() {
            asserted.push("which records hold the words of the text".to_owned());
        }
        if !filter.object.is_empty() {
            asserted.push("which records concern the related object".to_owned());
        }
        let scopes = within(named.scopes, SCOPES_MAX);
        if !(filter.organisation.is_empty() && filter.source.is_empty() && filter.project.is_empty()) {
            asserted.push(match &scopes {
                Some(_) => "that the scopes listed are all that organisation, source and project of the query stand for",
                None => "which records are of the organisation, source and project of the query",
            }.to_owned());
        }
        for (what, words, found, place) in [
            ("environment", &filter.environment, named.environments, &mut provable.environments),
            ("flag", &filter.flag, named.flags, &mut provable.flags),
            ("author", &filter.author, named.authors, &mut provable.authors),
        ] {
            if words.is_empty() {
                continue;
            }
            *place = within(found, SUBJECTS_MAX)
                .filter(|_| scopes.is_some())
                .map(|found| found.into_iter().map(subject).collect());
            asserted.push(match place {
                Some(_) => format!("that each {what} of the query is one of those listed by stable label, and is called so"),
                None => format!("which records concern the {what} of the query: only a query that names a project has that proven"),
            });
        }
        let keys: Vec<(RoutingKey, ScopeKey)> =
            scopes.iter().flatten().map(|scope| (scope.clone(), scope_key(scope))).collect();
        provable.scopes = scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect());
        let tags = provable.scopes.is_some().then(|| {
            keys.iter().map(|(scope, key)| (key.scope_tag(scope), ScopeTags::of(key, &provable))).collect()
        });
        Self { provable, asserted, keys, filter: filter.clone(), period: job.period, scopes: tags }
    }

    /// Whether a leaf's header says that it is in scope.
    pub(super) fn admits(&self, leaf: &Leaf<'_>) -> bool {
        let Some(record) = &leaf.record else { return false };
        let Filter { action, related_object_type, .. } = &self.filter;
        let is_inside = self.period.from.is_none_or(|from| from <= record.occurred_at)
            && self.period.to.is_none_or(|to| record.occurred_at < to)
            && (action.is_empty() || action.iter().any(|pattern| pattern.matches(&record.action)))
            && (related_object_type.is_empty()
                || related_object_type.iter().any(|wanted| *wanted == record.related_object_type));
        let Some(scopes) = &self.scopes else { return is_inside };
        is_inside
            && leaf.tags.scope.and_then(|scope| scopes.get(&scope)).is_some_and(|wanted| {
                is_among(leaf.tags.environment, wanted.environments.as_ref())
                    && is_among(leaf.tags.flag, wanted.flags.as_ref())
                    && is_among(leaf.tags.author, wanted.authors.as_ref())
            })
    }
}

impl ScopeTags {
    fn of(key: &ScopeKey, provable: &Provable) -> Self {
        let thing = |subject: &Subject| {
            let text = Some(subject.text.clone());
            match subject.label.as_str() {
                "id" => Ref { id: text, ..Ref::default() },
                "key" => Ref { key: text, ..Ref::default() },
                _ => Ref { name: text, ..Ref::default() },
            }
        };
        let author = |subject: &Subject| {
            let (text, author) = (Some(subject.text.clone()), Author::new(AuthorKind::Unknown));
            match subject.label.as_str() {
                "id" => Author { id: text, ..author },
                "email" => Author { email: text, ..author },
                _ => Author { name: text, ..author },
            }
        };
        let all = |subjects: &Option<Vec<Subject>>, tag: &dyn Fn(&Subject) -> Option<Tag>| {
            subjects.as_ref().map(|subjects| subjects.iter().filter_map(tag).collect())
        };
        Self {
            environments: all(&provable.environments, &|subject| key.environment(&thing(subject))),
            flags: all(&provable.flags, &|subject| key.flag(&thing(subject))),
            authors: all(&provable.authors, &|subject| key.author(&author(subject))),
        }
    }
}

fn is_among(tag: Option<Tag>, wanted: Option<&HashSet<Tag>>) -> bool {
    wanted.is_none_or(|wanted| tag.is_some_and(|tag| wanted.contains(&tag)))
}

fn within<T>(found: Option<BTreeSet<T>>, most: usize) -> Option<BTreeSet<T>> {
    found.filter(|found| found.len() <= most)
}

fn subject(label: StableLabel) -> Subject {
    Subject { label: label.label.to_owned(), text: label.text }
}
