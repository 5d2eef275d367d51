//! Collapsing: of a burst of changes to one thing, one delivery.

use serde::{Deserialize, Serialize};

use super::Span;

/// What a burst is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CollapseBy {
    /// Changes of one flag in one environment.
    #[default]
    #[serde(rename = "flag+environment")]
    FlagAndEnvironment,
}

/// One delivery a burst: records whose action begins with `flag.` and that name a flag are held back for
/// `window` from the first of them on; then the newest is sent and stands for all, in Standard Webhooks as
/// `flag.changed`. Other records are sent as they are.
///
/// Not in a platform's format: where that has no word for the newest, nothing would be sent of the whole burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collapse {
    /// What a burst is of.
    #[serde(default)]
    pub by: CollapseBy,
    /// How long it lasts, from its first record on.
    pub window: Span,
}

impl Collapse {
    /// Shortest and longest window.
    pub(crate) const WINDOW_MIN: Span = Span::from_millis(10);
    pub(crate) const WINDOW_MAX: Span = Span::from_secs(60);
}
