//! The routing key: what decides a record's partition, and with it its order.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::parts::Ref;

/// Everything outside `[A-Za-z0-9._-]` is percent-encoded, `~` included, so that a value that begins
/// with `~` is always one of ours.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// Stands for the project of a change above projects.
const ABOVE_PROJECTS: &str = "~organisation";

/// Stands for the organisation of Flagtrail's own records (see [`RoutingKey::own`]).
const OWN: &str = "~flagtrail";

/// `pct(organisation)/pct(source)/pct(project)`: the key of the message on the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoutingKey(String);

impl RoutingKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of Flagtrail's own records: changes of its settings and its operational events.
    pub fn own() -> Self {
        Self(format!("{OWN}/{OWN}/{ABOVE_PROJECTS}"))
    }
}

impl fmt::Display for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes the one key. Organisation and project count by stable id before key before name; a project
/// of `None` is a change above projects. An organisation named `~flagtrail` is our own.
pub fn routing_key(organisation: &Ref, source: &str, project: Option<&Ref>) -> RoutingKey {
    if organisation.key.as_deref() == Some(OWN) {
        return RoutingKey::own();
    }
    let pct = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let project = project.and_then(Ref::stable).map_or_else(|| ABOVE_PROJECTS.to_owned(), pct);
    RoutingKey(format!("{}/{}/{project}", pct(organisation.stable().unwrap_or_default()), pct(source)))
}
