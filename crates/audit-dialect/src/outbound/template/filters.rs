//! The filters and tests of a template. Each counts what it handles.
//!
//! `json` (a value as JSON text) · `default(x)` (x for what is undefined, null or empty) · `upper` · `lower` · `length` ·
//! `truncate(n)` (n characters at most, with `…` where it cut) · `join(x)` · `items` (pairs of a map) · `epoch` (seconds
//! since 1970 of a time) · `mrkdwn` (text for Slack) · `tag` (a tag's value for Datadog) · `urlencode`.
//!
//! Tests: `defined` · `none` · `containing(x)` (a text that holds the text x, a list that has it).

use audit_record::Timestamp;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::context;
use super::write::{self, Digits};

/// Longest value of a tag that Datadog keeps, in characters.
const TAG_CHARS_MAX: usize = 200;

/// Gives a template what it may call.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("json", json);
    environment.add_filter("default", default);
    environment.add_filter("upper", |state: &State<'_, '_>, value: &Value| {
        text(state, value).map(|text| text.to_uppercase())
    });
    environment.add_filter("lower", |state: &State<'_, '_>, value: &Value| {
        text(state, value).map(|text| text.to_lowercase())
    });
    environment.add_filter("length", length);
    environment.add_filter("truncate", truncate);
    environment.add_filter("join", join);
    environment.add_filter("items", items);
    environment.add_filter("epoch", epoch);
    environment.add_filter("mrkdwn", |state: &State<'_, '_>, value: &Value| {
        let text = text(state, value)?;
        Ok::<_, Error>(text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
    });
    environment.add_filter("tag", tag);
    environment.add_filter("urlencode", |state: &State<'_, '_>, value: &Value| {
        let text = text(state, value)?;
        Ok::<_, Error>(utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string())
    });
    environment.add_test("defined", |value: &Value| !value.is_undefined());
    environment.add_test("none", |value: &Value| value.is_none());
    environment.add_test("containing", containing);
}

/// The text that a filter is given; a number as its digits, null as nothing. Anything else is refused.
fn text(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let text = match (value.as_str(), value.kind()) {
        (Some(text), _) => text.to_owned(),
        (None, ValueKind::None) => String::new(),
        (None, ValueKind::Number | ValueKind::Bool | ValueKind::Plain) => value.to_string(),
        (None, ValueKind::Undefined) => return Err(Error::from(ErrorKind::UndefinedError)),
        (None, kind) => return Err(refused(format!("a text is needed, not a {kind}: use |json"))),
    };
    handle(state, text.len())?;
    Ok(text)
}

/// Counts what a filter handles. Nothing is something, too: a list may be of many empty texts.
fn handle(state: &State<'_, '_>, bytes: usize) -> Result<(), Error> {
    match context::progress(state) {
        Some(progress) if progress.may_handle(1 + bytes) => Ok(()),
        _ => Err(refused("the filters were given too much in all: filter less of the record")),
    }
}

fn refused(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.into())
}

fn json(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let mut out = Counted { state, out: String::new() };
    write::json(&mut out, value).map_err(|_| refused("the filters were given too much in all"))?;
    Ok(out.out)
}

/// Text under writing that stops when it is too much.
struct Counted<'s, 't, 'e> {
    state: &'s State<'t, 'e>,
    out: String,
}

impl std::fmt::Write for Counted<'_, '_, '_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        handle(self.state, text.len()).map_err(|_| std::fmt::Error)?;
        self.out.push_str(text);
        Ok(())
    }
}

fn default(value: &Value, other: &Value) -> Value {
    let is_nothing = value.is_undefined() || value.is_none() || value.as_str() == Some("");
    if is_nothing { other.clone() } else { value.clone() }
}

fn length(state: &State<'_, '_>, value: &Value) -> Result<usize, Error> {
    handle(state, value.as_str().map_or(1, str::len))?;
    value.len().ok_or_else(|| refused(format!("a {} has no length", value.kind())))
}

fn truncate(state: &State<'_, '_>, value: &Value, chars: usize) -> Result<String, Error> {
    let mut text = text(state, value)?;
    // The last of the characters is the mark that more followed.
    if text.chars().count() > chars {
        let end = text.char_indices().nth(chars.saturating_sub(1)).map_or(0, |(at, _)| at);
        text.truncate(end);
        if chars > 0 {
            text.push('…');
        }
    }
    Ok(text)
}

fn join(state: &State<'_, '_>, value: &Value, between: &str) -> Result<String, Error> {
    let mut out = String::new();
    for (index, item) in value.try_iter()?.enumerate() {
        if index > 0 {
            handle(state, between.len())?;
            out.push_str(between);
        }
        out.push_str(&text(state, &item)?);
    }
    Ok(out)
}

fn containing(state: &State<'_, '_>, value: &Value, part: &str) -> Result<bool, Error> {
    handle(state, part.len())?;
    if value.kind() != ValueKind::Seq {
        return text(state, value).map(|text| text.contains(part));
    }
    for item in value.try_iter()? {
        let item = item.as_str();
        handle(state, item.map_or(0, str::len))?;
        if item == Some(part) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn items(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Map {
        return Err(refused(format!("a map has items, a {} has none", value.kind())));
    }
    let mut pairs = Vec::new();
    for key in value.try_iter()? {
        handle(state, key.as_str().map_or(1, str::len))?;
        pairs.push(Value::from(vec![key.clone(), value.get_item(&key)?]));
    }
    Ok(Value::from(pairs))
}

fn epoch(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let text = text(state, value)?;
    let at = Timestamp::parse(&text).map_err(|_| refused("epoch needs a time"))?;
    let (seconds, micros) = (at.micros().div_euclid(1_000_000), at.micros().rem_euclid(1_000_000));
    Ok(Value::from_object(Digits(format!("{seconds}.{micros:06}"))))
}

fn tag(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let text = text(state, value)?.to_lowercase();
    let shape = |c: char| if c.is_alphanumeric() || "_-./".contains(c) { c } else { '_' };
    Ok(text.chars().take(TAG_CHARS_MAX).map(shape).collect())
}
