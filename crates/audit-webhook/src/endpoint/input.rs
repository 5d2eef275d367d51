//! What people write to make or change an endpoint, and its validation.

use std::collections::BTreeMap;

use audit_record::{ActionPattern, Filter, Violation};
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;

use super::{
    Collapse, Endpoint, EndpointTls, Format, HeaderSecret, InvalidSecret, Preset, SendMethod, SigningSecret,
    Span, Start,
};
use crate::send::Egress;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 2_048;
/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;
/// Most custom headers, and most bytes of them all.
const HEADERS_MAX: usize = 32;
const HEADER_BYTES_MAX: usize = 8_192;
/// Most action patterns.
const EVENTS_MAX: usize = 100;
/// Most bytes of a filter, as JSON.
const FILTER_BYTES_MAX: usize = 64 * 1024;
/// Most secrets: an old and a new one during a rotation, and room for one more.
pub(super) const SECRETS_MAX: usize = 3;
/// Most deliveries in flight that one endpoint may ask for, and what it gets without asking.
const IN_FLIGHT_MAX: u32 = 256;
const IN_FLIGHT_DEFAULT: u32 = 16;
/// Highest rate that can be asked for, in deliveries a second.
const RATE_MAX: u32 = 100_000;
/// Shortest, default and longest time for one delivery.
const TIMEOUT_MIN: Span = Span::from_millis(100);
const TIMEOUT_DEFAULT: Span = Span::from_secs(30);
const TIMEOUT_MAX: Span = Span::from_secs(120);

/// Headers that are ours or the connection's to set.
const RESERVED_HEADERS: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "proxy-connection",
];
/// And whole families of them.
const RESERVED_PREFIXES: [&str; 2] = ["webhook-", "x-flagtrail-"];

/// A new endpoint, as the API and the command line take it. Only `name` and `url` must be given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewEndpoint {
    /// Unique among endpoints.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where deliveries go.
    pub url: String,
    /// POST unless told otherwise.
    pub method: Option<String>,
    /// Headers sent besides our own.
    pub headers: BTreeMap<String, HeaderSecret>,
    /// Which actions; all when left out.
    pub events: Vec<String>,
    /// Which records among those; all when left out.
    pub filter: Filter,
    /// Signing secrets, `whsec_…` or `whsk_…`; one is made up when left out.
    pub secrets: Vec<SigningSecret>,
    /// Certificates of its own; none when left out.
    pub tls: EndpointTls,
    /// What it is for: fills in what is left out.
    pub preset: Option<Preset>,
    /// How the body looks; Standard Webhooks when left out.
    pub format: Option<Format>,
    /// Each project's records in order; false when left out.
    pub ordered: Option<bool>,
    /// One delivery a burst; not in a platform's format.
    pub collapse: Option<Collapse>,
    /// The age at which retries end.
    pub max_age: Option<Span>,
    /// Most deliveries begun in a second, in all processes together.
    pub rate_limit_per_second: Option<u32>,
    /// Most deliveries in flight, in all processes together.
    pub max_in_flight: Option<u32>,
    /// How long one delivery may take.
    pub timeout: Option<Span>,
    /// Whether it delivers at once; true when left out.
    pub enabled: Option<bool>,
    /// Whether it is stopped for a while; false when left out.
    pub paused: Option<bool>,
    /// Where it begins; now when left out.
    pub start: Option<Start>,
}

/// A change of an endpoint: what is given replaces, what is left out stays. With `start` the endpoint is
/// moved: it begins anew there, and its progress so far no longer counts.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointUpdate {
    /// A new name.
    pub name: Option<String>,
    /// A new description.
    pub description: Option<String>,
    /// A new URL.
    pub url: Option<String>,
    /// A new method.
    pub method: Option<String>,
    /// New headers, all of them.
    pub headers: Option<BTreeMap<String, HeaderSecret>>,
    /// New action patterns, all of them.
    pub events: Option<Vec<String>>,
    /// A new filter.
    pub filter: Option<Filter>,
    /// New signing secrets, all of them.
    pub secrets: Option<Vec<SigningSecret>>,
    /// New certificates, all of them; `{}` for none.
    pub tls: Option<EndpointTls>,
    /// Another preset, which fills in what this change leaves out; null for none, which changes nothing else.
    #[serde(deserialize_with = "given")]
    pub preset: Option<Option<Preset>>,
    /// Another format.
    pub format: Option<Format>,
    /// Whether in order.
    pub ordered: Option<bool>,
    /// Another way to collapse; null for none.
    #[serde(deserialize_with = "given")]
    pub collapse: Option<Option<Collapse>>,
    /// Another rate; null for none.
    #[serde(deserialize_with = "given")]
    pub rate_limit_per_second: Option<Option<u32>>,
    /// A new age at which retries end; null for none.
    #[serde(deserialize_with = "given")]
    pub max_age: Option<Option<Span>>,
    /// A new bound.
    pub max_in_flight: Option<u32>,
    /// A new timeout.
    pub timeout: Option<Span>,
    /// On or off. Switched on again it resumes at its place.
    pub enabled: Option<bool>,
    /// Stopped for a while, or going on.
    pub paused: Option<bool>,
    /// Where to begin anew.
    pub start: Option<Start>,
}

