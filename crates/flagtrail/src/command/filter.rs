//! The flags that choose records, shared by query, tail and export.

use audit_record::{Timestamp, parse_moment};
use chrono::Utc;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

/// Which records. A flag given twice means either value; different flags must all fit. Things match by id,
/// key or name, authors by id, e-mail or name.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Which records")]
pub(crate) struct FilterArgs {
    /// Flag
    #[arg(long)]
    pub(crate) flag: Vec<String>,
    /// Project
    #[arg(long)]
    project: Vec<String>,
    /// Environment
    #[arg(long)]
    environment: Vec<String>,
    /// Organisation
    #[arg(long)]
    organisation: Vec<String>,
    /// Who made the change
    #[arg(long)]
    author: Vec<String>,
    /// Action, such as flag.state.changed or 'flag.*'
    #[arg(long)]
    action: Vec<String>,
    /// Kind of object, such as FEATURE or SEGMENT
    #[arg(long)]
    related_object_type: Vec<String>,
    /// Object, by id, uuid, key or name
    #[arg(long)]
    object: Vec<String>,
    /// Source that it came from
    #[arg(long)]
    source: Vec<String>,
}

/// Which period of event time.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "When")]
pub(crate) struct PeriodArgs {
    /// From this moment on: a time, a day, or how long ago (7d, 12h)
    #[arg(long, value_parser = moment)]
    pub(crate) from: Option<Timestamp>,
    /// Before this moment
    #[arg(long, value_parser = moment)]
    pub(crate) to: Option<Timestamp>,
}

/// A moment as of now.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let now = Timestamp::try_new(Utc::now()).map_err(|error| format!("the clock is wrong: it {error}"))?;
    parse_moment(text, now).map_err(|error| error.to_string())
}

impl FilterArgs {
    fn lists(&self) -> [(&'static str, &Vec<String>); 9] {
        [
            ("flag", &self.flag),
            ("project", &self.project),
            ("environment", &self.environment),
            ("organisation", &self.organisation),
            ("author", &self.author),
            ("action", &self.action),
            ("related_object_type", &self.related_object_type),
            ("object", &self.object),
            ("source", &self.source),
        ]
    }

    /// As query parameters.
    pub(crate) fn parameters(&self, out: &mut Parameters) {
        for (name, values) in self.lists() {
            values.iter().for_each(|value| out.add(name, value));
        }
    }

    /// As the filter of a JSON body.
    pub(crate) fn to_json(&self) -> Value {
        let given = self.lists().into_iter().filter(|(_, values)| !values.is_empty());
        Value::Object(given.map(|(name, values)| (name.to_owned(), json!(values))).collect::<Map<_, _>>())
    }
}

/// Query parameters in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters(String);

impl Parameters {
    /// Adds one.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
    }

    /// Adds one if there is a value.
    pub(crate) fn add_some(&mut self, name: &str, value: Option<&impl ToString>) {
        if let Some(value) = value {
            self.add(name, &value.to_string());
        }
    }

    /// `?a=b&c=d`, or nothing.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
