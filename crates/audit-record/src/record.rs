//! The record itself, and the draft it is made from.

use std::fmt;

use serde_json::Value;

use crate::Map;
use crate::action::Action;
use crate::canonical::canonical_json;
use crate::json::{JsonError, parse_strict};
use crate::object_type::{is_well_formed, may_stand_above_projects};
use crate::parts::{Access, Approval, Author, Change, ObjectRef, Ref, RequestInfo, Source, Target};
use crate::reader::Reader;
use crate::routing::{RoutingKey, routing_key};
use crate::timestamp::Timestamp;

/// The version of the record that this crate writes. Higher ones are read, and what is unknown is kept.
pub const SCHEMA_VERSION: u64 = 1;

/// Largest canonical record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// Longest id, in bytes.
const ID_BYTES_MAX: usize = 256;

/// One thing wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The dotted path of the field.
    pub field: String,
    /// What is wrong and how to mend it; reads on from the field's name.
    pub problem: String,
}

impl Violation {
    /// A problem with `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

/// Why something is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes are not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Every field that is wrong, by name.
    #[error("not a valid audit record: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// The canonical form is too large.
    #[error("the record has {bytes} bytes, {RECORD_BYTES_MAX} are allowed: shorten change or attributes")]
    TooLarge {
        /// Its canonical size.
        bytes: usize,
    },
}

/// A record in the making: anything may be missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The idempotency key.
    pub id: Option<String>,
    /// The schema version it came with; [`SCHEMA_VERSION`] when absent.
    pub schema_version: Option<u64>,
    /// The dotted action.
    pub action: Option<Action>,
    /// The human sentence.
    pub log: Option<String>,
    /// Event time.
    pub occurred_at: Option<Timestamp>,
    /// Append time.
    pub recorded_at: Option<Timestamp>,
    /// Who.
    pub author: Option<Author>,
    /// The organisation configured on the source or token.
    pub organisation: Option<Ref>,
    /// The platform's project; absent for a change above projects.
    pub project: Option<Ref>,
    /// The environment.
    pub environment: Option<Ref>,
    /// The flag concerned, whatever the related object is.
    pub flag: Option<Ref>,
    /// The override, rule or segment concerned.
    pub target: Option<Target>,
    /// What kind of object the platform's record is about.
    pub related_object_type: Option<String>,
    /// That object.
    pub related_object: ObjectRef,
    /// Before and after.
    pub change: Option<Change>,
    /// For access-control changes.
    pub access: Option<Access>,
    /// How it was approved.
    pub approval: Option<Approval>,
    /// Why, in the author's words.
    pub reason: Option<String>,
    /// A ticket.
    pub ticket: Option<String>,
    /// The request behind the change.
    pub request: Option<RequestInfo>,
    /// Where the record came from.
    pub source: Option<Source>,
    /// What the source said that has no field of its own.
    pub attributes: Map,
    /// Top-level fields that this version does not know.
    pub extra: Map,
}

impl Draft {
    /// Reads the fields of a JSON object. Only what has the wrong type or form is a violation here;
    /// what is missing is found by [`AuditRecord::try_new`].
    pub fn from_value(value: Value) -> Result<Self, Vec<Violation>> {
        let mut problems = Vec::new();
        let draft = Self::read(Reader::new("", value, &mut problems));
        if problems.is_empty() { Ok(draft) } else { Err(problems) }
    }

    fn read(mut r: Reader<'_>) -> Self {
        let schema_version = r.take("schema_version").and_then(|value| {
            let version = value.as_u64().filter(|version| *version >= 1);
            if version.is_none() {
                r.problem("schema_version", "must be a whole number from 1");
            }
            version
        });
        let action = r.take_string("action").and_then(|text| {
            Action::try_new(text).map_err(|error| r.problem("action", error.to_string())).ok()
        });
        let attributes = match r.take("attributes") {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => {
                r.problem("attributes", "must be an object");
                Map::new()
            }
        };
        Self {
            id: r.take_string("id"),
            schema_version,
            action,
            log: r.take_string("log"),
            occurred_at: r.take_time("occurred_at"),
            recorded_at: r.take_time("recorded_at"),
            author: r.take_object("author", Author::read),
            organisation: r.take_object("organisation", Ref::read),
            project: r.take_object("project", Ref::read),
            environment: r.take_object("environment", Ref::read),
            flag: r.take_object("flag", Ref::read),
            target: r.take_object("target", Target::read),
            related_object_type: r.take_string("related_object_type"),
            related_object: r.take_object("related_object", ObjectRef::read).unwrap_or_default(),
            change: r.take_object("change", Change::read),
            access: r.take_object("access", Access::read),
            approval: r.take_object("approval", Approval::read),
            reason: r.take_string("reason"),
            ticket: r.take_string("ticket"),
            request: r.take_object("request", RequestInfo::read),
            source: r.take_object("source", Source::read).flatten(),
            attributes,
            extra: r.rest(),
        }
    }