/// Tells a field that is null from one that is not there.
fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// What people may choose, checked.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) url: Url,
    pub(crate) method: SendMethod,
    pub(crate) headers: Vec<(String, HeaderSecret)>,
    pub(crate) events: Vec<ActionPattern>,
    pub(crate) filter: Filter,
    pub(crate) secrets: Vec<SigningSecret>,
    pub(crate) tls: EndpointTls,
    pub(crate) preset: Option<Preset>,
    pub(crate) format: Format,
    pub(crate) ordered: bool,
    pub(crate) collapse: Option<Collapse>,
    pub(crate) max_age: Option<Span>,
    pub(crate) rate_limit_per_second: Option<u32>,
    pub(crate) max_in_flight: u32,
    pub(crate) timeout: Span,
    pub(crate) enabled: bool,
    pub(crate) paused: bool,
}

impl NewEndpoint {
    /// With what its preset fills in.
    pub(crate) fn filled_in(self) -> Self {
        let format = self.format.clone().unwrap_or_default();
        let Some(filling) = self.preset.map(|preset| preset.filling(&format)) else { return self };
        Self {
            events: if self.events.is_empty() { filling.events.unwrap_or_default() } else { self.events },
            ordered: self.ordered.or(filling.ordered),
            collapse: self.collapse.or(filling.collapse),
            max_age: self.max_age.or(filling.max_age),
            ..self
        }
    }

    /// Checks everything and names every problem at once.
    pub(crate) fn check(self, egress: &Egress) -> Result<Choices, Vec<Violation>> {
        let mut problems = Vec::new();
        let mut problem = |field: &str, text: String| problems.push(Violation::new(field, text));

        let name = self.name.trim().to_owned();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            problem("name", format!("must be 1 to {NAME_BYTES_MAX} bytes without control characters"));
        }
        if self.description.len() > DESCRIPTION_BYTES_MAX {
            problem("description", format!("must be at most {DESCRIPTION_BYTES_MAX} bytes"));
        }
        let url = check_url(&self.url, egress).map_err(|text| problem("url", text)).ok();
        let method = check_method(self.method.as_deref()).map_err(|text| problem("method", text)).ok();
        let headers = check_headers(self.headers, &mut problem);
        let events = check_events(self.events, &mut problem);
        if serde_json::to_vec(&self.filter).map_or(true, |json| json.len() > FILTER_BYTES_MAX) {
            problem("filter", format!("must be at most {FILTER_BYTES_MAX} bytes"));
        }
        let mut secrets = self.secrets;
        if secrets.len() > SECRETS_MAX {
            problem("secrets", format!("may be at most {SECRETS_MAX}"));
        }
        if secrets.is_empty() {
            secrets.push(SigningSecret::generate());
        }
        if let Err(violation) = self.tls.check() {
            problem(&violation.field, violation.problem);
        }
        let format = self.format.unwrap_or_default();
        if let Err(text) = format.renderer(method.unwrap_or_default()) {
            problem("format", text);
        }
        if !format.has_signature() && secrets.iter().any(SigningSecret::is_text) {
            problem("secrets", InvalidSecret.to_string());
        }
        let windows = Collapse::WINDOW_MIN..=Collapse::WINDOW_MAX;
        if self.collapse.is_some_and(|collapse| !windows.contains(&collapse.window)) {
            problem("collapse.window", format!("must be {} to {}", windows.start(), windows.end()));
        }
        if self.collapse.is_some() && format.is_of_a_platform() {
            let name = format.body().name();
            problem(
                "collapse",
                format!(
                    "sends the newest record of a burst alone, and {name} may have no word for that one: set collapse to null, or choose a format that tells of every record"
                ),
            );
        }
        if self.max_age.is_some_and(|age| age < Span::from_secs(1)) {
            problem("max_age", "must be at least 1s".to_owned());
        }
        if self.rate_limit_per_second.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
            problem("rate_limit_per_second", format!("must be 1 to {RATE_MAX}; leave it out for no limit"));
        }
        let max_in_flight = self.max_in_flight.unwrap_or(IN_FLIGHT_DEFAULT);
        if !(1..=IN_FLIGHT_MAX).contains(&max_in_flight) {
            problem("max_in_flight", format!("must be 1 to {IN_FLIGHT_MAX}"));
        }
        let timeout = self.timeout.unwrap_or(TIMEOUT_DEFAULT);
        if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&timeout) {
            problem("timeout", format!("must be {TIMEOUT_MIN} to {TIMEOUT_MAX}"));
        }
        match (url, method) {
            (Some(url), Some(method)) if problems.is_empty() => Ok(Choices {
                name,
                description: self.description,
                url,
                method,
                headers,
                events,
                filter: self.filter,
                secrets,
                tls: self.tls,
                preset: self.preset,
                format,
                ordered: self.ordered.unwrap_or(false),
                collapse: self.collapse,
                max_age: self.max_age,
                rate_limit_per_second: self.rate_limit_per_second,
                max_in_flight,
                timeout,
                enabled: self.enabled.unwrap_or(true),
                paused: self.paused.unwrap_or(false),
            }),
            _ => Err(problems),
        }
    }
}

