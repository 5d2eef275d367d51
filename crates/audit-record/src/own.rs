//! Records of our own: what Flagtrail tells of itself, on the same log as everything else.
//!
//! All of them are of one organisation and one source, [`OWN`], and have one routing key, [`RoutingKey::own`]. Of what comes in
//! over HTTP nothing has them: organisations and sources are those that were set up, and whoever sets them up is refused names
//! that begin with `~`.
//!
//! [`RoutingKey::own`]: crate::RoutingKey::own

use crate::Map;
use crate::action::Action;
use crate::parts::{Authenticated, Author, AuthorKind, ObjectRef, Ref, Source};
use crate::record::Draft;
use crate::timestamp::Timestamp;

/// The key of the organisation, and the name of the source, of Flagtrail's own records.
pub const OWN: &str = "~flagtrail";

/// What records of exports, endpoints and deliveries named their source before they named [`OWN`]. They stand on logs that
/// way, so whoever looks for our own records by source looks for both; but a source of somebody's may have this name, which
/// makes a record our own no more than any other name: its organisation does.
pub const OWN_SOURCE_FORMER: &str = "flagtrail";

/// What stands for Flagtrail among the platforms, and the name of the author where nobody asked for what it tells of.
const SYSTEM: &str = "flagtrail";

impl Author {
    /// Flagtrail itself: the author of what nobody asked for.
    pub fn own() -> Self {
        Self { name: Some(SYSTEM.to_owned()), ..Self::new(AuthorKind::System) }
    }
}

/// What Flagtrail tells of itself: all that differs between such records. What few of them have is put into the draft that
/// this becomes.
#[derive(Clone, Debug)]
pub struct OwnRecord<'a> {
    /// The idempotency key.
    pub id: String,
    /// The action, which is the event of the source, too; such as `flagtrail.key.created`.
    pub action: &'a str,
    /// The human sentence.
    pub log: String,
    /// When it happened: in the same moment it is received and recorded.
    pub at: Timestamp,
    /// Who asked for it; [`Author::own`] where nobody did.
    pub author: Author,
    /// By what the author was known to be who it is.
    pub authenticated: Authenticated,
    /// What kind of thing it is about, such as `FLAGTRAIL_KEY`.
    pub object_type: &'a str,
    /// That thing.
    pub object: Ref,
    /// What has no field of its own.
    pub attributes: Map,
}

impl OwnRecord<'_> {
    /// The record in the making: of our own organisation and source, above all projects.
    pub fn into_draft(self) -> Draft {
        let Self { id, action, log, at, author, authenticated, object_type, object, attributes } = self;
        Draft {
            id: Some(id),
            action: Action::try_new(action).ok(),
            log: Some(log),
            occurred_at: Some(at),
            recorded_at: Some(at),
            author: Some(author),
            organisation: Some(Ref::by_key(OWN)),
            related_object_type: Some(object_type.to_owned()),
            related_object: ObjectRef { uuid: None, what: object },
            source: Some(Source {
                name: OWN.to_owned(),
                system: SYSTEM.to_owned(),
                event: action.to_owned(),
                delivery_id: None,
                received_at: at,
                authenticated,
                extra: Map::new(),
            }),
            attributes,
            ..Draft::default()
        }
    }
}
