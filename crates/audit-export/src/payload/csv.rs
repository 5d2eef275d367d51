//! CSV rows of records: which columns there are, and what stands in them. How a line is written, with the guard
//! against formulas that the manifest tells of, is [`CsvLine`]'s; NDJSON is the format without it.

use audit_archive::CsvLine;
use audit_record::{AuditRecord, Ref};
use serde_json::Value;

/// The columns, in order, each with what it means.
#[rustfmt::skip]
pub(crate) const COLUMNS: &[(&str, &str)] = &[
    ("id", "the record's id"),
    ("occurred_at", "when it happened"),
    ("recorded_at", "when it was taken in"),
    ("action", "what was done, a word of schemas/actions.v1.json or a new one"),
    ("log", "the same as a sentence"),
    ("author_type", "user, api_key, service, system or unknown"),
    ("author_id", "who did it: the platform's id"),
    ("author_email", "who did it: e-mail address"),
    ("author_name", "who did it: name at that time"),
    ("organisation_id", "the organisation: id"),
    ("organisation_key", "the organisation: key"),
    ("organisation_name", "the organisation: name"),
    ("project_id", "the platform's project: id"),
    ("project_key", "the platform's project: key"),
    ("project_name", "the platform's project: name"),
    ("environment_id", "the environment: id"),
    ("environment_key", "the environment: key"),
    ("environment_name", "the environment: name"),
    ("flag_id", "the flag concerned: id"),
    ("flag_key", "the flag concerned: key"),
    ("flag_name", "the flag concerned: name"),
    ("target_type", "the override, rule or segment concerned: its type"),
    ("target_id", "the override, rule or segment concerned: id"),
    ("target_key", "the override, rule or segment concerned: key"),
    ("target_name", "the override, rule or segment concerned: name"),
    ("related_object_type", "the type of what was changed"),
    ("related_object_id", "what was changed: id"),
    ("related_object_uuid", "what was changed: UUID"),
    ("related_object_key", "what was changed: key"),
    ("related_object_name", "what was changed: name"),
    ("change_before", "JSON: what it was before"),
    ("change_after", "JSON: what it is after"),
    ("change_fields", "JSON: the fields that differ, each with before and after"),
    ("change_unproven_before", "true where the platform does not prove what it says was before"),
    ("change_unproven_fields", "JSON: the fields that may have changed earlier than by this change"),
    ("access_subject_type", "whose access it is about: type"),
    ("access_subject_id", "whose access it is about: id"),
    ("access_subject_email", "whose access it is about: e-mail address"),
    ("access_scope_type", "access to what: account, project or environment"),
    ("access_scope_id", "access to what: id"),
    ("access_scope_key", "access to what: key"),
    ("access_role", "the role that was granted or removed"),
    ("access_effect", "granted, removed or snapshot"),
    ("change_request_id", "the platform's id of the change request"),
    ("reason", "the reason given"),
    ("ticket", "the ticket named"),
    ("source_name", "the source that it came from"),
    ("source_system", "the platform"),
    ("source_event", "the platform's word for the event"),
    ("source_authenticated", "signature, token or none"),
    ("attributes", "JSON: what the platform said that has no column"),
    ("partition", "its partition of the log"),
    ("seq", "its number in the partition, which is its leaf in the tree"),
];

