//! The word for a body in an endpoint's settings, with what belongs to it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::rendered::InvalidFormat;

/// What is sent of a record. In settings its name, `"flagsmith"`, or an object with the name and what the format
/// asks for: `{"format": "mozhno", "template": "…"}`. See [`BodyFormat::from_value`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "kebab-case", deny_unknown_fields)]
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
    /// The name of every format.
    pub const NAMES: [&'static str; 16] = [
        "standard-webhooks",
        "record",
        "cloudevents-structured",
        "cloudevents-binary",
        "flagsmith",
        "flagsmith-audit",
        "zenmanage",
        "abtasty",
        "unleash",
        "mozhno",
        "template",
        "slack",
        "teams",
        "splunk-hec",
        "datadog",
        "none",
    ];

    /// Reads a format as settings have it: its name, or an object with `format` and what the format asks for. A `_` in
    /// a name counts as `-`.
    /// Whether a template is one is found by [`Renderer::try_new`](super::Renderer::try_new).
    pub fn from_value(value: &Value) -> Result<Self, InvalidFormat> {
        let mut whole = match value {
            Value::String(_) => json!({ "format": value }),
            Value::Object(_) => value.clone(),
            _ => {
                return Err(InvalidFormat::new(
                    "a format is its name, or an object with format and what it asks for",
                ));
            }
        };
        let name = whole.get("format").and_then(Value::as_str).unwrap_or_default().replace('_', "-");
        if !Self::NAMES.contains(&name.as_str()) {
            return Err(InvalidFormat::new(format!(
                "there is no format {name:?}; there are {}",
                Self::NAMES.join(", ")
            )));
        }
        let other =
            whole.as_object().into_iter().flat_map(|fields| fields.keys()).find(|field| *field != "format");
        if let (Some(other), false) = (other, matches!(name.as_str(), "mozhno" | "template")) {
            return Err(InvalidFormat::new(format!("the format {name} has no {other}: leave it out")));
        }
        whole["format"] = name.as_str().into();
        serde_json::from_value(whole)
            .map_err(|error| InvalidFormat::new(format!("the format {name} can't be read: {error}")))
    }

    /// The word for it in settings.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
            Self::Record => "record",
            Self::CloudeventsStructured => "cloudevents-structured",
            Self::CloudeventsBinary => "cloudevents-binary",
            Self::Flagsmith => "flagsmith",
            Self::FlagsmithAudit => "flagsmith-audit",
            Self::Zenmanage => "zenmanage",
            Self::Abtasty => "abtasty",
            Self::Unleash => "unleash",
            Self::Mozhno { .. } => "mozhno",
            Self::Template { .. } => "template",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::SplunkHec => "splunk-hec",
            Self::Datadog => "datadog",
            Self::None => "none",
        }
    }
}
