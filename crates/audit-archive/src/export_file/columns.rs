//! The columns: names and order are those of the view `audit_log` in `schema.sql`, and a test holds them together.

/// A column of the table.
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Its type, as STRICT tables have it.
    pub(super) kind: &'static str,
    /// What is put in, of ?1 the record's JSON, ?2 partition, ?3 number, ?4 offset, ?5 when it was appended, ?6 when it
    /// happened, ?7 when it was recorded.
    pub(super) value: &'static str,
    pub(super) meaning: &'static str,
}

const fn column(
    name: &'static str,
    kind: &'static str,
    value: &'static str,
    meaning: &'static str,
) -> Column {
    Column { name, kind, value, meaning }
}

/// What people look for by its exact value.
pub(super) const INDEXED: &[&str] = &[
    "id",
    "action",
    "author_email",
    "project_id",
    "project_key",
    "project_name",
    "flag_id",
    "flag_key",
    "flag_name",
    "access_subject_email",
];

/// All of them.
#[rustfmt::skip]
pub(super) const COLUMNS: &[Column] = &[
    column("id", "TEXT NOT NULL", "?1 ->> '$.id'", "the record's id"),
    column("occurred_at", "TEXT NOT NULL", "?1 ->> '$.occurred_at'", "when it happened, RFC 3339 in UTC"),
    column("recorded_at", "TEXT NOT NULL", "?1 ->> '$.recorded_at'", "when it was taken in"),
    column("action", "TEXT NOT NULL", "?1 ->> '$.action'", "what was done, a word of the catalogue of actions or a new one"),
    column("log", "TEXT NOT NULL", "?1 ->> '$.log'", "the same as a sentence"),
    column("author_type", "TEXT", "?1 ->> '$.author.type'", "user, api_key, service, system or unknown"),
    column("author_id", "TEXT", "?1 ->> '$.author.id'", "who did it: the platform's id"),
    column("author_email", "TEXT", "?1 ->> '$.author.email'", "who did it: e-mail address"),
    column("author_name", "TEXT", "?1 ->> '$.author.name'", "who did it: name at that time"),
    column("organisation_id", "TEXT", "?1 ->> '$.organisation.id'", "the organisation: id"),
    column("organisation_key", "TEXT", "?1 ->> '$.organisation.key'", "the organisation: key"),
    column("organisation_name", "TEXT", "?1 ->> '$.organisation.name'", "the organisation: name"),
    column("project_id", "TEXT", "?1 ->> '$.project.id'", "the platform's project: id"),
    column("project_key", "TEXT", "?1 ->> '$.project.key'", "the platform's project: key"),
    column("project_name", "TEXT", "?1 ->> '$.project.name'", "the platform's project: name"),
    column("environment_id", "TEXT", "?1 ->> '$.environment.id'", "the environment: id"),
    column("environment_key", "TEXT", "?1 ->> '$.environment.key'", "the environment: key"),
    column("environment_name", "TEXT", "?1 ->> '$.environment.name'", "the environment: name"),
    column("flag_id", "TEXT", "?1 ->> '$.flag.id'", "the flag concerned: id"),
    column("flag_key", "TEXT", "?1 ->> '$.flag.key'", "the flag concerned: key"),
    column("flag_name", "TEXT", "?1 ->> '$.flag.name'", "the flag concerned: name"),
    column("target_type", "TEXT", "?1 ->> '$.target.type'", "the override, rule or segment concerned: type"),
    column("target_id", "TEXT", "?1 ->> '$.target.id'", "the override, rule or segment concerned: id"),
    column("target_key", "TEXT", "?1 ->> '$.target.key'", "the override, rule or segment concerned: key"),
    column("target_name", "TEXT", "?1 ->> '$.target.name'", "the override, rule or segment concerned: name"),
    column("related_object_type", "TEXT NOT NULL", "?1 ->> '$.related_object_type'", "the type of what was changed"),
    column("related_object_uuid", "TEXT", "?1 ->> '$.related_object.uuid'", "what was changed: UUID"),
    column("related_object_id", "TEXT", "?1 ->> '$.related_object.id'", "what was changed: id"),
    column("related_object_key", "TEXT", "?1 ->> '$.related_object.key'", "what was changed: key"),
    column("related_object_name", "TEXT", "?1 ->> '$.related_object.name'", "what was changed: name"),
    column("change", "TEXT", "?1 -> '$.change'", "JSON: before, after and the fields that differ"),
    column("access_effect", "TEXT", "?1 ->> '$.access.effect'", "granted, removed or snapshot"),
    column("access_role", "TEXT", "?1 ->> '$.access.role'", "the role that was granted or removed"),
    column("access_subject_type", "TEXT", "?1 ->> '$.access.subject.type'", "whose access it is about: type"),
    column("access_subject_id", "TEXT", "?1 ->> '$.access.subject.id'", "whose access it is about: id"),
    column("access_subject_email", "TEXT", "?1 ->> '$.access.subject.email'", "whose access it is about: e-mail address"),
    column("access_subject_name", "TEXT", "?1 ->> '$.access.subject.name'", "whose access it is about: name"),
    column("access_scope_type", "TEXT", "?1 ->> '$.access.scope.type'", "access to what: account, project or environment"),
    column("access_scope_id", "TEXT", "?1 ->> '$.access.scope.id'", "access to what: id"),
    column("access_scope_key", "TEXT", "?1 ->> '$.access.scope.key'", "access to what: key"),
    column("approval", "TEXT", "?1 -> '$.approval'", "JSON: who approved it, whether that was required or bypassed"),
    column("reason", "TEXT", "?1 ->> '$.reason'", "the reason given"),
    column("ticket", "TEXT", "?1 ->> '$.ticket'", "the ticket named"),
    column("request_ip", "TEXT", "?1 ->> '$.request.ip'", "the address that the platform saw"),
    column("request_user_agent", "TEXT", "?1 ->> '$.request.user_agent'", "the program that the platform saw"),
    column("request_id", "TEXT", "?1 ->> '$.request.request_id'", "the platform's id of the request"),
    column("source", "TEXT", "?1 ->> '$.source.name'", "the source that it came from"),
    column("source_system", "TEXT", "?1 ->> '$.source.system'", "the platform"),
    column("source_event", "TEXT", "?1 ->> '$.source.event'", "the platform's word for the event"),
    column("source_delivery_id", "TEXT", "?1 ->> '$.source.delivery_id'", "the platform's id of the delivery"),
    column("source_received_at", "TEXT", "?1 ->> '$.source.received_at'", "when it was received"),
    column("source_authenticated", "TEXT", "?1 ->> '$.source.authenticated'", "signature, token or none"),
    column("attributes", "TEXT", "?1 -> '$.attributes'", "JSON: what the platform said that has no column"),
    column("json", "TEXT NOT NULL", "?1", "the record, byte for byte as on the log"),
    column("partition", "INTEGER NOT NULL", "?2", "its partition of the log"),
    column("seq", "INTEGER NOT NULL", "?3", "its number in the partition, which is its leaf in the tree"),
    column("log_offset", "INTEGER NOT NULL", "?4", "its offset in the partition"),
    column("appended_at", "TEXT NOT NULL", "strftime('%Y-%m-%dT%H:%M:%fZ', ?5 / 1000.0, 'unixepoch')", "when the log took it"),
    column("occurred_at_us", "INTEGER NOT NULL", "?6", "occurred_at in microseconds since 1970"),
    column("recorded_at_us", "INTEGER NOT NULL", "?7", "recorded_at in microseconds since 1970"),
    column("appended_at_ms", "INTEGER NOT NULL", "?5", "appended_at in milliseconds since 1970"),
];
