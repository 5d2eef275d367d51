//! The query again, over leaf headers: which leaves the export has to account for.
//!
//! What the manifest claims to be provable is taken at its word only as far as it follows from what was asked: actions,
//! object types and times must be those of the query itself: with fewer of them, leaves that are asked for could be
//! left out as if they were not. Scopes and subjects are the exporter's reading of the query's words; whether that reading
//! can leave anything else out is [`Claim::is_exact`], and what has to be believed for it [`asserted`].

use std::collections::{HashMap, HashSet};

use audit_proof::{Leaf, ScopeKey, Tag, Tags};
use audit_record::{ActionPattern, AuditRecord, Author, AuthorKind, Ref, RoutingKey, Timestamp};
use serde::Deserialize;

use crate::manifest::{Provable, Query, Subject};

/// The claim, ready to be applied.
#[derive(Debug)]
pub(super) struct Claim {
    actions: Option<Vec<ActionPattern>>,
    related_object_types: Option<Vec<String>>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    scopes: Option<HashMap<Tag, Scope>>,
    /// Whether a leaf in scope is a record that the query asks for, with nothing left to judge.
    pub(super) is_exact: bool,
}

#[derive(Debug)]
struct Scope {
    key: ScopeKey,
    routing: RoutingKey,
    environments: Option<HashSet<Tag>>,
    flags: Option<HashSet<Tag>>,
    authors: Option<HashSet<Tag>>,
}

/// A line of `data/keys/scopes.ndjson`.
#[derive(Deserialize)]
struct ScopeLine {
    scope: String,
    key: String,
}

impl Claim {
    /// Reads a claim; `keys` is what `data/keys/scopes.ndjson` holds. An `Err` names what is wrong with it.
    pub(super) fn read(provable: &Provable, query: &Query, keys: Option<&str>) -> Result<Self, String> {
        let filter = &query.filter;
        let actions: Vec<&str> = filter.action.iter().map(ActionPattern::as_str).collect();
        // A list of none would admit nothing.
        let asked = (!actions.is_empty()).then_some(actions);
        let claimed: Option<Vec<&str>> =
            provable.actions.as_ref().map(|actions| actions.iter().map(String::as_str).collect());
        let types = Some(&filter.related_object_type).filter(|types| !types.is_empty());
        let unasked = [
            (&provable.environments, &filter.environment),
            (&provable.flags, &filter.flag),
            (&provable.authors, &filter.author),
        ];
        let names_no_scope =
            filter.organisation.is_empty() && filter.source.is_empty() && filter.project.is_empty();
        let is_other = (provable.scopes.is_some() && names_no_scope)
            || unasked.iter().any(|(claimed, words)| claimed.is_some() && words.is_empty())
            || claimed != asked
            || provable.related_object_types.as_ref() != types
            || provable.from != query.from
            || provable.to != query.to;
        if is_other {
            return Err("what it calls provable is not what its query asks for".to_owned());
        }
        let moment = |text: &Option<String>| {
            text.as_deref().map(Timestamp::parse).transpose().map_err(|error| error.to_string())
        };
        let mut scopes = None;
        if let Some(claimed) = &provable.scopes {
            let disclosed = disclosed(keys.ok_or("it names scopes, and their keys are not here")?)?;
            let mut by_tag = HashMap::new();
            for name in claimed {
                let key =
                    disclosed.get(name).ok_or_else(|| format!("the key of scope {name} is not here"))?;
                let routing = RoutingKey::parse(name).map_err(|error| format!("scope {name}: {error}"))?;
                by_tag.insert(key.scope_tag(&routing), Scope::of(key.clone(), routing, provable));
            }
            scopes = Some(by_tag);
        }
        Ok(Self {
            actions: provable.actions.as_ref().map(|_| filter.action.clone()),
            related_object_types: provable.related_object_types.clone(),
            from: moment(&provable.from)?,
            to: moment(&provable.to)?,
            is_exact: is_exact(provable, query, scopes.as_ref()),
            scopes,
        })
    }

    /// Whether a leaf's header says that it is in scope.
    pub(super) fn admits(&self, leaf: &Leaf<'_>) -> bool {
        let Some(record) = &leaf.record else { return false };
        let fits = self.from.is_none_or(|from| from <= record.occurred_at)
            && self.to.is_none_or(|to| record.occurred_at < to)
            && self.actions.as_ref().is_none_or(|all| all.iter().any(|one| one.matches(&record.action)))
            && self
                .related_object_types
                .as_ref()
                .is_none_or(|all| all.iter().any(|one| *one == record.related_object_type));
        let Some(scopes) = &self.scopes else { return fits };
        let Some(scope) = leaf.tags.scope.and_then(|scope| scopes.get(&scope)) else { return false };
        fits && is_among(leaf.tags.environment, scope.environments.as_ref())
            && is_among(leaf.tags.flag, scope.flags.as_ref())
            && is_among(leaf.tags.author, scope.authors.as_ref())
    }

    /// Whether the claim looks at tags, so that a leaf without any can't be judged.
    pub(super) fn needs_tags(&self) -> bool {
        self.scopes.is_some()
    }

