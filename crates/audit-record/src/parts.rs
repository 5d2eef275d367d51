//! The objects inside a record. Each keeps the fields it does not know in `extra`.

use serde_json::Value;

use crate::Map;
use crate::reader::Reader;
use crate::timestamp::Timestamp;

/// Declares an enum of wire words with `as_str` and `parse`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
        impl $name {
            /// The accepted words, for messages.
            pub(crate) const WORDS: &'static str = words!(@list $($word),+);
            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            /// Reads a word of the wire.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
    (@list $first:literal $(, $rest:literal)*) => { concat!($first $(, ", ", $rest)*) };
}

words! {
    /// What kind of actor made a change.
    AuthorKind {
        /// A person.
        User = "user",
        /// An API key of the platform.
        ApiKey = "api_key",
        /// A service account.
        Service = "service",
        /// The platform itself.
        System = "system",
        /// The platform did not say, or said something known to be wrong.
        Unknown = "unknown",
    }
}
words! {
    /// What an access-control change did.
    Effect {
        /// Access was given.
        Granted = "granted",
        /// Access was taken away.
        Removed = "removed",
        /// The state at a moment, imported as a baseline.
        Snapshot = "snapshot",
    }
}
words! {
    /// How the request that told of the change was authenticated.
    Authenticated {
        /// By a signature over the body.
        Signature = "signature",
        /// By a secret token in the URL or a header.
        Token = "token",
        /// Not at all.
        None = "none",
    }
}

fn put(map: &mut Map, field: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(field.to_owned(), value.into());
    }
}

/// A thing by stable id, key and name, as they were at the time: names are kept because platforms
/// blank them later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ref {
    /// The platform's stable id; a number is kept as its digits.
    pub id: Option<String>,
    /// The key that code uses.
    pub key: Option<String>,
    /// The name that people read.
    pub name: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

impl Ref {
    /// A reference by id.
    pub fn by_id(id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::default() }
    }
    /// A reference by key.
    pub fn by_key(key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }
    /// A reference by name.
    pub fn by_name(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }
    /// Adds a name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
    /// What routing goes by: id before key before name.
    pub fn stable(&self) -> Option<&str> {
        self.id.as_deref().or(self.key.as_deref()).or(self.name.as_deref())
    }
    /// What people say: key before name before id.
    pub fn handle(&self) -> Option<&str> {
        self.key.as_deref().or(self.name.as_deref()).or(self.id.as_deref())
    }
    /// Whether nothing identifies the thing.
    pub fn is_empty(&self) -> bool {
        self.stable().is_none()
    }
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self {
            id: reader.take_string("id"),
            key: reader.take_string("key"),
            name: reader.take_string("name"),
            extra: reader.rest(),
        }
    }
    pub(crate) fn into_value(self) -> Value {
        let mut map = self.extra;
        put(&mut map, "id", self.id);
        put(&mut map, "key", self.key);
        put(&mut map, "name", self.name);
        Value::Object(map)
    }
}

/// Who made a change. Never absent: an author nobody named is [`AuthorKind::Unknown`].
#[derive(Clone, Debug, PartialEq)]
pub struct Author {
    /// What kind of actor.
    pub kind: AuthorKind,
    /// The platform's id of the actor.
    pub id: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

impl Author {
    /// An author of `kind` of whom nothing else is known.
    pub fn new(kind: AuthorKind) -> Self {
        Self { kind, id: None, email: None, name: None, extra: Map::new() }
    }
    /// A person by e-mail.
    pub fn user(email: impl Into<String>) -> Self {
        Self { email: Some(email.into()), ..Self::new(AuthorKind::User) }
    }
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        if !reader.has("type") {
            reader.problem("type", format!("is missing: one of {}", AuthorKind::WORDS));
        }
        Self {
            kind: reader
                .take_word("type", AuthorKind::WORDS, AuthorKind::parse)
                .unwrap_or(AuthorKind::Unknown),
            id: reader.take_string("id"),
            email: reader.take_string("email"),
            name: reader.take_string("name"),
            extra: reader.rest(),
        }
    }
    pub(crate) fn into_value(self) -> Value {
        let mut map = self.extra;
        put(&mut map, "type", Some(self.kind.as_str()));
        put(&mut map, "id", self.id);
        put(&mut map, "email", self.email);
        put(&mut map, "name", self.name);
        Value::Object(map)
    }
}

/// The override, rule, segment or environment that a change aims at.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// `environment`, `segment`, `identity`, `rule`, or another lower-case word.
    pub kind: String,
    /// Which one.
    pub what: Ref,
}

