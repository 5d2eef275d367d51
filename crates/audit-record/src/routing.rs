//! The routing key: what decides a record's partition, and with it its order.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::own::OWN;
use crate::parts::Ref;

/// Everything outside `[A-Za-z0-9._-]` is percent-encoded, `~` included, so that a value that begins
/// with `~` is always one of ours.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// Stands for the project of a change above projects.
const ABOVE_PROJECTS: &str = "~organisation";

/// `pct(organisation)/pct(source)/pct(project)`: the key of the message on the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoutingKey(String);

/// The text is no routing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a routing key is <organisation>/<source>/<project>, percent-encoded")]
pub struct InvalidRoutingKey;

/// What a routing key is made of, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingParts {
    /// The organisation's stable label; `~flagtrail` for our own.
    pub organisation: String,
    /// The source's name; `~flagtrail` for our own.
    pub source: String,
    /// The project's stable label; `None` for changes above projects.
    pub project: Option<String>,
}

impl RoutingKey {
    /// Reads a key's text, which is written in one way only.
    pub fn parse(text: &str) -> Result<Self, InvalidRoutingKey> {
        let key = Self(text.to_owned());
        let part = |part: &str| {
            let decoded = percent_decode_str(part).decode_utf8().map_err(|_| InvalidRoutingKey)?;
            let is_own = matches!(part, OWN | ABOVE_PROJECTS);
            let is_canonical = is_own || utf8_percent_encode(&decoded, ENCODED).to_string() == part;
            is_canonical.then_some(()).ok_or(InvalidRoutingKey)
        };
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [organisation, source, project] => {
                [organisation, source, project].into_iter().try_for_each(part)?
            }
            _ => return Err(InvalidRoutingKey),
        }
        Ok(key)
    }

    /// What it is made of.
    pub fn parts(&self) -> RoutingParts {
        let mut parts = self.0.splitn(3, '/');
        let mut next = || parts.next().unwrap_or_default();
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let (organisation, source, project) = (next(), next(), next());
        RoutingParts {
            organisation: decoded(organisation),
            source: decoded(source),
            project: (project != ABOVE_PROJECTS).then(|| decoded(project)),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_text_and_from_no_other() {
        let (organisation, project) = (Ref::by_key("acme & co"), Ref::by_id("~42/x"));
        let key = routing_key(&organisation, "main", Some(&project));
        assert_eq!(RoutingKey::parse(key.as_str()), Ok(key.clone()));
        let parts = key.parts();
        assert_eq!((parts.organisation.as_str(), parts.source.as_str()), ("acme & co", "main"));
        assert_eq!(parts.project.as_deref(), Some("~42/x"));
        let above = routing_key(&organisation, "main", None);
        assert_eq!(RoutingKey::parse(above.as_str()).map(|key| key.parts().project), Ok(None));
        assert_eq!(RoutingKey::parse(RoutingKey::own().as_str()), Ok(RoutingKey::own()));
        for wrong in ["", "a/b", "a/b/c/d", "a b/c/d", "%61/b/c", "~other/b/c"] {
            assert_eq!(RoutingKey::parse(wrong), Err(InvalidRoutingKey), "{wrong:?}");
        }
    }
}