    /// The tags that a record of a disclosed scope should have; `None` where its scope's key is not known.
    pub(super) fn tags_of(&self, leaf: &Leaf<'_>, record: &AuditRecord) -> Option<Tags> {
        let scope = self.scopes.as_ref()?.get(&leaf.tags.scope?)?;
        Some(scope.key.tags(&record.routing_key(), record))
    }

    /// The scopes, for people.
    pub(super) fn scope_names(&self) -> Option<Vec<String>> {
        let scopes = self.scopes.as_ref()?;
        let mut names: Vec<String> = scopes.values().map(|scope| scope.routing.to_string()).collect();
        names.sort();
        Some(names)
    }
}

impl Scope {
    fn of(key: ScopeKey, routing: RoutingKey, provable: &Provable) -> Self {
        let thing = |Subject { label, text }: &Subject| {
            let text = Some(text.clone());
            match label.as_str() {
                "id" => Some(Ref { id: text, ..Ref::default() }),
                "key" => Some(Ref { key: text, ..Ref::default() }),
                "name" => Some(Ref { name: text, ..Ref::default() }),
                _ => None,
            }
        };
        let author = |Subject { label, text }: &Subject| {
            let (text, nobody) = (Some(text.clone()), Author::new(AuthorKind::Unknown));
            match label.as_str() {
                "id" => Some(Author { id: text, ..nobody }),
                "email" => Some(Author { email: text, ..nobody }),
                "name" => Some(Author { name: text, ..nobody }),
                _ => None,
            }
        };
        let environments = provable.environments.as_ref().map(|all| {
            all.iter().filter_map(thing).filter_map(|environment| key.environment(&environment)).collect()
        });
        let flags = provable
            .flags
            .as_ref()
            .map(|all| all.iter().filter_map(thing).filter_map(|flag| key.flag(&flag)).collect());
        let authors = provable
            .authors
            .as_ref()
            .map(|all| all.iter().filter_map(author).filter_map(|author| key.author(&author)).collect());
        Self { key, routing, environments, flags, authors }
    }
}

/// What only the exporter's word stands for, by what the query asks; the manifest may say so itself, or not.
pub(super) fn asserted(provable: &Provable, query: &Query) -> Vec<String> {
    let filter = &query.filter;
    let mut said = Vec::new();
    if query.text.is_some() {
        said.push("which records hold the words of the text".to_owned());
    }
    if !filter.object.is_empty() {
        said.push("which records concern the related object".to_owned());
    }
    if !(filter.organisation.is_empty() && filter.source.is_empty() && filter.project.is_empty()) {
        said.push(if provable.scopes.is_some() {
            "that the scopes listed are all that organisation, source and project of the query stand for"
                .to_owned()
        } else {
            "which records are of the organisation, source and project of the query".to_owned()
        });
    }
    for (what, words, claimed) in [
        ("environment", &filter.environment, &provable.environments),
        ("flag", &filter.flag, &provable.flags),
        ("author", &filter.author, &provable.authors),
    ] {
        if words.is_empty() {
            continue;
        }
        said.push(if claimed.is_some() {
            format!("that each {what} of the query is one of those listed by stable label, and is called so")
        } else {
            format!("which records concern the {what} of the query: only a query that names a project has that proven")
        });
    }
    said
}

fn is_among(tag: Option<Tag>, wanted: Option<&HashSet<Tag>>) -> bool {
    wanted.is_none_or(|wanted| tag.is_some_and(|tag| wanted.contains(&tag)))
}

/// Whether nothing of the query is left that headers don't show: then no leaf in scope may be left out as not asked for.
fn is_exact(provable: &Provable, query: &Query, scopes: Option<&HashMap<Tag, Scope>>) -> bool {
    let filter = &query.filter;
    let subjects = |words: &[String], claimed: &Option<Vec<Subject>>| {
        words.is_empty()
            || claimed.as_ref().is_some_and(|all| all.iter().all(|subject| words.contains(&subject.text)))
    };
    let is_scoped = filter.organisation.is_empty() && filter.source.is_empty() && filter.project.is_empty();
    let fits = |scope: &Scope| {
        let parts = scope.routing.parts();
        let among = |words: &[String], part: Option<&String>| {
            words.is_empty() || part.is_some_and(|part| words.contains(part))
        };
        among(&filter.organisation, Some(&parts.organisation))
            && among(&filter.source, Some(&parts.source))
            && among(&filter.project, parts.project.as_ref())
    };
    query.text.is_none()
        && filter.object.is_empty()
        && (filter.action.is_empty() || provable.actions.is_some())
        && (filter.related_object_type.is_empty() || provable.related_object_types.is_some())
        && query.from == provable.from
        && query.to == provable.to
        && (is_scoped || scopes.is_some_and(|scopes| scopes.values().all(fits)))
        && subjects(&filter.environment, &provable.environments)
        && subjects(&filter.flag, &provable.flags)
        && subjects(&filter.author, &provable.authors)
}

fn disclosed(text: &str) -> Result<HashMap<String, ScopeKey>, String> {
    let line = |line: &str| {
        let wrong = || format!("{line:?} is not a scope and its key");
        let ScopeLine { scope, key } = serde_json::from_str(line).map_err(|_| wrong())?;
        let key: [u8; 32] = hex::decode(key).ok().and_then(|key| key.try_into().ok()).ok_or_else(wrong)?;
        Ok((scope, ScopeKey::from_bytes(key)))
    };
    text.lines().map(line).collect()
}