impl Target {
    /// A target of `kind`.
    pub fn new(kind: impl Into<String>, what: Ref) -> Self {
        Self { kind: kind.into(), what }
    }
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        let kind = reader.take_string("type");
        if kind.is_none() {
            reader.problem("type", "is missing: environment, segment, identity, rule or another word");
        }
        Self { kind: kind.unwrap_or_default(), what: Ref::read(reader) }
    }
    pub(crate) fn into_value(self) -> Value {
        let mut value = self.what.into_value();
        value["type"] = self.kind.into();
        value
    }
}

/// The object that the platform's own record points at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectRef {
    /// The platform's uuid of the object.
    pub uuid: Option<String>,
    /// Id, key and name.
    pub what: Ref,
}

impl ObjectRef {
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self { uuid: reader.take_string("uuid"), what: Ref::read(reader) }
    }
    pub(crate) fn into_value(self) -> Value {
        let mut value = self.what.into_value();
        if let Some(uuid) = self.uuid {
            value["uuid"] = uuid.into();
        }
        value
    }
}

/// One field that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// Its dotted path.
    pub field: String,
    /// The value before; `null` where there was none.
    pub before: Value,
    /// The value after; `null` where there is none.
    pub after: Value,
}

/// Before and after, and what differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// The state before, as the platform gave it.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
    /// What differs.
    pub fields: Vec<FieldChange>,
    /// Unknown fields.
    pub extra: Map,
}

impl Change {
    /// Keeps both sides and computes the difference when both are given.
    pub fn between(before: Option<Value>, after: Option<Value>) -> Self {
        let fields = match (&before, &after) {
            (Some(before), Some(after)) => crate::field_diff(before, after),
            _ => Vec::new(),
        };
        Self { before, after, fields, extra: Map::new() }
    }
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        // `null` is a value here: a flag's value may have been null before.
        let before = reader.take_any("before");
        let after = reader.take_any("after");
        let fields = reader.take_list("fields", |mut item| {
            let field = item.take_string("field");
            if field.is_none() {
                item.problem("field", "is missing: the dotted path of what changed");
            }
            FieldChange {
                field: field.unwrap_or_default(),
                before: item.take_any("before").unwrap_or_default(),
                after: item.take_any("after").unwrap_or_default(),
            }
        });
        Self { before, after, fields, extra: reader.rest() }
    }
    pub(crate) fn into_value(self) -> Value {
        let mut map = self.extra;
        put(&mut map, "before", self.before);
        put(&mut map, "after", self.after);
        let fields = self.fields.into_iter().map(|f| {
            let mut field = Map::new();
            field.insert("field".into(), f.field.into());
            field.insert("before".into(), f.before);
            field.insert("after".into(), f.after);
            Value::Object(field)
        });
        map.insert("fields".to_owned(), fields.collect());
        Value::Object(map)
    }
}

/// Who an access-control change is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// `user`, `group`, `api_key`, or another lower-case word.
    pub kind: String,
    /// The platform's id.
    pub id: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

/// What an access-control change covers.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessScope {
    /// `account`, `project` or `environment`.
    pub kind: String,
    /// The platform's id.
    pub id: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

/// An access-control change: whose access to what became what.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Whose access.
    pub subject: Subject,
    /// To what.
    pub scope: AccessScope,
    /// In which role; a removal may name none.
    pub role: Option<String>,
    /// Granted, removed, or a snapshot.
    pub effect: Effect,
    /// Unknown fields.
    pub extra: Map,
}

impl Access {
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        let subject = reader.take_object("subject", |mut r| Subject {
            kind: required(&mut r, "type", "user, group, api_key or another word"),
            id: r.take_string("id"),
            email: r.take_string("email"),
            name: r.take_string("name"),
            extra: r.rest(),
        });
        let scope = reader.take_object("scope", |mut r| AccessScope {
            kind: required(&mut r, "type", "account, project or environment"),
            id: r.take_string("id"),
            key: r.take_string("key"),
            extra: r.rest(),
        });
        if subject.is_none() {
            reader.problem("subject", "is missing: whose access changed");
        }
        if scope.is_none() {
            reader.problem("scope", "is missing: what the access is to");
        }
        if !reader.has("effect") {
            reader.problem("effect", format!("is missing: one of {}", Effect::WORDS));
        }
        Self {
            subject: subject.unwrap_or_else(|| Subject {
                kind: String::new(),
                id: None,
                email: None,
                name: None,
                extra: Map::new(),
            }),
            scope: scope.unwrap_or_else(|| AccessScope {
                kind: String::new(),
                id: None,
                key: None,
                extra: Map::new(),
            }),
            role: reader.take_string("role"),
            effect: reader.take_word("effect", Effect::WORDS, Effect::parse).unwrap_or(Effect::Granted),
            extra: reader.rest(),
        }
    }
    pub(crate) fn into_value(self) -> Value {
        let mut subject = self.subject.extra;
        put(&mut subject, "type", Some(self.subject.kind));
        put(&mut subject, "id", self.subject.id);
        put(&mut subject, "email", self.subject.email);
        put(&mut subject, "name", self.subject.name);
        let mut scope = self.scope.extra;
        put(&mut scope, "type", Some(self.scope.kind));
        put(&mut scope, "id", self.scope.id);
        put(&mut scope, "key", self.scope.key);
        let mut map = self.extra;
        put(&mut map, "subject", Some(subject));
        put(&mut map, "scope", Some(scope));
        put(&mut map, "role", self.role);
        put(&mut map, "effect", Some(self.effect.as_str()));
        Value::Object(map)
    }
}

