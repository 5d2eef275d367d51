//! The columns of a record in a table, for Parquet: named as those of the archive's view `audit_log`, so that a query
//! written for one reads the other.

use super::record::{LogMessage, Messages};
use super::view::{RecordView, Text, ThingView};

/// The version of this set of columns. A column that is added does not change it; one that is taken away, renamed or
/// given another meaning does.
pub(crate) const COLUMNS_VERSION: u32 = 1;

/// A row in the making: a message, and the record in it if it is one.
pub(crate) struct Row<'a> {
    pub(crate) message: &'a LogMessage<'a>,
    pub(crate) json: Option<&'a str>,
    pub(crate) record: Option<RecordView<'a>>,
}

/// What stands in a column.
pub(crate) enum Content {
    /// Text.
    Text(for<'r> fn(&'r Row<'_>) -> Option<&'r str>),
    /// Text that is JSON.
    Json(for<'r> fn(&'r Row<'_>) -> Option<&'r str>),
    /// Bytes that need not be text.
    Bytes(for<'r> fn(&'r Row<'_>) -> Option<&'r [u8]>),
    /// A moment, in microseconds since 1970, UTC.
    Moment(fn(&Row<'_>) -> Option<i64>),
    /// A number.
    Number(fn(&Row<'_>) -> Option<i64>),
}

/// When a column has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// In every row.
    Always,
    /// In every row that is a record.
    EveryRecord,
    /// Where the record says so.
    Sometimes,
}

/// How a column is written so that it is found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// By its statistics.
    Plain,
    /// By exact values, of which a row group has many and most don't have the one asked for: a bloom filter.
    Exact,
    /// Not at all: shown, never searched by a reader of the file. Without statistics.
    Shown,
}

/// A column.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) content: Content,
    pub(crate) presence: Presence,
    pub(crate) search: Search,
}

impl Column {
    const fn new(name: &'static str, meaning: &'static str, content: Content) -> Self {
        Self { name, meaning, content, presence: Presence::Sometimes, search: Search::Plain }
    }

    const fn always(self) -> Self {
        Self { presence: Presence::Always, ..self }
    }

    const fn every_record(self) -> Self {
        Self { presence: Presence::EveryRecord, ..self }
    }

    const fn exact(self) -> Self {
        Self { search: Search::Exact, ..self }
    }

