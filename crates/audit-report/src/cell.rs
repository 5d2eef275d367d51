//! What stands in one field of a report's row.

use audit_record::Timestamp;
use serde_json::{Value, json};

use crate::definition::Kind;

/// One value. Which kinds a column holds is its [`Kind`]; any may be [`Cell::None`], which says: not known, or does not
/// apply.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing is known, or nothing applies.
    None,
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction, such as hours or percent.
    Number(f64),
    /// Yes or no.
    Bool(bool),
    /// A moment.
    Time(Timestamp),
    /// Several texts.
    List(Vec<String>),
}

/// What stands between the entries of a list where a format has no lists.
const LIST_SEPARATOR: &str = "; ";

impl Cell {
    /// Text, or nothing where there is none.
    pub fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::None, |text| Self::Text(text.into()))
    }

    /// A moment, or nothing.
    pub fn time(at: Option<Timestamp>) -> Self {
        at.map_or(Self::None, Self::Time)
    }

    /// A list; nothing where it is empty.
    pub fn list(entries: Vec<String>) -> Self {
        if entries.is_empty() { Self::None } else { Self::List(entries) }
    }

    /// Hours from one moment to another, to a hundredth.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a hundredth of an hour is 36 s, and years are 1e10 of them"
    )]
    pub fn hours(from: Timestamp, to: Timestamp) -> Self {
        let hours = (to.micros() - from.micros()) as f64 / 3_600e6;
        Self::Number((hours * 100.0).round() / 100.0)
    }

    /// How it reads where everything is text; `None` for [`Cell::None`].
    pub fn shown(&self) -> Option<String> {
        Some(match self {
            Self::None => return None,
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Self::Time(at) => at.to_string(),
            Self::List(entries) => entries.join(LIST_SEPARATOR),
        })
    }

    /// As JSON: moments as RFC 3339, nothing as `null`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Text(text) => json!(text),
            Self::Integer(number) => json!(number),
            Self::Number(number) => json!(number),
            Self::Bool(yes) => json!(yes),
            Self::Time(at) => json!(at.to_string()),
            Self::List(entries) => json!(entries),
        }
    }

    /// Back from JSON, in a column of that kind. What does not fit the kind is kept as text.
    pub fn from_json(value: &Value, kind: Kind) -> Self {
        match (kind, value) {
            (_, Value::Null) => Self::None,
            (_, Value::Bool(yes)) => Self::Bool(*yes),
            (Kind::Time, Value::String(text)) => {
                Timestamp::parse(text).map_or_else(|_| Self::Text(text.clone()), Self::Time)
            }
            (_, Value::String(text)) => Self::Text(text.clone()),
            (Kind::Number, Value::Number(number)) => number.as_f64().map_or(Self::None, Self::Number),
            (_, Value::Number(number)) => match number.as_i64() {
                Some(number) => Self::Integer(number),
                None => number.as_f64().map_or(Self::None, Self::Number),
            },
            (_, Value::Array(entries)) => {
                let text = |entry: &Value| entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
                Self::List(entries.iter().map(text).collect())
            }
            (_, other) => Self::Text(other.to_string()),
        }
    }

    /// About how many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(entries) => entries.iter().map(|entry| entry.len() + 24).sum(),
            _ => 0,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Cell {
    fn from(yes: bool) -> Self {
        Self::Bool(yes)
    }
}

impl From<Timestamp> for Cell {
    fn from(at: Timestamp) -> Self {
        Self::Time(at)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
