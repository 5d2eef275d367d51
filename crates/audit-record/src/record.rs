//! The record itself, and the draft it is made from.

use serde_json::Value;

use crate::Map;
use crate::action::Action;
use crate::canonical::Canonical;
use crate::fields::{Field, Fields};
use crate::json::{DEPTH_MAX, JsonError, parse_strict};
use crate::parts::{
    Access, Approval, Author, Change, ObjectRef, Ref, RequestInfo, Source, Target, drop_blank,
};
use crate::reader::Reader;
use crate::routing::{RoutingKey, routing_key};
use crate::timestamp::Timestamp;
use crate::violation::{Violation, violations};

/// The version of the record that this crate writes. Higher ones are read, and what is unknown is kept.
pub const SCHEMA_VERSION: u64 = 1;

/// Largest canonical record, in bytes.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;

/// What a record usually takes: where its buffer starts.
const RECORD_BYTES_USUAL: usize = 1024;

/// Why something is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The bytes are not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Every field that is wrong, by name.
    #[error("not a valid audit record: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// Something in it is nested so deep that it could not be read back.
    #[error("the record is nested deeper than {DEPTH_MAX} levels: flatten change or attributes")]
    TooDeep,
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
        let draft = Self::read(Reader::new(String::new(), value, &mut problems));
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
    pub fn to_value(&self) -> Value {
        self.fields().to_value()
    }

    fn fields(&self) -> Fields<'_> {
        let open = |map| if Map::is_empty(map) { Field::Absent } else { Field::Open(map) };
        Fields::new(
            &self.extra,
            [
                ("id", Field::maybe(self.id.as_ref())),
                ("schema_version", Field::Number(self.schema_version.unwrap_or(SCHEMA_VERSION))),
                ("action", Field::given(self.action.as_ref(), |action| Field::Text(action.as_str()))),
                ("log", Field::maybe(self.log.as_ref())),
                ("occurred_at", Field::given(self.occurred_at, Field::Time)),
                ("recorded_at", Field::given(self.recorded_at, Field::Time)),
                ("author", Field::given(self.author.as_ref(), |author| Field::Part(author.fields()))),
                ("organisation", Field::given(self.organisation.as_ref(), |what| Field::Part(what.fields()))),
                ("project", Field::given(self.project.as_ref(), |what| Field::Part(what.fields()))),
                ("environment", Field::given(self.environment.as_ref(), |what| Field::Part(what.fields()))),
                ("flag", Field::given(self.flag.as_ref(), |what| Field::Part(what.fields()))),
                ("target", Field::given(self.target.as_ref(), |target| Field::Part(target.fields()))),
                ("related_object_type", Field::maybe(self.related_object_type.as_ref())),
                ("related_object", Field::Part(self.related_object.fields())),
                ("change", Field::given(self.change.as_ref(), |change| Field::Part(change.fields()))),
                ("access", Field::given(self.access.as_ref(), |access| Field::Part(access.fields()))),
                ("approval", Field::given(self.approval.as_ref(), |approval| Field::Part(approval.fields()))),
                ("reason", Field::maybe(self.reason.as_ref())),
                ("ticket", Field::maybe(self.ticket.as_ref())),
                ("request", Field::given(self.request.as_ref(), |request| Field::Part(request.fields()))),
                ("source", Field::given(self.source.as_ref(), |source| Field::Part(source.fields()))),
                ("attributes", open(&self.attributes)),
            ],
        )
    }

    /// Empty optional text becomes absent, as it does for the reader.
    fn tidy(&mut self) {
        drop_blank([&mut self.id, &mut self.log, &mut self.related_object_type]);
        drop_blank([&mut self.reason, &mut self.ticket]);
        let references = [&mut self.organisation, &mut self.project, &mut self.environment, &mut self.flag];
        references.into_iter().flatten().for_each(Ref::tidy);
        if let Some(target) = &mut self.target {
            target.what.tidy();
        }
        self.author.iter_mut().for_each(Author::tidy);
        self.related_object.tidy();
        self.access.iter_mut().for_each(Access::tidy);
        self.approval.iter_mut().for_each(Approval::tidy);
        self.request.iter_mut().for_each(RequestInfo::tidy);
        self.source.iter_mut().for_each(Source::tidy);
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
        draft.tidy();
        draft.schema_version.get_or_insert(SCHEMA_VERSION);
        let problems = violations(&draft);
        if !problems.is_empty() {
            return Err(RecordError::Invalid(problems));
        }
        let mut writer = Canonical::with_capacity(RECORD_BYTES_USUAL);
        draft.fields().write(&mut writer);
        if writer.deepest() > DEPTH_MAX {
            return Err(RecordError::TooDeep);
        }
        let canonical = writer.into_bytes();
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
