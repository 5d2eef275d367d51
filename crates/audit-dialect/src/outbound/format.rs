//! The word for a body in an endpoint's settings, with what belongs to it.

use serde::{Deserialize, Serialize};

/// What is sent of a record. In settings an object with `format` and what the format asks for:
/// `{"format": "flagsmith"}`, `{"format": "mozhno", "template": "…"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case", deny_unknown_fields)]
pub enum BodyFormat {
    /// Standard Webhooks: `{"type", "timestamp", "data"}`, the record spliced in as it stands on the log.
    #[default]
    StandardWebhooks,
    /// The record alone, byte for byte as it stands on the log.
    Record,
    /// CloudEvents 1.0 over HTTP, structured: one object with the attributes and the record as `data`.
    CloudeventsStructured,
    /// CloudEvents 1.0 over HTTP, binary: the attributes as `ce-…` headers, the record as the body.
    CloudeventsBinary,
    /// Flagsmith's four events, as its webhooks send them.
    Flagsmith,
    /// Flagsmith's audit entry without the envelope, as its documentation shows it.
    FlagsmithAudit,
    /// Zenmanage's four events.
    Zenmanage,
    /// AB Tasty's flat body.
    Abtasty,
    /// An event of Unleash's log.
    Unleash,
    /// The body that a template of можно makes.
    Mozhno {
        /// With `{{events.…}}` or `[[events.…]]` for the ten variables; absent or empty: no body is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<String>,
        /// How values are written into it.
        #[serde(default, skip_serializing_if = "Escape::is_default")]
        escape: Escape,
    },
    /// A template of one's own, in the language of Jinja.
    Template {
        /// The text, with `{{ … }}` for values and `{% if %}`, `{% for %}`.
        template: String,
        /// The media type of what it makes; `application/json` where it is left out, and then only valid
        /// JSON is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content_type: Option<String>,
    },
    /// A message for an incoming webhook of Slack.
    Slack,
    /// An adaptive card for a workflow webhook of Microsoft Teams.
    Teams,
    /// An event for Splunk's HTTP Event Collector. Its token goes into the endpoint's `authorization` header.
    SplunkHec,
    /// A log line for Datadog's intake. Its key goes into the endpoint's `dd-api-key` header.
    Datadog,
    /// No body.
    None,
}

/// How values are written into a template of можно.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escape {
    /// As JSON asks: the template must make JSON, and whatever a name holds, it does.
    #[default]
    Json,
    /// As they are, as можно does it: for a body that is no JSON.
    None,
}

impl Escape {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl BodyFormat {
    /// The word for it in settings.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard_webhooks",
            Self::Record => "record",
            Self::CloudeventsStructured => "cloudevents_structured",
            Self::CloudeventsBinary => "cloudevents_binary",
            Self::Flagsmith => "flagsmith",
            Self::FlagsmithAudit => "flagsmith_audit",
            Self::Zenmanage => "zenmanage",
            Self::Abtasty => "abtasty",
            Self::Unleash => "unleash",
            Self::Mozhno { .. } => "mozhno",
            Self::Template { .. } => "template",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::SplunkHec => "splunk_hec",
            Self::Datadog => "datadog",
            Self::None => "none",
        }
    }
}
