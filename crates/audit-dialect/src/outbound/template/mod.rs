//! A template of one's own, in the language of Jinja, by minijinja.
//!
//! **What it may use.** `{{ … }}`, `{% if %}`, `{% for %}` and comments; the record's fields by their names
//! (`log`, `flag.key`, `author.email`, `change.after`, `attributes.…`) and the whole of it as `record`; the
//! filters and tests of [`filters`]. Nothing that could grow a value (`~`, `+`, `*`, `set`, macros) exists, and a value is
//! compared with what is written out alone, so what is bounded is bounded: see [`sandbox`].
//!
//! **Undefined.** A field that the record's schema has and a record lacks is null: written inside a string it is
//! nothing, elsewhere `null`, and an `if` takes it for false. A name that no record has is a mistake, and the delivery
//! fails with the name's line. Attributes are open: `attributes.x` may be asked with `if`, and written with
//! `|default("…")`.
//!
//! **JSON.** Where the media type is JSON, a value inside a string of the template is escaped for it, and one
//! outside becomes a JSON value with its quotes. What comes out is checked, and what is none is not sent.

mod context;
mod filters;
mod sandbox;
mod sink;
mod write;

use std::sync::Arc;

use audit_record::AuditRecord;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};

use super::rendered::{InvalidFormat, RenderError, Rendered};
use super::standard::JSON;
use sink::{Full, Sink};

/// Longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// Most that a template makes, in bytes: room for the largest record and a message around it.
const OUTPUT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Most steps of the engine in one rendering. A template that lists all 200 fields of a change takes a
/// tenth of it.
const STEPS_MAX: u64 = 50_000;

/// What the one template of an environment is called.
const NAME: &str = "template";

/// The ready-made template for an incoming webhook of Slack: `text` and `blocks`, and `&`, `<`, `>` escaped.
/// Shape: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>; a section's text has at
/// most 3,000 characters.
pub(super) const SLACK: &str = include_str!("../../../assets/templates/slack.json.j2");

/// The ready-made template for a workflow webhook of Microsoft Teams: a message with one adaptive card, because
/// workflows take no older cards. Shape:
/// <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>.
pub(super) const TEAMS: &str = include_str!("../../../assets/templates/teams.json.j2");

/// The ready-made template for Splunk's HTTP Event Collector: metadata, and the record under `event`; `time` in
/// seconds since 1970. Shape:
/// <https://docs.splunk.com/Documentation/Splunk/latest/Data/FormateventsforHTTPEventCollector>.
pub(super) const SPLUNK_HEC: &str = include_str!("../../../assets/templates/splunk_hec.json.j2");

/// The ready-made template for Datadog's intake of logs: a list of one. Shape:
/// <https://docs.datadoghq.com/api/latest/logs/#send-logs>; Datadog cuts a line beyond 1 MB.
pub(super) const DATADOG: &str = include_str!("../../../assets/templates/datadog.json.j2");

/// A template that can be filled.
#[derive(Clone, Debug)]
pub(super) struct Template {
    environment: Arc<Environment<'static>>,
    /// What it names of a record.
    names: Arc<[String]>,
    content_type: String,
    makes_json: bool,
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str, content_type: Option<&str>) -> Result<Self, InvalidFormat> {
        let content_type = content_type.unwrap_or(JSON);
        if !is_media_type(content_type) {
            return Err(InvalidFormat::new(format!(
                "content_type must be a media type such as text/plain, not {content_type:?}"
            )));
        }
        if text.len() > TEMPLATE_BYTES_MAX {
            let bytes = text.len();
            return Err(InvalidFormat::new(format!(
                "the template has {bytes} bytes, {TEMPLATE_BYTES_MAX} are allowed"
            )));
        }
        sandbox::check(text).map_err(|refusal| InvalidFormat::new(refusal.to_string()))?;
        let makes_json = is_json(content_type);
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_fuel(Some(STEPS_MAX));
        environment.set_formatter(if makes_json { write::as_json } else { write::as_text });
        filters::add(&mut environment);
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| {
            let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
            InvalidFormat::new(format!("the template can't be read{line}: {}", problem(&error)))
        })?;
        let names = environment.get_template(NAME).map(|template| template.undeclared_variables(false));
        let mut names: Vec<String> = names.into_iter().flatten().collect();
        names.sort();
        if let Some(name) = names.iter().find(|name| !context::is_name(name)) {
            return Err(InvalidFormat::new(format!(
                "no record has a field {name:?}: the fields are those of the record's schema, and record for the whole"
            )));
        }
        Ok(Self {
            environment: Arc::new(environment),
            names: names.into(),
            content_type: content_type.to_owned(),
            makes_json,
        })
    }

    /// Fills it from a record.
    pub(super) fn fill(&self, record: &AuditRecord) -> Result<Rendered, RenderError> {
        let template = self.environment.get_template(NAME).map_err(|error| failed(&error))?;
        let sink = Sink::new(OUTPUT_BYTES_MAX);
        let context = context::of(record, &self.names, sink.progress());
        let mut out = sink;
        template.render_captured_to(context, &mut out).map_err(|error| match out.full() {
            Some(Full { bytes }) => RenderError::TooLarge { bytes },
            None => failed(&error),
        })?;
        let body = out.into_bytes();
        if self.makes_json {
            serde_json::from_slice::<serde::de::IgnoredAny>(&body)
                .map_err(|error| RenderError::NotJson(error.to_string()))?;
        }
        Ok(Rendered {
            event: record.action().to_string(),
            content_type: Some(self.content_type.clone()),
            body: Some(body.into()),
            ..Rendered::default()
        })
    }
}

fn failed(error: &minijinja::Error) -> RenderError {
    match error.kind() {
        ErrorKind::OutOfFuel => RenderError::TooManySteps { steps: STEPS_MAX },
        _ => RenderError::Template { line: error.line(), problem: problem(error) },
    }
}

/// What the engine says, without the name that we gave the template.
fn problem(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// `type/subtype`, with parameters or without.
fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let essence = text.split(';').next().unwrap_or_default().trim();
    printable && essence.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
}

/// Whether a media type is JSON by its name or its suffix.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == JSON || essence.ends_with("+json")
}
