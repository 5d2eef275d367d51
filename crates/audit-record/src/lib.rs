//! What an audit record is: types, action catalogue, validation, canonical bytes, routing key.
//!
//! No I/O, clock or async, and no knowledge of any other crate. The contract in words is
//! `schemas/audit-record.v1.schema.json`; this crate is the same contract in types.
//!
//! A [`Draft`] is a record in the making: every field may be missing. [`AuditRecord::try_new`] is
//! the only way to an [`AuditRecord`], so nothing downstream checks again.

mod action;
mod canonical;
mod change;
mod cloudevents;
mod fields;
mod filter;
mod json;
mod moment;
mod object_type;
mod own;
mod parts;
mod reader;
mod record;
mod routing;
mod timestamp;
mod violation;

pub use action::{Action, InvalidAction, catalogue::CATALOGUE_JSON};
pub use canonical::canonical_json;
pub use change::{FIELDS_MAX, field_diff};
pub use cloudevents::{CE_SPECVERSION, ce_headers, ce_source};
pub use filter::{ActionPattern, Filter, InvalidPattern, Period};
pub use json::{DEPTH_MAX, JsonError, parse_strict};
pub use moment::{InvalidMoment, parse_moment};
pub use object_type::{KNOWN_OBJECT_TYPES, may_stand_above_projects};
pub use own::{OWN, OWN_SOURCE_FORMER, OwnRecord};
pub use parts::{
    Access, AccessScope, Approval, Authenticated, Author, AuthorKind, Change, Effect, FieldChange, ObjectRef,
    Ref, RequestInfo, Source, Subject, Target,
};
pub use record::{AuditRecord, Draft, RECORD_BYTES_MAX, RecordError, SCHEMA_VERSION};
pub use routing::{InvalidRoutingKey, RoutingKey, RoutingParts, routing_key};
pub use timestamp::{Timestamp, TimestampError};
pub use violation::Violation;

/// An open JSON object: the fields of tomorrow's records, and what a platform said that has no field.
pub type Map = serde_json::Map<String, serde_json::Value>;