impl EndpointUpdate {
    /// The endpoint as it would be written down anew.
    pub(crate) fn over(self, endpoint: &Endpoint) -> NewEndpoint {
        let format = self.format.unwrap_or_else(|| endpoint.format.clone());
        let filling = self.preset.flatten().map(|preset| preset.filling(&format));
        let filling = filling.as_ref();
        let events = || endpoint.events.iter().map(|pattern| pattern.as_str().to_owned()).collect();
        NewEndpoint {
            name: self.name.unwrap_or_else(|| endpoint.name.clone()),
            description: self.description.unwrap_or_else(|| endpoint.description.clone()),
            url: self.url.unwrap_or_else(|| endpoint.url.to_string()),
            method: Some(self.method.unwrap_or_else(|| endpoint.method.as_str().to_owned())),
            headers: self.headers.unwrap_or_else(|| endpoint.headers.iter().cloned().collect()),
            events: self.events.or_else(|| filling?.events.clone()).unwrap_or_else(events),
            filter: self.filter.unwrap_or_else(|| endpoint.filter.clone()),
            secrets: self.secrets.unwrap_or_else(|| endpoint.secrets.clone()),
            tls: self.tls.unwrap_or_else(|| endpoint.tls.clone()),
            preset: self.preset.unwrap_or(endpoint.preset),
            format: Some(format),
            ordered: self.ordered.or_else(|| filling?.ordered).or(Some(endpoint.ordered)),
            collapse: self.collapse.unwrap_or_else(|| filling.and_then(|f| f.collapse).or(endpoint.collapse)),
            max_age: self.max_age.unwrap_or_else(|| filling.and_then(|f| f.max_age).or(endpoint.max_age)),
            rate_limit_per_second: self.rate_limit_per_second.unwrap_or(endpoint.rate_limit_per_second),
            max_in_flight: Some(self.max_in_flight.unwrap_or(endpoint.max_in_flight)),
            timeout: Some(self.timeout.unwrap_or(Span::from_millis(endpoint.timeout.as_millis() as u64))),
            enabled: Some(self.enabled.unwrap_or(endpoint.enabled)),
            paused: Some(self.paused.unwrap_or(endpoint.paused)),
            start: self.start,
        }
    }
}

fn check_url(text: &str, egress: &Egress) -> Result<Url, String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("must be at most {URL_BYTES_MAX} bytes"));
    }
    let url = Url::parse(text).map_err(|e| format!("must be a URL such as https://example.com/hook: {e}"))?;
    if url.fragment().is_some() {
        return Err("must not have a fragment (#…), which is never sent".to_owned());
    }
    egress.check_url(&url).map_err(|refusal| refusal.to_string())?;
    Ok(url)
}

fn check_method(method: Option<&str>) -> Result<SendMethod, String> {
    match method.map(str::to_ascii_uppercase).as_deref() {
        None | Some("POST") => Ok(SendMethod::Post),
        Some("PUT") => Ok(SendMethod::Put),
        Some("PATCH") => Ok(SendMethod::Patch),
        Some("GET") => Ok(SendMethod::Get),
        Some(other) => Err(format!("must be POST, PUT, PATCH or GET, not {other:?}")),
    }
}

fn check_headers(
    headers: BTreeMap<String, HeaderSecret>,
    problem: &mut impl FnMut(&str, String),
) -> Vec<(String, HeaderSecret)> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.expose().len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        problem("headers", format!("may be at most {HEADERS_MAX} with {HEADER_BYTES_MAX} bytes together"));
    }
    let mut checked: Vec<(String, HeaderSecret)> = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let field = format!("headers.{name}");
        if HeaderName::try_from(name.as_str()).is_err() {
            problem(&field, "is not a header name".to_owned());
        } else if RESERVED_HEADERS.contains(&name.as_str())
            || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        {
            problem(&field, "is set by Flagtrail itself: leave it out".to_owned());
        } else if HeaderValue::from_str(value.expose()).is_err() {
            problem(&field, "must be visible ASCII on one line".to_owned());
        } else if checked.iter().any(|(other, _)| *other == name) {
            problem(&field, "is given twice, in capitals and without: leave one out".to_owned());
        }
        checked.push((name, value));
    }
    checked
}

fn check_events(events: Vec<String>, problem: &mut impl FnMut(&str, String)) -> Vec<ActionPattern> {
    if events.len() > EVENTS_MAX {
        problem("events", format!("may be at most {EVENTS_MAX}"));
    }
    if events.is_empty() {
        return vec![ActionPattern::try_new("*").expect("the pattern for all")];
    }
    let mut patterns = Vec::with_capacity(events.len());
    for (index, event) in events.into_iter().enumerate() {
        match ActionPattern::try_new(event) {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => problem(&format!("events[{index}]"), error.to_string()),
        }
    }
    patterns
}
