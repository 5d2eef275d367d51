//! What Flagsmith's "test webhook" buttons send: an invented change in an invented project. It becomes a
//! record of the test, not of that change: somebody who asks who changed a flag must not find it.

use audit_record::{Author, AuthorKind, Draft};
use serde_json::Value;

use super::envelope::{Envelope, Shape};
use crate::inbound::hints::HandleIs;
use crate::inbound::intake::{Intake, action};

/// The sample of an organisation's webhook is the only audit entry without an id that says this then.
const SAMPLE_CREATED_DATE: &str = "2020-02-23T17:30:57.006318Z";
const SAMPLE_LOG: &str = "New Flag / Remote Config created: my_feature";

/// The names in the sample of an environment's webhook. Its time has been a fixed one and an empty one.
const SAMPLE_FLAG: &str = "test_feature";
const SAMPLE_PROJECT: &str = "Test Project";
const SAMPLE_TIMESTAMPS: &[&str] = &["2021-06-18T07:50:26.595298Z", ""];

/// Whether this is one of the samples.
pub(super) fn is_test(envelope: &Envelope) -> bool {
    let data = &envelope.data;
    let says = |field: &str, sample: &str| data.get(field).and_then(Value::as_str) == Some(sample);
    match envelope.shape {
        Shape::Audit => {
            data.get("id").is_none() && says("created_date", SAMPLE_CREATED_DATE) && says("log", SAMPLE_LOG)
        }
        Shape::State => {
            let state = ["new_state", "previous_state"].iter().filter_map(|name| data.get(*name));
            let feature = state.filter_map(|state| state.get("feature")).next();
            let name = |thing: Option<&Value>| {
                thing.and_then(|t| t.get("name")).and_then(Value::as_str).map(str::to_owned)
            };
            SAMPLE_TIMESTAMPS.iter().any(|sample| says("timestamp", sample))
                && name(feature).as_deref() == Some(SAMPLE_FLAG)
                && name(feature.and_then(|f| f.get("project"))).as_deref() == Some(SAMPLE_PROJECT)
        }
        Shape::Version => false,
    }
}

/// The record of the test. It has no derived id: every press of the button sends the same bytes.
pub(super) fn translate(intake: &Intake<'_>, envelope: Envelope) -> Draft {
    let Envelope { event, data, .. } = envelope;
    let mut draft = Draft {
        action: Some(action("webhook.test")),
        log: Some(format!("Flagsmith sent a test request ({event})")),
        occurred_at: Some(intake.received_at()),
        author: Some(Author::new(AuthorKind::Unknown)),
        project: intake.project(None, HandleIs::Id),
        environment: intake.environment(None, HandleIs::Id),
        related_object_type: Some("WEBHOOK".to_owned()),
        ..intake.draft(&event)
    };
    draft.attributes.insert("sample".to_owned(), Value::Object(data));
    draft
}
