//! AB Tasty Feature Experimentation and Rollouts (Flagship): one flat JSON object an event.
//!
//! Event names and common fields are documented, no body is: so the event is read in every spelling, fields
//! under every plausible name, and what is left, custom payload parameters included, is kept.

mod access;
mod event;

use audit_record::{Action, Author, AuthorKind, Change, Effect, ObjectRef, Ref, Target};
use serde_json::{Value, json};

use self::event::{Event, Scope};
use super::fields::Fields;
use super::hints::HandleIs;
use super::intake::Intake;
use super::redact::USUAL_SECRETS;
use super::{Refusal, Translation};

pub(super) fn translate(intake: &Intake<'_>) -> Result<Translation, Refusal> {
    let mut body = intake.json()?;
    let redacted = intake.redact(&mut body, USUAL_SECRETS);
    let mut said = Fields::of(body, "an event of AB Tasty: an object with event, date and the user")?;
    let name = said.take_text(&["event", "event_type", "event_name", "type"]).ok_or_else(|| {
        Refusal::new("the body names no event, such as Campaign.status.changed: is it from AB Tasty")
    })?;
    let event = Event::parse(&name).ok_or_else(|| {
        Refusal::new(format!(
            "{name:?} is no event of AB Tasty that is known, such as Campaign.status.changed"
        ))
    })?;

    let mut draft = intake.draft(&name);
    draft.occurred_at = Some(said.take_time(&["date", "timestamp"]).unwrap_or(intake.received_at()));
    draft.author = Some(author(&mut said));
    let project = said.take_ref("project");
    let environment = intake.environment(said.take_ref("environment"), HandleIs::Id);
    let account = said.take_ref("account");
    let flag = said.take_ref("flag");
    let campaign = said.take_ref("campaign");

    let is_account_wide = matches!(event, Event::Access { scope: Scope::Account, .. });
    draft.project = if is_account_wide {
        project
    } else {
        Some(intake.require_project(project, HandleIs::Id, &format!("AB Tasty's {name:?} event"))?)
    };
    draft.action = Some(Action::try_new(event.action()).map_err(|error| Refusal::new(error.to_string()))?);
    draft.related_object_type = Some(event.object_type().to_owned());
    let (object, log);
    match event {
        Event::FlagCreated | Event::FlagRemoved => {
            let verb = if event == Event::FlagCreated { "created" } else { "removed" };
            log = format!("Flag {verb}{}", called(flag.as_ref()));
            object = flag.clone();
            draft.flag = flag;
        }
        Event::CampaignStatusChanged => {
            let before = said.take_value(&["campaign_previous_status", "previous_status", "old_status"]);
            let after = said.take_value(&["campaign_status", "status", "new_status"]);
            let now = after.as_ref().map_or(String::new(), |status| format!(" to {}", plain(status)));
            log = format!("Campaign status changed{now}{}", called(campaign.as_ref()));
            let side = |status: Value| json!({"status": status});
            draft.change = (before.is_some() || after.is_some())
                .then(|| Change::between(before.map(side), after.map(side)));
            object = campaign.clone();
            draft.flag = flag;
        }
        Event::FeatureSwitched { on } => {
            // The older product called a campaign of one flag a feature; its fields were those of a campaign.
            let feature = said.take_ref("feature").or(flag).or(campaign.clone());
            let status = said.take_text(&["feature_status", "campaign_status", "status"]);
            let on = on.or_else(|| status.as_deref().and_then(is_on));
            let state = match on {
                Some(true) => "switched on",
                Some(false) => "switched off",
                None => "switched",
            };
            log = format!("Feature {state}{}", called(feature.as_ref()));
            draft.change = on.map(|on| Change::between(None, Some(json!({"enabled": on}))));
            if let Some(status) = status {
                draft.attributes.insert("status".to_owned(), status.into());
            }
            object = feature.clone();
            draft.flag = feature;
        }
        Event::EnvironmentSynchronized => {
            log = format!("Environment synchronized{}", called(environment.as_ref()));
            object = environment.clone();
        }
        Event::Access { scope, effect, edit_role } => {
            let access =
                access::take(&mut said, scope, effect, edit_role, draft.project.as_ref(), account.as_ref());
            log = access_sentence(&access, &name);
            object = match scope {
                Scope::Project => draft.project.clone(),
                Scope::Account => account.clone(),
            };
            draft.access = Some(access);
        }
    }
    draft.log = Some(log);
    draft.target = environment.clone().map(|environment| Target::new("environment", environment));
    draft.environment = environment;
    draft.related_object = ObjectRef { uuid: None, what: object.unwrap_or_default() };
    draft.attributes.extend(said.rest());
    for (what, thing) in [("account", account), ("campaign", campaign)] {
        keep(&mut draft.attributes, what, thing);
    }
    redacted.note(&mut draft);
    Ok(Translation { drafts: vec![draft] })
}

/// The one who acts: the flat `user_…` fields.
fn author(said: &mut Fields) -> Author {
    let id = said.take_text(&["user_id"]);
    let email = said.take_text(&["user_email"]);
    let name = said.take_text(&["user_name"]);
    let kind = if id.is_some() || email.is_some() || name.is_some() {
        AuthorKind::User
    } else {
        AuthorKind::Unknown
    };
    let mut author = Author { id, email, name, ..Author::new(kind) };
    if let Some(role) = said.take_text(&["user_role"]) {
        author.extra.insert("role".to_owned(), role.into());
    }
    author
}

/// What has no field of its own in a record stays under the names that AB Tasty gave it.
fn keep(attributes: &mut audit_record::Map, what: &str, thing: Option<Ref>) {
    let Some(thing) = thing else { return };
    for (part, value) in [("id", thing.id), ("key", thing.key), ("name", thing.name)] {
        if let Some(value) = value {
            attributes.insert(format!("{what}_{part}"), value.into());
        }
    }
}

fn is_on(status: &str) -> Option<bool> {
    match status.to_ascii_lowercase().as_str() {
        "on" | "active" | "true" | "1" => Some(true),
        "off" | "paused" | "interrupted" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn called(thing: Option<&Ref>) -> String {
    thing.and_then(Ref::handle).map_or(String::new(), |handle| format!(": {handle}"))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn access_sentence(access: &audit_record::Access, event: &str) -> String {
    let who =
        access.subject.email.as_deref().or(access.subject.name.as_deref()).or(access.subject.id.as_deref());
    let what = match (access.effect, access.role.as_deref()) {
        (Effect::Removed, _) => "lost access to".to_owned(),
        (_, Some(role)) => format!("was granted the role {role} in"),
        (_, None) => "was granted access to".to_owned(),
    };
    match who {
        Some(who) => format!("{who} {what} the {}", access.scope.kind),
        None => event.to_owned(),
    }
}
