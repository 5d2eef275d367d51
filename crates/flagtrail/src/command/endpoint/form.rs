//! What an endpoint is made of, as flags.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::super::Context;
use super::super::filter::{FilterArgs, moment};
use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::print;

pub(super) const EXAMPLES: &str = "Examples:
  flagtrail endpoint create https://cache.example/hook --name cache --preset cache
  flagtrail endpoint create https://siem.example/hook --name siem --preset audit --start earliest
  flagtrail endpoint create https://x.example/hook --events 'flag.*' --project shop --header-file Authorization=token
  flagtrail endpoint create https://old.example/hook --format flagsmith --method POST

A failed delivery is tried again after 1s, 5s, 30s, 2m, 10m, 30m, 2h, 5h, 10h, 14h, 20h and 24h.";

pub(super) const UPDATE_EXAMPLES: &str = "Examples:
  flagtrail endpoint update cache --url https://cache2.example/hook
  flagtrail endpoint update cache --max-in-flight 4 --rate-limit 50
  flagtrail endpoint update cache --start 2026-11-01      deliver everything since then again";

/// A new endpoint.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Where to deliver
    url: String,
    #[command(flatten)]
    choices: Choices,
}

/// What may be chosen. What is left out is the default of a new endpoint, and stays in one that is changed.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Choices {
    /// What people call it; a new one is called by its URL's host unless told otherwise
    #[arg(long)]
    name: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// POST, PUT, PATCH, or GET with the body in the query parameter json
    #[arg(long)]
    method: Option<String>,
    /// A header to send, its value read from a file: Authorization=./token; may be repeated
    #[arg(long, value_name = "NAME=FILE")]
    header_file: Vec<String>,
    /// A header to send, its value given here, where other users of this machine may see it
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// cache (flag.* in order, bursts collapsed, no old retries) or audit (everything, never disabled by itself)
    #[arg(long)]
    preset: Option<String>,
    /// The body: the name of a format, or @FILE with a format as JSON; `flagtrail endpoint preview` shows it
    #[arg(long, value_name = "NAME|@FILE")]
    format: Option<String>,
    /// Which actions: exact, 'flag.*' or '*'
    #[arg(long, value_delimiter = ',')]
    events: Vec<String>,
    /// Each project's records in order: true or false
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    ordered: Option<bool>,
    /// One delivery for a burst of changes to one flag in one environment, so long after the first: 2s; not in the
    /// format of a platform
    #[arg(long, value_name = "DURATION")]
    collapse: Option<String>,
    /// No retry of a record older than this
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
    /// Most deliveries begun in a second
    #[arg(long, value_name = "NUMBER")]
    rate_limit: Option<u32>,
    /// Most deliveries in flight
    #[arg(long, value_name = "NUMBER")]
    max_in_flight: Option<u32>,
    /// How long one delivery may take
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// File with a signing secret, whsec_…; one is made up for a new endpoint; may be repeated during a rotation
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// File with the authorities that the endpoint's certificate is signed by, in PEM, in place of the machine's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// File with the certificate to show to the endpoint, in PEM
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    client_certificate_file: Option<PathBuf>,
    /// File with that certificate's key, in PEM
    #[arg(long, value_name = "FILE", requires = "client_certificate_file")]
    client_key_file: Option<PathBuf>,
    /// Where to begin: now, earliest, or a time
    #[arg(long)]
    start: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
}

impl Choices {
    /// As the body of a request: what was given.
    pub(super) fn to_json(&self) -> Result<Value> {
        let mut body = Map::new();
        let mut give = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(field.to_owned(), value);
            }
        };
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        give("name", text(&self.name));
        give("description", text(&self.description));
        give("method", text(&self.method));
        give("preset", text(&self.preset));
        give("format", self.format.as_deref().map(format).transpose()?);
        give("events", (!self.events.is_empty()).then(|| json!(self.events)));
        give("ordered", self.ordered.map(Value::from));
        give(
            "collapse",
            self.collapse.as_ref().map(|window| json!({"by": "flag+environment", "window": window})),
        );
        give("max_age", text(&self.max_age));
        give("rate_limit_per_second", self.rate_limit.map(Value::from));
        give("max_in_flight", self.max_in_flight.map(Value::from));
        give("timeout", text(&self.timeout));
        give("start", self.start.as_deref().map(start).transpose()?);
        let filter = self.filter.to_json();
        give("filter", filter.as_object().is_some_and(|filter| !filter.is_empty()).then_some(filter));
        if !self.header.is_empty() || !self.header_file.is_empty() {
            give("headers", Some(self.headers()?));
        }
        if !self.secret_file.is_empty() {
            let secrets: Result<Vec<String>> = self.secret_file.iter().map(read).collect();
            give("secrets", Some(json!(secrets?)));
        }
        give("tls", self.tls()?);
        Ok(Value::Object(body))
    }

    fn tls(&self) -> Result<Option<Value>> {
        let mut tls = Map::new();
        let files = [
            ("ca", &self.ca_file),
            ("client_certificate", &self.client_certificate_file),
            ("client_key", &self.client_key_file),
        ];
        for (field, file) in files {
            if let Some(file) = file {
                tls.insert(field.to_owned(), json!(read(file)?));
            }
        }
        Ok((!tls.is_empty()).then_some(Value::Object(tls)))
    }

    fn headers(&self) -> Result<Value> {
        let mut headers = Map::new();
        for given in &self.header {
            let (name, value) = pair(given)?;
            headers.insert(name.to_owned(), json!(value));
        }
        for given in &self.header_file {
            let (name, file) = pair(given)?;
            headers.insert(name.to_owned(), json!(read(&PathBuf::from(file))?));
        }
        Ok(Value::Object(headers))
    }
}

/// Makes the endpoint and prints its secret.
pub(super) async fn create(context: &Context, client: &Client, create: &Create) -> Result<()> {
    let mut body = create.choices.to_json()?;
    body["url"] = json!(create.url);
    if body["name"].is_null() {
        body["name"] = json!(create.url.split('/').nth(2).unwrap_or("endpoint"));
    }
    let made = client.send(Method::POST, "/v1/endpoints", &body).await?;
    if context.json {
        return print::json(&made);
    }
    print::line(&format!(
        "endpoint {} ({}); its deliveries are signed with this secret, which is not shown again:",
        print::cell(&made["id"]),
        print::cell(&made["name"])
    ))?;
    print::line(&print::cell(&made["secret"]))
}

/// A format by its name, or the JSON in a file.
pub(super) fn format(text: &str) -> Result<Value> {
    let Some(file) = text.strip_prefix('@') else { return Ok(json!(text)) };
    let json = std::fs::read(file).with_context(|| format!("the format in {file} can't be read"))?;
    serde_json::from_slice(&json)
        .map_err(|error| Stop::error(Exit::Usage, format!("the format in {file} is no JSON: {error}")))
}

/// Now and earliest as they are; every other moment as a time.
fn start(text: &str) -> Result<Value> {
    if matches!(text, "now" | "earliest") {
        return Ok(json!(text));
    }
    let moment = moment(text).map_err(|problem| Stop::error(Exit::Usage, format!("--start {problem}")))?;
    Ok(json!(moment.to_string()))
}

fn pair(given: &str) -> Result<(&str, &str)> {
    given.split_once('=').ok_or_else(|| {
        Stop::error(Exit::Usage, format!("{given:?} must be a header's name, =, and its value or file"))
    })
}

fn read(file: &PathBuf) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
