//! можно: the body is what the user's template makes of ten variables.
//!
//! Written `{{events.name}}` as можно has it, or `[[events.name]]` as its documentation advises. Where можно
//! writes values as they are, so that a quote in a flag's name breaks the body, they are escaped here as JSON
//! asks; [`Escape::None`](super::Escape::None) is можно's way, for a body that is no JSON.

mod template;

use audit_record::{AuditRecord, AuthorKind, Ref, Timestamp};

use super::rendered::{Rendered, Skip};
use super::standard;
use crate::platform::Platform;
pub(super) use template::{Template, Variable};

const FORMAT: &str = "mozhno";

/// The event that another platform's action is in можно, which tells changes of a flag's setting apart from
/// others only where they are of a strategy.
pub(super) fn counterpart(action: &str) -> Option<&'static str> {
    Some(match action {
        "flag.created" => "flag.created",
        "flag.deleted" => "flag.deleted",
        "flag.archived" => "flag.archived",
        "flag.unarchived" => "flag.unarchived",
        "flag.updated"
        | "flag.changed"
        | "flag.state.changed"
        | "flag.value.changed"
        | "flag.variant.added"
        | "flag.variant.changed"
        | "flag.variant.removed"
        | "flag.override.created"
        | "flag.override.changed"
        | "flag.override.removed"
        | "flag.override.reordered"
        | "flag.rule.created"
        | "flag.rule.changed"
        | "flag.rule.removed"
        | "flag.version.published"
        | "flag.campaign.status.changed" => "flag.updated",
        "flag.strategy.created" => "strategy.created",
        "flag.strategy.changed" | "flag.strategy.removed" | "flag.strategy.reordered" => "strategy.updated",
        "flag.segment.created" => "segment.created",
        "flag.segment.changed" => "segment.updated",
        "flag.segment.removed" => "segment.deleted",
        "environment.created" => "environment.created",
        "environment.updated" => "environment.updated",
        "flag.environment.removed" => "environment.deleted",
        "project.created" => "project.created",
        "project.updated" => "project.updated",
        "flag.project.removed" => "project.deleted",
        "user.created" => "user.created",
        "user.updated" => "user.updated",
        "user.deleted" => "user.deleted",
        "api_key.created" => "apikey.created",
        "api_key.updated" => "apikey.updated",
        "api_key.deleted" => "apikey.deleted",
        "tag.created" => "tag.created",
        "tag.updated" => "tag.updated",
        "tag.deleted" => "tag.deleted",
        "context_definition.created" => "context_definition.created",
        "context_definition.updated" => "context_definition.updated",
        "context_definition.deleted" => "context_definition.deleted",
        "context_value.created" => "context_value.created",
        "context_value.updated" => "context_value.updated",
        "context_value.deleted" => "context_value.deleted",
        _ => return None,
    })
}

/// The body; without a template there is none.
pub(super) fn event(record: &AuditRecord, template: Option<&Template>) -> Result<Rendered, Skip> {
    let values = Values::of(record)?;
    let event = values.action.clone();
    Ok(match template {
        Some(template) => standard::json(event.into(), template.fill(|variable| values.get(variable))),
        None => Rendered { event, ..Rendered::default() },
    })
}

/// What the ten variables hold.
struct Values {
    action: String,
    resource_type: String,
    resource_id: Option<String>,
    resource_name: Option<String>,
    details: Option<String>,
    project_id: Option<String>,
    user: [Option<String>; 3],
    timestamp: String,
}

impl Values {
    fn of(record: &AuditRecord) -> Result<Self, Skip> {
        let draft = record.draft();
        let is_own = record.source().system == Platform::Mozhno.as_str();
        let said =
            |name: &str| draft.attributes.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let action = if is_own {
            record.source().event.clone()
        } else {
            let none = || Skip::NoEvent { format: FORMAT, action: record.action().to_string() };
            counterpart(record.action().as_str()).ok_or_else(none)?.to_owned()
        };
        let kind = action.split('.').next().unwrap_or_default().to_owned();
        let object = &draft.related_object.what;
        // Another platform's record of a flag's state, rule or override points at that; можно means the flag.
        let flag = draft.flag.as_ref().filter(|_| !is_own && kind == "flag");
        let author = record.author();
        let named = author.kind != AuthorKind::Unknown && author.kind != AuthorKind::System;
        let user = [&author.id, &author.name, &author.email].map(|part| part.clone().filter(|_| named));
        Ok(Self {
            resource_type: said("resource_type").filter(|_| is_own).unwrap_or(kind),
            resource_id: flag.map_or(&object.id, |flag| &flag.id).clone(),
            resource_name: match flag {
                Some(flag) => flag.name.clone().or_else(|| flag.key.clone()),
                None => object.name.clone().or_else(|| object.key.clone().filter(|_| !is_own)),
            },
            details: if is_own { said("details") } else { Some(record.log().to_owned()) },
            project_id: draft.project.as_ref().and_then(Ref::stable).map(str::to_owned),
            user,
            timestamp: said("timestamp").filter(|_| is_own).unwrap_or_else(|| instant(record.occurred_at())),
            action,
        })
    }

    fn get(&self, variable: Variable) -> Option<&str> {
        match variable {
            Variable::Action => Some(&self.action),
            Variable::ResourceType => Some(&self.resource_type),
            Variable::ResourceId => self.resource_id.as_deref(),
            Variable::ResourceName => self.resource_name.as_deref(),
            Variable::Details => self.details.as_deref(),
            Variable::ProjectId => self.project_id.as_deref(),
            Variable::UserId => self.user[0].as_deref(),
            Variable::UserName => self.user[1].as_deref(),
            Variable::UserEmail => self.user[2].as_deref(),
            Variable::Timestamp => Some(&self.timestamp),
        }
    }
}

/// As Java's `Instant` writes itself: no fraction, three digits or six, whichever says it all.
fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    let text = text.strip_suffix('Z').unwrap_or(&text);
    let short = text.strip_suffix(".000000").or_else(|| text.strip_suffix("000"));
    format!("{}Z", short.unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z")]
    #[case("2026-01-02T03:04:05.120Z", "2026-01-02T03:04:05.120Z")]
    #[case("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123456Z")]
    fn a_time_has_as_many_digits_as_java_gives_it(#[case] at: &str, #[case] text: &str) {
        assert_eq!(instant(Timestamp::parse(at).unwrap()), text);
    }
}