    /// The JSON object, with fields that are absent left out.
    pub fn into_value(self) -> Value {
        let mut map = self.extra;
        let mut put = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(field.to_owned(), value);
            }
        };
        put("id", self.id.map(Value::from));
        put("schema_version", Some(self.schema_version.unwrap_or(SCHEMA_VERSION).into()));
        put("action", self.action.map(|action| action.as_str().into()));
        put("log", self.log.map(Value::from));
        put("occurred_at", self.occurred_at.map(|at| at.to_string().into()));
        put("recorded_at", self.recorded_at.map(|at| at.to_string().into()));
        put("author", self.author.map(Author::into_value));
        put("organisation", self.organisation.map(Ref::into_value));
        put("project", self.project.map(Ref::into_value));
        put("environment", self.environment.map(Ref::into_value));
        put("flag", self.flag.map(Ref::into_value));
        put("target", self.target.map(Target::into_value));
        put("related_object_type", self.related_object_type.map(Value::from));
        put("related_object", Some(self.related_object.into_value()));
        put("change", self.change.map(Change::into_value));
        put("access", self.access.map(Access::into_value));
        put("approval", self.approval.map(Approval::into_value));
        put("reason", self.reason.map(Value::from));
        put("ticket", self.ticket.map(Value::from));
        put("request", self.request.map(RequestInfo::into_value));
        put("source", self.source.map(Source::into_value));
        if !self.attributes.is_empty() {
            put("attributes", Some(Value::Object(self.attributes)));
        }
        Value::Object(map)
    }
}

/// A valid audit record, and its canonical bytes, which are made once.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    draft: Draft,
    canonical: Vec<u8>,
}

/// Why a field of an [`AuditRecord`] is surely there.
const VALID: &str = "checked by AuditRecord::try_new";

impl AuditRecord {
    /// Checks everything that makes a record valid and names every violation at once.
    pub fn try_new(mut draft: Draft) -> Result<Self, RecordError> {
        let problems = violations(&draft);
        if !problems.is_empty() {
            return Err(RecordError::Invalid(problems));
        }
        draft.schema_version.get_or_insert(SCHEMA_VERSION);
        let mut canonical = Vec::with_capacity(1024);
        canonical_json(&draft.clone().into_value(), &mut canonical);
        if canonical.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLarge { bytes: canonical.len() });
        }
        Ok(Self { draft, canonical })
    }

    /// Reads a whole record from JSON, as it stands on the log.
    pub fn from_json(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::try_new(Draft::from_value(parse_strict(bytes)?).map_err(RecordError::Invalid)?)
    }

    /// The canonical JSON bytes: what stands on the log.
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Every field.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Back to a draft, to be altered and checked again.
    pub fn into_draft(self) -> Draft {
        self.draft
    }

    /// The idempotency key.
    pub fn id(&self) -> &str {
        self.draft.id.as_deref().expect(VALID)
    }

    /// The action.
    pub fn action(&self) -> &Action {
        self.draft.action.as_ref().expect(VALID)
    }

    /// The human sentence.
    pub fn log(&self) -> &str {
        self.draft.log.as_deref().expect(VALID)
    }

    /// Event time.
    pub fn occurred_at(&self) -> Timestamp {
        self.draft.occurred_at.expect(VALID)
    }

    /// Append time.
    pub fn recorded_at(&self) -> Timestamp {
        self.draft.recorded_at.expect(VALID)
    }

    /// Who.
    pub fn author(&self) -> &Author {
        self.draft.author.as_ref().expect(VALID)
    }

    /// The organisation.
    pub fn organisation(&self) -> &Ref {
        self.draft.organisation.as_ref().expect(VALID)
    }

    /// What kind of object.
    pub fn related_object_type(&self) -> &str {
        self.draft.related_object_type.as_deref().expect(VALID)
    }

    /// Where it came from.
    pub fn source(&self) -> &Source {
        self.draft.source.as_ref().expect(VALID)
    }

    /// The key of its message on the log.
    pub fn routing_key(&self) -> RoutingKey {
        routing_key(self.organisation(), &self.source().name, self.draft.project.as_ref())
    }
}

fn violations(draft: &Draft) -> Vec<Violation> {
    let mut problems = Vec::new();
    let mut require = |present: bool, field: &str, mend: &str| {
        if !present {
            problems.push(Violation::new(field, format!("is missing: {mend}")));
        }
    };
    require(draft.id.is_some(), "id", "a string unique to the record");
    require(draft.action.is_some(), "action", "a dotted word such as flag.state.changed");
    require(draft.log.is_some(), "log", "a sentence that says what happened");
    require(draft.occurred_at.is_some(), "occurred_at", "when it happened, RFC 3339");
    require(draft.recorded_at.is_some(), "recorded_at", "when it was appended, RFC 3339");
    require(draft.author.is_some(), "author", "who did it; {\"type\":\"unknown\"} where nobody knows");
    require(
        draft.organisation.as_ref().is_some_and(|o| !o.is_empty()),
        "organisation",
        "an object with id, key or name",
    );
    require(draft.related_object_type.is_some(), "related_object_type", "such as FEATURE");
    require(draft.source.is_some(), "source", "where the record came from");
    let kind = draft.related_object_type.as_deref().unwrap_or_default();
    let above = may_stand_above_projects(kind)
        || draft.access.as_ref().is_some_and(|access| access.scope.kind == "account");
    require(
        above || draft.project.is_some(),
        "project",
        "an object with id, key or name (for a webhook source add ?project=… to its URL)",
    );
    if draft.project.as_ref().is_some_and(Ref::is_empty) {
        problems.push(Violation::new("project", "needs an id, a key or a name"));
    }
    if !kind.is_empty() && !is_well_formed(kind) {
        problems.push(Violation::new(
            "related_object_type",
            "must be upper-case letters, digits and _, such as FEATURE_STATE",
        ));
    }
    if let Some(id) = draft.id.as_deref()
        && (id.len() > ID_BYTES_MAX || id.chars().any(char::is_control))
    {
        problems.push(Violation::new(
            "id",
            format!("must be at most {ID_BYTES_MAX} bytes without control characters"),
        ));
    }
    problems
}