/// Appends the header line.
pub(crate) fn header(out: &mut Vec<u8>) {
    for (index, (column, _)) in COLUMNS.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(column.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a record's line.
pub(crate) fn row(record: &AuditRecord, partition: u32, seq: u64, out: &mut Vec<u8>) {
    let mut line = CsvLine::begin(out);
    let draft = record.draft();
    line.text(Some(record.id()));
    line.text(Some(&record.occurred_at().to_string()));
    line.text(Some(&record.recorded_at().to_string()));
    line.text(Some(record.action().as_str()));
    line.text(Some(record.log()));
    let author = record.author();
    line.text(Some(author.kind.as_str()));
    line.text(author.id.as_deref());
    line.text(author.email.as_deref());
    line.text(author.name.as_deref());
    thing(&mut line, Some(record.organisation()));
    thing(&mut line, draft.project.as_ref());
    thing(&mut line, draft.environment.as_ref());
    thing(&mut line, draft.flag.as_ref());
    line.text(draft.target.as_ref().map(|target| target.kind.as_str()));
    thing(&mut line, draft.target.as_ref().map(|target| &target.what));
    line.text(Some(record.related_object_type()));
    let object = &draft.related_object;
    line.text(object.what.id.as_deref());
    line.text(object.uuid.as_deref());
    line.text(object.what.key.as_deref());
    line.text(object.what.name.as_deref());
    let change = draft.change.as_ref();
    json(&mut line, change.and_then(|change| change.before.as_ref()));
    json(&mut line, change.and_then(|change| change.after.as_ref()));
    json(&mut line, change.map(|change| fields(&change.fields)).as_ref());
    json(&mut line, change.and_then(|change| change.unproven_before).map(Value::Bool).as_ref());
    let unproven = change.map(|change| &change.unproven_fields).filter(|fields| !fields.is_empty());
    json(&mut line, unproven.map(|unproven| fields(unproven)).as_ref());
    let access = draft.access.as_ref();
    line.text(access.map(|access| access.subject.kind.as_str()));
    line.text(access.and_then(|access| access.subject.id.as_deref()));
    line.text(access.and_then(|access| access.subject.email.as_deref()));
    line.text(access.map(|access| access.scope.kind.as_str()));
    line.text(access.and_then(|access| access.scope.id.as_deref()));
    line.text(access.and_then(|access| access.scope.key.as_deref()));
    line.text(access.and_then(|access| access.role.as_deref()));
    line.text(access.map(|access| access.effect.as_str()));
    line.text(draft.approval.as_ref().and_then(|approval| approval.change_request_id.as_deref()));
    line.text(draft.reason.as_deref());
    line.text(draft.ticket.as_deref());
    let source = record.source();
    line.text(Some(&source.name));
    line.text(Some(&source.system));
    line.text(Some(&source.event));
    line.text(Some(source.authenticated.as_str()));
    json(&mut line, (!draft.attributes.is_empty()).then(|| Value::Object(draft.attributes.clone())).as_ref());
    line.text(Some(&partition.to_string()));
    line.text(Some(&seq.to_string()));
    line.end();
}

fn fields(fields: &[audit_record::FieldChange]) -> Value {
    let field = |f: &audit_record::FieldChange| serde_json::json!({"field": f.field, "before": f.before, "after": f.after});
    fields.iter().map(field).collect()
}

fn thing(line: &mut CsvLine<'_>, thing: Option<&Ref>) {
    line.text(thing.and_then(|thing| thing.id.as_deref()));
    line.text(thing.and_then(|thing| thing.key.as_deref()));
    line.text(thing.and_then(|thing| thing.name.as_deref()));
}

/// JSON text; a JSON `null` is the word `null`, which differs from no value at all.
fn json(line: &mut CsvLine<'_>, value: Option<&Value>) {
    line.text(value.map(Value::to_string).as_deref());
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, header, row};
    use audit_record::AuditRecord;

    fn cells(log: &str, change: &str) -> Vec<String> {
        let json = format!(
            r#"{{"id":"1","action":"flag.value.changed","log":{},"occurred_at":"2026-01-02T03:04:05Z",
            "recorded_at":"2026-01-02T03:04:06Z","author":{{"type":"unknown"}},"organisation":{{"name":"acme"}},
            "project":{{"id":"6"}},"related_object_type":"FEATURE","change":{change},
            "source":{{"name":"s","system":"native","event":"e","received_at":"2026-01-02T03:04:06Z"}}}}"#,
            serde_json::to_string(log).unwrap()
        );
        let mut out = Vec::new();
        header(&mut out);
        row(&AuditRecord::from_json(json.as_bytes()).unwrap(), 3, 41, &mut out);
        let mut reader = csv::Reader::from_reader(out.as_slice());
        assert_eq!(reader.headers().unwrap().len(), COLUMNS.len());
        reader.records().next().unwrap().unwrap().iter().map(str::to_owned).collect()
    }

    fn column(cells: &[String], name: &str) -> String {
        cells[COLUMNS.iter().position(|(column, _)| *column == name).unwrap()].clone()
    }

    #[test]
    fn quotes_commas_and_newlines_come_back_as_they_were() {
        let log = "a \"quoted\", name\r\nwith a line 🚀";
        assert_eq!(column(&cells(log, "{}"), "log"), log);
    }

    #[test]
    fn what_is_not_proven_of_a_change_has_columns_of_its_own() {
        let cells =
            cells("x", r#"{"fields":[],"unproven_before":true,"unproven_fields":[{"field":"value"}]}"#);
        assert_eq!(column(&cells, "change_fields"), "[]");
        assert_eq!(column(&cells, "change_unproven_before"), "true");
        assert!(column(&cells, "change_unproven_fields").contains(r#""field":"value""#));
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_guarded() {
        assert_eq!(column(&cells("=cmd|' /C calc'!A0", "{}"), "log"), "'=cmd|' /C calc'!A0");
        assert_eq!(column(&cells("\t=1", "{}"), "log"), "'\t=1");
    }

    #[test]
    fn a_null_before_an_empty_before_and_no_before_differ() {
        assert_eq!(column(&cells("x", r#"{"before":null}"#), "change_before"), "null");
        assert_eq!(column(&cells("x", r#"{"before":""}"#), "change_before"), "\"\"");
        assert_eq!(column(&cells("x", "{}"), "change_before"), "");
        assert_eq!(column(&cells("x", "{}"), "change_unproven_fields"), "");
    }

    #[test]
    fn a_record_fills_as_many_cells_as_there_are_columns() {
        let cells = cells("x", "{}");
        assert_eq!((column(&cells, "partition"), column(&cells, "seq")), ("3".to_owned(), "41".to_owned()));
    }
}
