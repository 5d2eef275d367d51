//! Who wants a record: an index over all endpoints, so that a record is not held up to each of them.
//!
//! Every endpoint hangs on one hook or several that are all alike: the values of the most telling field that
//! its filter asks for, or its action patterns. A record looks at the hooks of its own values; whoever hangs
//! there is then asked in full.

use std::collections::HashMap;
use std::sync::Arc;

use audit_record::{AuditRecord, Filter, Ref};

use crate::endpoint::EndpointId;
use crate::entry::Entry;
use crate::live::Live;

/// The fields that endpoints are indexed by, the most telling first.
const FACETS: [Facet; 7] = [
    Facet {
        wanted: |filter| &filter.flag,
        values: |record, see| of_thing(record.draft().flag.as_ref(), see),
    },
    Facet {
        wanted: |filter| &filter.object,
        values: |record, see| {
            let object = &record.draft().related_object;
            object.uuid.iter().for_each(|uuid| see(uuid));
            of_thing(Some(&object.what), see);
        },
    },
    Facet {
        wanted: |filter| &filter.project,
        values: |record, see| of_thing(record.draft().project.as_ref(), see),
    },
    Facet {
        wanted: |filter| &filter.author,
        values: |record, see| {
            let author = record.author();
            [&author.id, &author.email, &author.name].into_iter().flatten().for_each(|value| see(value));
        },
    },
    Facet {
        wanted: |filter| &filter.environment,
        values: |record, see| of_thing(record.draft().environment.as_ref(), see),
    },
    Facet { wanted: |filter| &filter.source, values: |record, see| see(&record.source().name) },
    Facet {
        wanted: |filter| &filter.organisation,
        values: |record, see| of_thing(Some(record.organisation()), see),
    },
];

/// Whom a value is shown to.
type Look<'a> = &'a mut dyn FnMut(&str);

struct Facet {
    /// What a filter asks of it.
    wanted: fn(&Filter) -> &Vec<String>,
    /// What a record has of it.
    values: fn(&AuditRecord, Look<'_>),
}

fn of_thing(thing: Option<&Ref>, see: Look<'_>) {
    let Some(thing) = thing else { return };
    [&thing.id, &thing.key, &thing.name].into_iter().flatten().for_each(|value| see(value));
}

type Hooks = HashMap<String, Vec<usize>>;

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    endpoints: Vec<Arc<Live>>,
    /// By a facet's values.
    faceted: [Hooks; FACETS.len()],
    /// By exact action.
    exact: Hooks,
    /// By the beginning of the action, up to a dot.
    prefix: Hooks,
    /// Those that take every action.
    all: Vec<usize>,
}

impl Audience {
    pub(crate) fn new<'a>(endpoints: impl Iterator<Item = &'a Arc<Live>>) -> Self {
        let mut audience = Self { endpoints: endpoints.map(Arc::clone).collect(), ..Self::default() };
        for (index, live) in audience.endpoints.iter().enumerate() {
            let filter = &live.endpoint.filter;
            let facet = FACETS.iter().position(|facet| !(facet.wanted)(filter).is_empty());
            if let Some(facet) = facet {
                for value in (FACETS[facet].wanted)(filter) {
                    audience.faceted[facet].entry(value.clone()).or_default().push(index);
                }
                continue;
            }
            for pattern in live.endpoint.events.iter().map(audit_record::ActionPattern::as_str) {
                match pattern.strip_suffix('*') {
                    Some("") => audience.all.push(index),
                    Some(prefix) => audience.prefix.entry(prefix.to_owned()).or_default().push(index),
                    None => audience.exact.entry(pattern.to_owned()).or_default().push(index),
                }
            }
        }
        audience
    }

    /// Who wants what stands in `entry`.
    pub(crate) fn of(&self, entry: &Entry) -> Vec<EndpointId> {
        let action = entry.action();
        let mut found = self.all.clone();
        let mut look = |hooks: &Hooks, value: &str| found.extend(hooks.get(value).into_iter().flatten());
        look(&self.exact, action);
        for (dot, _) in action.match_indices('.') {
            look(&self.prefix, &action[..=dot]);
        }
        if self.faceted.iter().any(|hooks| !hooks.is_empty())
            && let Some(record) = entry.record()
        {
            for (facet, hooks) in FACETS.iter().zip(&self.faceted) {
                if !hooks.is_empty() {
                    (facet.values)(record, &mut |value| look(hooks, value));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        let wants = found.into_iter().map(|index| &self.endpoints[index]).filter(|live| live.wants(entry));
        wants.map(|live| live.endpoint.id.clone()).collect()
    }
}
