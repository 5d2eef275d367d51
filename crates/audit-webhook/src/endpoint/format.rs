//! How the body of a delivery looks.

use audit_dialect::outbound::{BodyFormat, Carry, Renderer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SendMethod;

/// The field of a format that says which one it is.
const NAME: &str = "format";

/// A format: by its name alone (`"flagsmith"`), or as an object with what it asks for
/// (`{"format": "template", "template": "…"}`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Format(BodyFormat);

impl Format {
    /// Most bytes of a format, as JSON.
    const BYTES_MAX: usize = 64 * 1024;

    /// What it is.
    pub fn body(&self) -> &BodyFormat {
        &self.0
    }

    /// The same, ready to render deliveries made by `method`. The text says what is wrong and how to mend it.
    pub(crate) fn renderer(&self, method: SendMethod) -> Result<Renderer, String> {
        if Value::from(self.clone()).to_string().len() > Self::BYTES_MAX {
            return Err(format!("must be at most {} bytes", Self::BYTES_MAX));
        }
        let carry = if method == SendMethod::Get { Carry::Query } else { Carry::Body };
        Renderer::try_new(&self.0, carry).map_err(|error| format!("can't be used: {error}"))
    }

    /// Whether it says what happened in another platform's words. Such a format may have none for a record, and then
    /// nothing is sent of it.
    pub(crate) fn is_of_a_platform(&self) -> bool {
        match self.0 {
            BodyFormat::Flagsmith
            | BodyFormat::FlagsmithAudit
            | BodyFormat::Zenmanage
            | BodyFormat::Abtasty
            | BodyFormat::Unleash
            | BodyFormat::Mozhno { .. } => true,
            BodyFormat::StandardWebhooks
            | BodyFormat::Record
            | BodyFormat::CloudeventsStructured
            | BodyFormat::CloudeventsBinary
            | BodyFormat::Template { .. }
            | BodyFormat::Slack
            | BodyFormat::Teams
            | BodyFormat::SplunkHec
            | BodyFormat::Datadog
            | BodyFormat::None => false,
        }
    }

    /// Whether its platform signs in a header of its own, with a secret that is any text.
    pub(crate) fn has_signature(&self) -> bool {
        matches!(self.0, BodyFormat::Flagsmith | BodyFormat::FlagsmithAudit)
    }
}

impl TryFrom<Value> for Format {
    type Error = String;
    fn try_from(value: Value) -> Result<Self, String> {
        BodyFormat::from_value(&value).map(Self).map_err(|error| error.to_string())
    }
}

impl From<Format> for Value {
    fn from(format: Format) -> Self {
        let mut value = serde_json::to_value(format.0).expect("a format of strings");
        match value.as_object_mut() {
            Some(fields) if fields.len() == 1 => fields.remove(NAME).unwrap_or(value),
            _ => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::{Format, SendMethod};

    #[rstest]
    #[case::by_name(json!("flagsmith"), json!("flagsmith"))]
    #[case::by_an_object_with_the_name_alone(json!({ "format": "record" }), json!("record"))]
    #[case::with_an_underscore(json!("splunk_hec"), json!("splunk-hec"))]
    #[case::with_a_template(
        json!({ "format": "mozhno", "template": "{}" }), json!({ "format": "mozhno", "template": "{}" })
    )]
    fn a_format_reads_back(#[case] written: Value, #[case] read: Value) {
        let format: Format = serde_json::from_value(written).expect("a format");
        assert_eq!(Value::from(format), read);
    }

    #[rstest]
    #[case::of_another_release(json!("carrier_pigeon"), "there are standard-webhooks, record")]
    #[case::no_format(json!(1), "a format is its name")]
    #[case::without_its_template(json!({ "format": "template" }), "missing field `template`")]
    #[case::with_what_it_does_not_ask_for(
        json!({ "format": "slack", "template": "{}" }), "the format slack has no template"
    )]
    fn what_is_no_format_is_refused_with_what_is_wrong(#[case] written: Value, #[case] words: &str) {
        let error = serde_json::from_value::<Format>(written).expect_err("no format").to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_template_that_is_none_is_refused_with_the_reason() {
        let broken = json!({ "format": "template", "template": "{{ log" });
        let format: Format = serde_json::from_value(broken).expect("a format");
        assert!(format.renderer(SendMethod::Post).expect_err("no template").starts_with("can't be used"));
    }
}
