//! API keys and tokens: whose, how old, when last used.

use std::borrow::Cow;
use std::collections::BTreeMap;

use audit_archive::{ACTORS_MAX, Actor, Over};
use audit_record::{AuditRecord, Period, Ref, Timestamp};

use super::{Entry, held};
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;
use crate::words;

const COLUMNS: &[Column] = &[
    column("key_id", Kind::Text, "The platform's id of the key, else its name"),
    column("name", Kind::Text, "Its name"),
    column("kind", Kind::Text, "api_key of a platform, or flagtrail_token of Flagtrail itself"),
    column("owner", Kind::Text, "Who made it"),
    column(
        "scope",
        Kind::Text,
        "The project and environment that it is for, where the records say so; else account",
    ),
    column("created", Kind::Time, "When it was made; empty where that was before the oldest record"),
    column("rotated", Kind::Time, "When it was last changed"),
    column("deleted", Kind::Time, "When it was deleted or revoked; empty while it works"),
    column(
        "last_used",
        Kind::Time,
        "The last change that was made with it, where only some projects may be seen in these: platforms do not tell of reading",
    ),
    column(
        "age_days",
        Kind::Integer,
        "Whole days from when it was made, or last changed, to the moment asked for, or its end",
    ),
    column("old", Kind::Bool, "Whether it works still and that is more than compliance.credential_days"),
    column("source", Kind::Text, "The source that tells of it"),
    column("record_ids", Kind::List, "The records that tell of it"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC6.1"),
    control(Framework::PciDss, "10.2.1.5"),
    control(Framework::Iso27001, "A.5.18"),
    control(Framework::Nist, "AC-2(4)"),
];

const SQL: &str = "SELECT seq, json FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq
  AND (action GLOB 'api_key.*' OR action GLOB 'flagtrail.token.*')
  AND occurred_at_us <= :at_us
  AND (:projects IS NULL OR project_id IN (SELECT value FROM json_each(:projects))
    OR project_key IN (SELECT value FROM json_each(:projects)) OR project_name IN (SELECT value FROM json_each(:projects)))
ORDER BY seq";

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("credentials"),
            title: Cow::Borrowed("Credentials"),
            version: 2,
            meaning: Cow::Borrowed(
                "One row for every API key of a platform and every token of Flagtrail that a record up to the moment asked for tells of, \
                 deleted ones too. A key that was made before the oldest record and was not changed since is not known, and in no row. \
                 Keys that a platform does not tell of are named in the coverage box.",
            ),
            when: When::At,
            list: None,
            columns: Cow::Borrowed(COLUMNS),
            controls: Cow::Borrowed(CONTROLS),
            about_access: false,
        },
        run,
    }
}

/// One key, as its records tell of it.
#[derive(Default)]
struct Key {
    id: Option<String>,
    name: Option<String>,
    owner: Option<String>,
    scope: Option<String>,
    created: Option<Timestamp>,
    rotated: Option<Timestamp>,
    deleted: Option<Timestamp>,
    records: Vec<(Timestamp, String)>,
    is_own: bool,
}

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    let at = evidence.question().at;
    let old_days = i64::from(evidence.compliance().credential_days);
    let mut keys: BTreeMap<(String, String), Key> = BTreeMap::new();
    evidence.rows(SQL, Over::Records, Period::default(), &mut |row| {
        let json = row.values.get(1).and_then(|json| json.as_text());
        if let Some(record) = json.and_then(|json| AuditRecord::from_json(json.as_bytes()).ok()) {
            take(&mut keys, &record);
        }
    })?;
    let mut last: Vec<Option<Timestamp>> = Vec::with_capacity(keys.len());
    let actors: Vec<Actor> = keys
        .iter()
        .map(|((source, _), key)| {
            let labels = [&key.id, &key.name].into_iter().flatten().cloned().collect();
            Actor { source: source.clone(), labels }
        })
        .collect();
    for some in actors.chunks(ACTORS_MAX / 4) {
        evidence.in_time()?;
        last.extend(held::last_acts_of(evidence, some, at)?);
    }
    let (mut working, mut old) = (0, 0);
    for (((source, _), key), last) in keys.into_iter().zip(last) {
        let since = key.rotated.or(key.created);
        let age = since.map(|since| held::days(since, key.deleted.unwrap_or(at)));
        let is_old = key.deleted.is_none() && age.is_some_and(|age| age > old_days);
        working += u64::from(key.deleted.is_none());
        old += u64::from(is_old);
        let mut records = key.records;
        records.sort();
        rows.push(vec![
            Cell::text(key.id.clone().or_else(|| key.name.clone())),
            Cell::text(key.name),
            if key.is_own { "flagtrail_token" } else { "api_key" }.into(),
            Cell::text(key.owner),
            key.scope.unwrap_or_else(|| "account".to_owned()).into(),
            Cell::time(key.created),
            Cell::time(key.rotated),
            Cell::time(key.deleted),
            Cell::time(last),
            age.map_or(Cell::None, Cell::Integer),
            is_old.into(),
            source.into(),
            Cell::list(records.into_iter().map(|(_, id)| id).collect()),
        ]);
    }
    rows.sort_by(&[11, 5, 0]);
    evidence.total("working", working);
    evidence.total("old", old);
    Ok(())
}

fn take(keys: &mut BTreeMap<(String, String), Key>, record: &AuditRecord) {
    let draft = record.draft();
    let object = &draft.related_object.what;
    let Some(stable) = object.stable() else { return };
    let key = keys.entry((record.source().name.clone(), stable.to_owned())).or_default();
    key.id = object.id.clone().or(key.id.take());
    key.name = object.name.clone().or_else(|| object.key.clone()).or(key.name.take());
    key.is_own = record.action().as_str().starts_with("flagtrail.");
    let at = record.occurred_at();
    let project = draft.project.as_ref().and_then(Ref::handle);
    let environment = draft.environment.as_ref().and_then(Ref::handle);
    let place: Vec<&str> = [project, environment].into_iter().flatten().collect();
    if !place.is_empty() {
        key.scope = Some(place.join("/"));
    }
    match record.action().as_str().rsplit('.').next() {
        Some("created") => {
            key.created = Some(key.created.map_or(at, |known| known.min(at)));
            key.owner = Some(words::who(record.author()));
        }
        Some("deleted" | "revoked") => key.deleted = Some(key.deleted.map_or(at, |known| known.max(at))),
        _ => key.rotated = Some(key.rotated.map_or(at, |known| known.max(at))),
    }
    key.records.push((at, record.id().to_owned()));
}