    const fn shown(self) -> Self {
        Self { search: Search::Shown, ..self }
    }
}

const fn text(
    name: &'static str,
    meaning: &'static str,
    cell: for<'r> fn(&'r Row<'_>) -> Option<&'r str>,
) -> Column {
    Column::new(name, meaning, Content::Text(cell))
}

const fn json(
    name: &'static str,
    meaning: &'static str,
    cell: for<'r> fn(&'r Row<'_>) -> Option<&'r str>,
) -> Column {
    Column::new(name, meaning, Content::Json(cell)).shown()
}

const fn moment(name: &'static str, meaning: &'static str, cell: fn(&Row<'_>) -> Option<i64>) -> Column {
    Column::new(name, meaning, Content::Moment(cell))
}

const fn number(name: &'static str, meaning: &'static str, cell: fn(&Row<'_>) -> Option<i64>) -> Column {
    Column::new(name, meaning, Content::Number(cell))
}

/// A record's own columns, then where it stands on the log.
pub(crate) static RECORD_COLUMNS: &[Column] = &[
    text("id", "the record's id", |row| Some(row.record.as_ref()?.id.as_str())).every_record().exact(),
    moment("occurred_at", "when it happened", |row| Some(row.record.as_ref()?.occurred_at.0.micros()))
        .every_record(),
    moment("recorded_at", "when it was taken in", |row| Some(row.record.as_ref()?.recorded_at.0.micros()))
        .every_record(),
    text("action", "what was done, a word of schemas/actions.v1.json or a new one", |row| {
        Some(row.record.as_ref()?.action.as_str())
    })
    .every_record()
    .exact(),
    text("log", "the same as a sentence", |row| Some(row.record.as_ref()?.log.as_str()))
        .every_record()
        .shown(),
    text("author_type", "user, api_key, service, system or unknown", |row| {
        Some(row.record.as_ref()?.author.kind.as_str())
    })
    .every_record(),
    text("author_id", "who did it: the platform's id", |row| some(&row.record.as_ref()?.author.id)),
    text("author_email", "who did it: e-mail address", |row| some(&row.record.as_ref()?.author.email))
        .exact(),
    text("author_name", "who did it: name at that time", |row| some(&row.record.as_ref()?.author.name)),
    text("organisation_id", "the organisation: id", |row| some(&row.record.as_ref()?.organisation.id)),
    text("organisation_key", "the organisation: key", |row| some(&row.record.as_ref()?.organisation.key)),
    text("organisation_name", "the organisation: name", |row| some(&row.record.as_ref()?.organisation.name)),
    text("project_id", "the platform's project: id", |row| some(&project(row)?.id)).exact(),
    text("project_key", "the platform's project: key", |row| some(&project(row)?.key)).exact(),
    text("project_name", "the platform's project: name", |row| some(&project(row)?.name)).exact(),
    text("environment_id", "the environment: id", |row| some(&environment(row)?.id)),
    text("environment_key", "the environment: key", |row| some(&environment(row)?.key)),
    text("environment_name", "the environment: name", |row| some(&environment(row)?.name)),
    text("flag_id", "the flag concerned: id", |row| some(&flag(row)?.id)).exact(),
    text("flag_key", "the flag concerned: key", |row| some(&flag(row)?.key)).exact(),
    text("flag_name", "the flag concerned: name", |row| some(&flag(row)?.name)).exact(),
    text("target_type", "the override, rule or segment concerned: its type", |row| some(&target(row)?.kind)),
    text("target_id", "the override, rule or segment concerned: id", |row| some(&target(row)?.id)),
    text("target_key", "the override, rule or segment concerned: key", |row| some(&target(row)?.key)),
    text("target_name", "the override, rule or segment concerned: name", |row| some(&target(row)?.name)),
    text("related_object_type", "the type of what was changed", |row| {
        Some(row.record.as_ref()?.related_object_type.as_str())
    })
    .every_record(),
    text("related_object_uuid", "what was changed: UUID", |row| some(&object(row)?.uuid)),
    text("related_object_id", "what was changed: id", |row| some(&object(row)?.id)),
    text("related_object_key", "what was changed: key", |row| some(&object(row)?.key)),
    text("related_object_name", "what was changed: name", |row| some(&object(row)?.name)),
    json("change", "before, after and the fields that differ", |row| {
        row.record.as_ref()?.change.map(serde_json::value::RawValue::get)
    }),
    text("access_effect", "granted, removed or snapshot", |row| {
        Some(row.record.as_ref()?.access.as_ref()?.effect.as_str())
    }),
    text("access_role", "the role that was granted or removed", |row| {
        some(&row.record.as_ref()?.access.as_ref()?.role)
    }),
    text("access_subject_type", "whose access it is about: type", |row| {
        Some(row.record.as_ref()?.access.as_ref()?.subject.kind.as_str())
    }),
    text("access_subject_id", "whose access it is about: id", |row| {
        some(&row.record.as_ref()?.access.as_ref()?.subject.id)
    }),
    text("access_subject_email", "whose access it is about: e-mail address", |row| {
        some(&row.record.as_ref()?.access.as_ref()?.subject.email)
    })
    .exact(),
    text("access_subject_name", "whose access it is about: name", |row| {
        some(&row.record.as_ref()?.access.as_ref()?.subject.name)
    }),
    text("access_scope_type", "access to what: account, project or environment", |row| {
        some(&row.record.as_ref()?.access.as_ref()?.scope.kind)
    }),
    text("access_scope_id", "access to what: id", |row| {
        some(&row.record.as_ref()?.access.as_ref()?.scope.id)
    }),
    text("access_scope_key", "access to what: key", |row| {
        some(&row.record.as_ref()?.access.as_ref()?.scope.key)
    }),
    json("approval", "who approved it, whether that was required, whether it was bypassed", |row| {
        row.record.as_ref()?.approval.map(serde_json::value::RawValue::get)
    }),
    text("reason", "the reason given", |row| some(&row.record.as_ref()?.reason)).shown(),
    text("ticket", "the ticket named", |row| some(&row.record.as_ref()?.ticket)),
    text("request_ip", "the address that the platform saw", |row| {
        some(&row.record.as_ref()?.request.as_ref()?.ip)
    }),
    text("request_user_agent", "the program that the platform saw", |row| {
        some(&row.record.as_ref()?.request.as_ref()?.user_agent)
    }),
    text("request_id", "the platform's id of the request", |row| {
        some(&row.record.as_ref()?.request.as_ref()?.request_id)
    }),
    text("source", "the source that it came from", |row| Some(row.record.as_ref()?.source.name.as_str()))
        .every_record(),
    text("source_system", "the platform", |row| Some(row.record.as_ref()?.source.system.as_str()))
        .every_record(),
    text("source_event", "the platform's word for the event", |row| {
        Some(row.record.as_ref()?.source.event.as_str())
    })
    .every_record(),
    text("source_delivery_id", "the platform's id of the delivery", |row| {
        some(&row.record.as_ref()?.source.delivery_id)
    }),
    moment("source_received_at", "when it was received", |row| {
        Some(row.record.as_ref()?.source.received_at.0.micros())
    })
    .every_record(),
    text("source_authenticated", "signature, token or none", |row| {
        Some(row.record.as_ref()?.source.authenticated.as_str())
    })
    .every_record(),
    json("attributes", "what the platform said that has no column", |row| {
        row.record.as_ref()?.attributes.map(serde_json::value::RawValue::get)
    }),
    json("json", "the record, byte for byte as on the log", |row| row.json).every_record(),
    number("partition", "its partition of the log", |row| Some(i64::from(row.message.partition))).always(),
    number("seq", "its number in the partition, which is its leaf in the tree", |row| {
        i64::try_from(row.message.seq).ok()
    })
    .always(),
    number("log_offset", "its offset in the partition", |row| i64::try_from(row.message.offset).ok())
        .always(),
    moment("appended_at", "when the log took it, to the millisecond", |row| {
        row.message.appended_at_ms.checked_mul(1_000)
    })
    .always(),
];

/// What a file that holds every message has besides.
pub(crate) static EVIDENCE_COLUMNS: &[Column] = &[
    Column::new(
        "raw",
        "the message's value where it is no record",
        Content::Bytes(|row| if row.record.is_some() { None } else { row.message.value }),
    )
    .shown(),
    json("leaf_header", "the header that the leaf hash is of", |row| {
        row.message.leaf.map(|leaf| leaf.header)
    }),
    Column::new(
        "salt",
        "what stands in front of the value in the hash of the body",
        Content::Bytes(|row| row.message.leaf.map(|leaf| leaf.salt)),
    )
    .shown(),
];

/// The columns of a file.
pub(crate) fn columns(messages: Messages) -> impl Iterator<Item = &'static Column> {
    let evidence = match messages {
        Messages::Records => &[],
        Messages::All => EVIDENCE_COLUMNS,
    };
    RECORD_COLUMNS.iter().chain(evidence)
}

fn some<'r>(text: &'r Option<Text<'_>>) -> Option<&'r str> {
    text.as_ref().map(Text::as_str)
}

fn project<'r, 'a>(row: &'r Row<'a>) -> Option<&'r ThingView<'a>> {
    row.record.as_ref()?.project.as_ref()
}

fn environment<'r, 'a>(row: &'r Row<'a>) -> Option<&'r ThingView<'a>> {
    row.record.as_ref()?.environment.as_ref()
}

fn flag<'r, 'a>(row: &'r Row<'a>) -> Option<&'r ThingView<'a>> {
    row.record.as_ref()?.flag.as_ref()
}

fn target<'r, 'a>(row: &'r Row<'a>) -> Option<&'r ThingView<'a>> {
    row.record.as_ref()?.target.as_ref()
}

fn object<'r, 'a>(row: &'r Row<'a>) -> Option<&'r ThingView<'a>> {
    row.record.as_ref()?.related_object.as_ref()
}
