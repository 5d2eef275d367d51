//! A record as columns need it, borrowed from its bytes.
//!
//! It was checked before it was appended, so nothing is checked again: what columns show is read, objects that a column
//! shows whole are kept as the text that they are, and everything else is passed over. `json` keeps all of it.

use std::borrow::Cow;

use audit_record::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A string, borrowed where it holds no escapes.
#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A moment, parsed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        Timestamp::parse(text.as_str()).map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct RecordView<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    pub(crate) occurred_at: Moment,
    pub(crate) recorded_at: Moment,
    #[serde(borrow)]
    pub(crate) action: Text<'a>,
    #[serde(borrow)]
    pub(crate) log: Text<'a>,
    #[serde(borrow)]
    pub(crate) author: PersonView<'a>,
    #[serde(borrow)]
    pub(crate) organisation: ThingView<'a>,
    #[serde(borrow)]
    pub(crate) project: Option<ThingView<'a>>,
    #[serde(borrow)]
    pub(crate) environment: Option<ThingView<'a>>,
    #[serde(borrow)]
    pub(crate) flag: Option<ThingView<'a>>,
    #[serde(borrow)]
    pub(crate) target: Option<ThingView<'a>>,
    #[serde(borrow)]
    pub(crate) related_object_type: Text<'a>,
    #[serde(borrow)]
    pub(crate) related_object: Option<ThingView<'a>>,
    #[serde(borrow)]
    pub(crate) change: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) access: Option<AccessView<'a>>,
    #[serde(borrow)]
    pub(crate) approval: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) ticket: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) request: Option<RequestView<'a>>,
    #[serde(borrow)]
    pub(crate) source: SourceView<'a>,
    #[serde(borrow)]
    pub(crate) attributes: Option<&'a RawValue>,
}

/// Whatever has an id, a key and a name.
#[derive(Debug, Deserialize)]
pub(crate) struct ThingView<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) uuid: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) key: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
}

/// An author, or whom an access change is about.
#[derive(Debug, Deserialize)]
pub(crate) struct PersonView<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) email: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AccessView<'a> {
    #[serde(borrow)]
    pub(crate) subject: PersonView<'a>,
    #[serde(borrow)]
    pub(crate) scope: ThingView<'a>,
    #[serde(borrow)]
    pub(crate) role: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) effect: Text<'a>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RequestView<'a> {
    #[serde(borrow)]
    pub(crate) ip: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) user_agent: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) request_id: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SourceView<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) system: Text<'a>,
    #[serde(borrow)]
    pub(crate) event: Text<'a>,
    #[serde(borrow)]
    pub(crate) delivery_id: Option<Text<'a>>,
    pub(crate) received_at: Moment,
    #[serde(borrow)]
    pub(crate) authenticated: Text<'a>,
}
