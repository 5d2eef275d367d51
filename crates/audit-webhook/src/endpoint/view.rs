//! An endpoint as people see it: secrets and header values masked.

use audit_journal::Offset;
use audit_record::{ActionPattern, Filter};
use serde::Serialize;

use super::at_rest::Locked;
use super::{Collapse, Endpoint, EndpointTls, Format, Preset, SendMethod, SigningSecret, Span, Start};

/// What the API and the command line show. A secret's last four characters stay visible.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointView {
    /// Which one.
    pub id: String,
    /// The settings' version: what `If-Match` names.
    pub version: u64,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Where deliveries go.
    pub url: String,
    /// How they are sent.
    pub method: SendMethod,
    /// Names of the headers sent besides our own, each with `***`.
    pub headers: std::collections::BTreeMap<String, &'static str>,
    /// Which actions.
    pub events: Vec<ActionPattern>,
    /// Which records among those.
    pub filter: Filter,
    /// The signing secrets, masked; the first is the present one.
    pub secrets: Vec<String>,
    /// Those of them that sign only for a while yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retiring: Vec<RetiringView>,
    /// Certificates of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsView>,
    /// What it is for, where it was made by a preset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// How the body looks.
    pub format: Format,
    /// Whether each project's records arrive in order.
    pub ordered: bool,
    /// Whether bursts become one delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapse: Option<Collapse>,
    /// The age at which retries end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Span>,
    /// Most deliveries begun in a second, in all processes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit_per_second: Option<u32>,
    /// Most deliveries in flight, in all processes together.
    pub max_in_flight: u32,
    /// How long one delivery may take.
    pub timeout: Span,
    /// Whether anything is delivered.
    pub enabled: bool,
    /// Whether people have stopped it for a while.
    pub paused: bool,
    /// Why it was disabled, where Flagtrail did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_because: Option<String>,
    /// Why nothing can be delivered: a secret of it is sealed with a key that this process does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
    /// Where it was told to begin.
    pub start: Start,
    /// The configuration that it stands in. Then only that changes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_in: Option<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// The life that its progress must be of, and where it begins, to tell how it stands.
    #[serde(skip)]
    pub(crate) incarnation: u64,
    #[serde(skip)]
    pub(crate) starts: Vec<Offset>,
}

/// A secret that another has taken the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetiringView {
    /// The secret, masked.
    pub secret: String,
    /// When it ceases to sign, RFC 3339.
    pub until: String,
}

impl RetiringView {
    fn new(secret: &SigningSecret) -> Option<Self> {
        Some(Self { secret: secret.masked(), until: secret.until()?.to_string() })
    }
}

/// Certificates of an endpoint's own as people see them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TlsView {
    /// The authorities it trusts, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The certificate it shows, in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// `***` where there is a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<&'static str>,
}

impl TlsView {
    fn new(tls: &EndpointTls) -> Option<Self> {
        (!tls.is_empty()).then(|| Self {
            ca: tls.ca.clone(),
            client_certificate: tls.client_certificate.clone(),
            client_key: tls.client_key.as_ref().map(|_| "***"),
        })
    }
}

impl EndpointView {
    /// The view of an endpoint at a version.
    pub fn new(endpoint: &Endpoint, version: u64) -> Self {
        Self {
            id: endpoint.id.to_string(),
            version,
            name: endpoint.name.clone(),
            description: endpoint.description.clone(),
            url: masked_url(&endpoint.url),
            method: endpoint.method,
            headers: endpoint.headers.iter().map(|(name, _)| (name.clone(), "***")).collect(),
            events: endpoint.events.clone(),
            filter: endpoint.filter.clone(),
            secrets: endpoint.secrets.iter().map(super::SigningSecret::masked).collect(),
            retiring: endpoint.secrets.iter().filter_map(RetiringView::new).collect(),
            tls: TlsView::new(&endpoint.tls),
            preset: endpoint.preset,
            format: endpoint.format.clone(),
            ordered: endpoint.ordered,
            collapse: endpoint.collapse,
            max_age: endpoint.max_age,
            rate_limit_per_second: endpoint.rate_limit_per_second,
            max_in_flight: endpoint.max_in_flight,
            timeout: Span::from_millis(endpoint.timeout.as_millis() as u64),
            enabled: endpoint.enabled,
            paused: endpoint.paused,
            disabled_because: endpoint.disabled_because.clone(),
            locked: None,
            start: endpoint.start,
            declared_in: endpoint.declared_in.clone(),
            created_at: endpoint.created_at.to_string(),
            incarnation: endpoint.incarnation,
            starts: endpoint.starts.clone(),
        }
    }

    /// The same with what does not open.
    pub(crate) fn with_locked(mut self, locked: &Locked) -> Self {
        self.locked = locked.why().map(ToString::to_string);
        self.headers.extend(locked.headers().map(|name| (name.to_owned(), "***")));
        self
    }
}

/// The URL without the password that it may carry.
fn masked_url(url: &reqwest::Url) -> String {
    let mut url = url.clone();
    // Neither fails on an http(s) URL, which has a host.
    if url.password().is_some() {
        let _ = url.set_password(Some("***"));
    }
    url.to_string()
}
