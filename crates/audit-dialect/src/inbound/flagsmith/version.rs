//! NEW_VERSION_PUBLISHED: a version of a flag's settings went live in one environment. It names neither
//! environment nor project nor time, and does not say which of its states are a segment's.

use audit_record::{Change, Draft, ObjectRef, Ref};
use serde_json::Value;

use super::envelope::Envelope;
use super::{author, flag_state};
use crate::inbound::Refusal;
use crate::inbound::hints::HandleIs;
use crate::inbound::intake::{Intake, action};
use crate::inbound::json::{reference, take_read, text};

pub(super) fn translate(intake: &Intake<'_>, envelope: Envelope) -> Result<Draft, Refusal> {
    let Envelope { event, mut data, .. } = envelope;
    let uuid = data.remove("uuid").as_ref().and_then(text);
    let flag = data.get("feature").and_then(reference);
    let flag = flag.ok_or_else(|| Refusal::new(format!("{event} names no feature: which flag changed?")))?;
    let project = intake.require_project(None, HandleIs::Id, &event)?;
    let (author, user) = author::from_user(data.remove("published_by"));
    let name = flag.name.clone();
    let mut draft = Draft {
        // One version is published once, however often Flagsmith says so.
        id: uuid.as_deref().map(|uuid| intake.id_from("version", uuid)),
        action: Some(action("flag.version.published")),
        log: Some(format!(
            "New version published for feature: {}",
            name.as_deref().or(flag.id.as_deref()).unwrap_or_default()
        )),
        occurred_at: Some(intake.received_at()),
        author: Some(author),
        project: Some(project),
        environment: intake.environment(None, HandleIs::Id),
        flag: Some(flag),
        related_object_type: Some("EF_VERSION".to_owned()),
        related_object: ObjectRef { uuid, what: Ref { name, ..Ref::default() } },
        ..intake.draft(&event)
    };
    if let Some(Value::Array(states)) = data.get("feature_states") {
        draft.change = Some(Change::between(None, Some(flag_state::settings(states))));
        if states.iter().all(|state| flag_state::leftover(state).is_empty()) {
            data.remove("feature_states");
        }
    }
    take_read(&mut data, "feature", &["id", "name"]);
    if !user.is_empty() {
        draft.attributes.insert("published_by".to_owned(), Value::Object(user));
    }
    draft.attributes.extend(data);
    Ok(draft)
}
