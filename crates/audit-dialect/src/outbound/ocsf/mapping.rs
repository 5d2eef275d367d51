//! What every action of the catalogue becomes, as a document.

use audit_record::{Access, AccessScope, Action, AuditRecord, CATALOGUE_JSON, Effect, Subject};
use serde::Deserialize;

use super::OCSF_VERSION;
use super::class::classify;
use crate::outbound::sample_record;

#[derive(Deserialize)]
struct Catalogue {
    actions: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    action: String,
    related_object_types: Vec<String>,
}

/// The document, in Markdown.
pub fn mapping() -> String {
    let mut text = format!(
        "# Audit records as OCSF {OCSF_VERSION} events\n\n\
        One event a record. `metadata.uid` is the record's id, `metadata.sequence` its number in its partition \
        (`unmapped.partition`), `metadata.tenant_uid` the organisation, `metadata.product` the platform; `raw_data` is the \
        record, byte for byte as on the log, and `raw_data_hash` its SHA-256. What OCSF has no field for stands in `unmapped` \
        under the record's own names; `unmapped.unproven_before` and `unmapped.unproven_fields` say what of a change the \
        platform does not prove (`schemas/README.md`).\n\n\
        The entity of a `flag.` record is the flag, with its data before (`entity`) and after (`entity_result`); where the \
        platform's own record points at a thing of its own, such as a rule or a segment, it is that thing. Access to \
        something is told with the user or the group whose access it is; where a record names nobody, as a change of an \
        entity. `flag.state.changed` is Enable or Disable where the record says which, else Update. `status_detail` is the \
        action's last word where the activity does not say it. An approval that was bypassed is of medium severity, a \
        failure of low, all else informational. An action that is not listed goes by its last word; where that is not known, \
        it is Other of its class, and `activity_name` is the action.\n\n\
        | action | of | class | activity | type_uid |\n|---|---|---|---|---|\n"
    );
    // The catalogue is a part of this program, and its test reads it.
    let catalogue: Catalogue =
        serde_json::from_str(CATALOGUE_JSON).unwrap_or(Catalogue { actions: Vec::new() });
    for entry in catalogue.actions {
        for object_type in &entry.related_object_types {
            let Some(record) = example(&entry.action, object_type) else { continue };
            let event = classify(&record);
            let activity = event.activity.caption(event.class).unwrap_or("Other");
            text.push_str(&format!(
                "| `{}` | {object_type} | {} | {activity} | {} |\n",
                entry.action,
                event.class.caption(),
                event.type_uid(),
            ));
        }
    }
    text
}

/// A record of that action, with everything that may matter.
fn example(action: &str, object_type: &str) -> Option<AuditRecord> {
    let mut draft = sample_record().into_draft();
    draft.action = Action::try_new(action).ok();
    draft.related_object_type = Some(object_type.to_owned());
    // The sample switches a flag on.
    if !action.starts_with("flag.state.") {
        draft.change = None;
    }
    if action.starts_with("access.") {
        let effect = if action.ends_with(".removed") { Effect::Removed } else { Effect::Granted };
        let subject = Subject { kind: "user".to_owned(), id: Some("7".to_owned()), ..Subject::default() };
        let scope = AccessScope { kind: "project".to_owned(), ..AccessScope::default() };
        draft.access = Some(Access { subject, scope, role: None, effect, extra: audit_record::Map::new() });
    }
    AuditRecord::try_new(draft).ok()
}
