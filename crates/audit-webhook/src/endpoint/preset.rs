//! Presets: choices that belong together, under a name.

use serde::{Deserialize, Serialize};

use super::{Collapse, CollapseBy, Format, Span};

/// What an endpoint is for. A preset fills in what was not chosen; what was chosen stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Refreshes a cache of flags: `flag.*` only, each project in order, bursts collapsed (but in a platform's
    /// format, which may have no word for the newest record), and no retry of what is no longer news.
    Cache,
    /// Must get everything: it is never disabled by itself, however long it fails and even if it answers 410.
    Audit,
}

/// Age at which a cache no longer wants a retry: by then it has refreshed by itself.
const CACHE_MAX_AGE: Span = Span::from_secs(300);

/// How long a cache waits for the rest of a burst.
const CACHE_COLLAPSE: Collapse =
    Collapse { by: CollapseBy::FlagAndEnvironment, window: Span::from_millis(1_000) };

/// What a preset fills in.
pub(super) struct Filling {
    pub(super) events: Option<Vec<String>>,
    pub(super) ordered: Option<bool>,
    pub(super) collapse: Option<Collapse>,
    pub(super) max_age: Option<Span>,
}

impl Preset {
    /// What it fills in beside `format`.
    pub(super) fn filling(self, format: &Format) -> Filling {
        match self {
            Self::Cache => Filling {
                events: Some(vec!["flag.*".to_owned()]),
                ordered: Some(true),
                collapse: (!format.is_of_a_platform()).then_some(CACHE_COLLAPSE),
                max_age: Some(CACHE_MAX_AGE),
            },
            Self::Audit => Filling { events: None, ordered: None, collapse: None, max_age: None },
        }
    }
}
