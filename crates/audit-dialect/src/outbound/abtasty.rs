//! AB Tasty: one flat object. The common fields and those of a campaign are documented by name; they come
//! first, what else there is follows. Event names are spelled as the documentation lists them.

use audit_record::{Access, AuditRecord, Effect};
use serde_json::Value;

use super::json_value::{Ordered, seconds_with_offset};
use super::rendered::{Rendered, Skip};
use super::standard::json;
use crate::platform::Platform;

const FORMAT: &str = "abtasty";

const CAMPAIGN_STATUS_CHANGED: &str = "Campaign.status.changed";

/// Attributes with a place of their own among the documented fields, in that order.
const ACCOUNT: &[&str] = &["account_id", "account_key", "account_name"];
const CAMPAIGN: &[&str] = &["campaign_id", "campaign_key", "campaign_name", "campaign_type"];

/// The attributes that Flagtrail added.
const OURS: &[&str] = &["redacted", "repeat_of"];

/// The event that another platform's action is in AB Tasty; access by what it is to.
pub(super) fn counterpart(action: &str, access: Option<&Access>) -> Option<&'static str> {
    let scope = access.map(|access| access.scope.kind.as_str());
    Some(match (action, scope) {
        ("flag.created", _) => "Flag created",
        ("flag.deleted", _) => "Flag removed",
        ("flag.campaign.status.changed", _) => CAMPAIGN_STATUS_CHANGED,
        ("access.granted", Some("project")) => "Project access granted to user",
        ("access.role.granted", Some("project")) => "Project edit role granted to user",
        ("access.removed", Some("project")) => "Project access removed",
        ("access.granted", Some("account")) => "Account access granted to user",
        ("access.role.granted", Some("account")) => "Account edit role granted to user",
        ("access.removed", Some("account")) => "Account access removed",
        _ => return None,
    })
}

pub(super) fn event(record: &AuditRecord) -> Result<Rendered, Skip> {
    let draft = record.draft();
    let is_own = record.source().system == Platform::AbTasty.as_str();
    let name = if is_own {
        record.source().event.clone()
    } else {
        let none = || Skip::NoEvent { format: FORMAT, action: record.action().to_string() };
        counterpart(record.action().as_str(), draft.access.as_ref()).ok_or_else(none)?.to_owned()
    };
    let said = |name: &str| draft.attributes.get(name).filter(|_| is_own);

    let mut body = Ordered::new();
    body.field("event", &name.as_str().into());
    let author = record.author();
    body.text("user_id", author.id.as_deref());
    body.text("user_email", author.email.as_deref());
    body.text("user_name", author.name.as_deref());
    body.text("user_role", author.extra.get("role").and_then(Value::as_str).filter(|_| is_own));
    body.field("date", &seconds_with_offset(record.occurred_at()).into());
    for field in ACCOUNT {
        if let Some(value) = said(field) {
            body.field(field, value);
        }
    }
    body.reference("project", draft.project.as_ref());
    body.reference("environment", draft.environment.as_ref());
    for field in CAMPAIGN {
        if let Some(value) = said(field) {
            body.field(field, value);
        }
    }
    let is_of_a_campaign = is_own || name == CAMPAIGN_STATUS_CHANGED;
    if is_of_a_campaign && !is_own {
        body.reference("campaign", Some(&draft.related_object.what));
    }
    if is_of_a_campaign {
        status(record, &mut body);
    }
    body.reference("flag", draft.flag.as_ref());
    if let Some(access) = &draft.access {
        subject(access, &mut body);
    }
    if is_own {
        let placed = |name: &str| ACCOUNT.contains(&name) || CAMPAIGN.contains(&name) || OURS.contains(&name);
        for (name, value) in draft.attributes.iter().filter(|(name, _)| !placed(name)) {
            body.field(name, value);
        }
    }
    Ok(json(name.into(), body.finish()))
}

/// A campaign's status, before and after.
fn status(record: &AuditRecord, body: &mut Ordered) {
    let Some(change) = &record.draft().change else { return };
    let sides = [("campaign_previous_status", &change.before), ("campaign_status", &change.after)];
    for (name, side) in sides {
        if let Some(status) = side.as_ref().and_then(|side| side.get("status")) {
            body.field(name, status);
        }
    }
}

/// Whose access it is. AB Tasty does not document these fields: they are those that Flagtrail reads first.
fn subject(access: &Access, body: &mut Ordered) {
    body.text("target_user_id", access.subject.id.as_deref());
    body.text("target_user_email", access.subject.email.as_deref());
    body.text("target_user_name", access.subject.name.as_deref());
    if access.effect != Effect::Removed {
        body.text("role", access.role.as_deref());
    }
}