fn required(reader: &mut Reader<'_>, field: &str, words: &str) -> String {
    let text = reader.take_string(field);
    if text.is_none() {
        reader.problem(field, format!("is missing: {words}"));
    }
    text.unwrap_or_default()
}

/// How a change was approved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Approval {
    /// The platform's change request.
    pub change_request_id: Option<String>,
    /// Whether approval was required.
    pub required: Option<bool>,
    /// Who approved.
    pub approvers: Vec<Author>,
    /// When.
    pub approved_at: Option<Timestamp>,
    /// Whether approval was bypassed.
    pub bypassed: Option<bool>,
    /// Unknown fields.
    pub extra: Map,
}

impl Approval {
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self {
            change_request_id: reader.take_string("change_request_id"),
            required: reader.take_bool("required"),
            approvers: reader.take_list("approvers", Author::read),
            approved_at: reader.take_time("approved_at"),
            bypassed: reader.take_bool("bypassed"),
            extra: reader.rest(),
        }
    }
    pub(crate) fn into_value(self) -> Value {
        let mut map = self.extra;
        put(&mut map, "change_request_id", self.change_request_id);
        put(&mut map, "required", self.required);
        if !self.approvers.is_empty() {
            map.insert("approvers".into(), self.approvers.into_iter().map(Author::into_value).collect());
        }
        put(&mut map, "approved_at", self.approved_at.map(|at| at.to_string()));
        put(&mut map, "bypassed", self.bypassed);
        Value::Object(map)
    }
}

/// The request behind a change, where the platform tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestInfo {
    /// The address it came from.
    pub ip: Option<String>,
    /// The client.
    pub user_agent: Option<String>,
    /// The platform's id of it.
    pub request_id: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

impl RequestInfo {
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self {
            ip: reader.take_string("ip"),
            user_agent: reader.take_string("user_agent"),
            request_id: reader.take_string("request_id"),
            extra: reader.rest(),
        }
    }
    pub(crate) fn into_value(self) -> Value {
        let mut map = self.extra;
        put(&mut map, "ip", self.ip);
        put(&mut map, "user_agent", self.user_agent);
        put(&mut map, "request_id", self.request_id);
        Value::Object(map)
    }
}

/// Where a record came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The name of the source: one installation of a platform. It is part of the routing key.
    pub name: String,
    /// The platform: `flagsmith`, `zenmanage`, `abtasty`, `mozhno`, `unleash`, `native`, …
    pub system: String,
    /// What the platform calls the event.
    pub event: String,
    /// The platform's id of the delivery.
    pub delivery_id: Option<String>,
    /// When the request came in.
    pub received_at: Timestamp,
    /// How it was authenticated.
    pub authenticated: Authenticated,
    /// Unknown fields.
    pub extra: Map,
}

impl Source {
    /// A source is made by whoever took the request in; a native record may bring `event` and
    /// `delivery_id`, the rest is filled by [`crate::Draft`]'s holder.
    pub(crate) fn read(mut reader: Reader<'_>) -> Option<Self> {
        let name = required(&mut reader, "name", "the name of the source");
        let system = required(&mut reader, "system", "the platform");
        let event = required(&mut reader, "event", "what the platform calls the event");
        let delivery_id = reader.take_string("delivery_id");
        if !reader.has("received_at") {
            reader.problem("received_at", "is missing: when the request came in");
        }
        let received_at = reader.take_time("received_at");
        let authenticated = reader.take_word("authenticated", Authenticated::WORDS, Authenticated::parse);
        Some(Self {
            name,
            system,
            event,
            delivery_id,
            received_at: received_at?,
            authenticated: authenticated.unwrap_or(Authenticated::None),
            extra: reader.rest(),
        })
    }
    pub(crate) fn into_value(self) -> Value {
        let mut map = self.extra;
        put(&mut map, "name", Some(self.name));
        put(&mut map, "system", Some(self.system));
        put(&mut map, "event", Some(self.event));
        put(&mut map, "delivery_id", self.delivery_id);
        put(&mut map, "received_at", Some(self.received_at.to_string()));
        put(&mut map, "authenticated", Some(self.authenticated.as_str()));
        Value::Object(map)
    }
}
