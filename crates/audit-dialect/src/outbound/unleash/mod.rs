//! Unleash: an event of its log, as its webhook integration sends it without a body template.

mod order;

use audit_record::{AuditRecord, AuthorKind, Ref, Timestamp};
use serde_json::{Value, json};

use super::json_value::{Ordered, handle, number, number_or_text, text};
use super::rendered::{Rendered, Skip};
use super::standard;
use crate::inbound::{unleash_action_of, unleash_told_by_type, unleash_types};
use crate::platform::Platform;

const FORMAT: &str = "unleash";

/// Actions that Unleash has no type for, or several of which the first in its list is no longer sent. What
/// other platforms call rules and overrides is a strategy here.
const PREFERRED: &[(&str, &str)] = &[
    ("flag.updated", "feature-metadata-updated"),
    ("flag.variant.changed", "feature-environment-variants-updated"),
    ("flag.rule.created", "feature-strategy-add"),
    ("flag.rule.changed", "feature-strategy-update"),
    ("flag.rule.removed", "feature-strategy-remove"),
    ("flag.override.created", "feature-strategy-add"),
    ("flag.override.changed", "feature-strategy-update"),
    ("flag.override.removed", "feature-strategy-remove"),
    ("flag.override.reordered", "strategy-order-changed"),
];

/// The type that another platform's action is in Unleash, but for switching, which is two.
pub(super) fn type_of(action: &str) -> Option<&'static str> {
    let preferred = PREFERRED.iter().find(|(known, _)| *known == action).map(|(_, kind)| *kind);
    preferred.or_else(|| unleash_types().find(|kind| unleash_action_of(kind) == Some(action)))
}

/// The event that another platform's record is in Unleash.
fn counterpart(record: &AuditRecord) -> Option<&'static str> {
    let action = record.action().as_str();
    if action == "flag.state.changed" {
        let after = record.draft().change.as_ref()?.after.as_ref()?;
        return match after.get("enabled")?.as_bool()? {
            true => Some("feature-environment-enabled"),
            false => Some("feature-environment-disabled"),
        };
    }
    // Unleash's events of access are of a project's.
    let access = record.draft().access.as_ref();
    if action.starts_with("access.") && access.is_none_or(|access| access.scope.kind != "project") {
        return None;
    }
    type_of(action)
}

pub(super) fn event(record: &AuditRecord) -> Result<Rendered, Skip> {
    let is_own = record.source().system == Platform::Unleash.as_str();
    let kind = if is_own {
        record.source().event.clone()
    } else {
        let none = || Skip::NoEvent { format: FORMAT, action: record.action().to_string() };
        counterpart(record).ok_or_else(none)?.to_owned()
    };
    let draft = record.draft();
    let said = |name: &str| draft.attributes.get(name).filter(|_| is_own).cloned();
    // Some types say it all: such an event carries neither data nor preData, unless it came with them.
    let told = unleash_told_by_type(&kind);
    let is_told = told.is_some() && (!is_own || draft.change == told);
    let change = draft.change.clone().filter(|_| !is_told).unwrap_or_default();
    let author = record.author();

    let mut event = Ordered::new();
    event.field("id", &said("id").unwrap_or_default());
    event.field("type", &kind.as_str().into());
    event.field("createdBy", &text(author.name.as_deref().or(handle(author))));
    event.field("createdAt", &said("createdAt").unwrap_or_else(|| milliseconds(record.occurred_at()).into()));
    event.field("createdByUserId", &said("createdByUserId").unwrap_or_else(|| user_id(record)));
    event.json("data", &order::data(&change.after.unwrap_or_default()));
    event.json("preData", &order::stored(&change.before.unwrap_or_default()));
    event.json("tags", &order::tags(&said("tags").unwrap_or_else(|| json!([]))));
    event.field("featureName", &text(draft.flag.as_ref().and_then(Ref::handle)));
    let project = said("project").unwrap_or_else(|| text(draft.project.as_ref().and_then(Ref::stable)));
    event.field("project", &project);
    event.field("environment", &text(draft.environment.as_ref().and_then(Ref::handle)));
    for field in ["groupType", "groupId"] {
        if let Some(value) = said(field) {
            event.field(field, &value);
        }
    }
    event.text("ip", draft.request.as_ref().and_then(|request| request.ip.as_deref()));
    Ok(standard::json(kind.into(), event.finish()))
}

/// Users are numbers; the id of another platform's user may be a word, which is none.
fn user_id(record: &AuditRecord) -> Value {
    let author = record.author();
    let id = author.id.as_deref().filter(|id| number(id).is_some());
    number_or_text(id.filter(|_| matches!(author.kind, AuthorKind::User | AuthorKind::System)))
}

/// As JavaScript's `toISOString` writes a time.
fn milliseconds(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}Z", &text[.."2026-08-21T17:30:57.006".len()])
}
