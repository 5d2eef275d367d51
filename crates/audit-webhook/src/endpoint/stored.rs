//! The endpoint as it stands in `control`, version 2; version 1, which lacks the fields that have a default, is
//! read as well.
//!
//! **Secrets lie readable in `control`.** Signing secrets and header values pass through [`at_rest`] on
//! the way there and back; that module is where encryption goes, and until it is there whoever may read
//! the control topic (or the embedded file) reads them.

use std::collections::BTreeMap;

use audit_journal::{Entity, Offset};
use audit_record::{ActionPattern, Filter, Timestamp};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Collapse, Endpoint, EndpointTls, Format, Preset, ReplayOrder, SendMethod, SigningSecret, Span, Start,
};

/// The kind of endpoints in `control`.
pub const KIND: &str = "endpoint";

/// The version of the document that this release writes, and the highest that it reads.
const ENDPOINT_VERSION: u32 = 2;

/// Why an endpoint in `control` can't be used. It is delivered to by nobody of this release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Written by a later release.
    #[error(
        "the endpoint was written by a later release (its version is {0}, this one reads up to {ENDPOINT_VERSION}): use that release"
    )]
    Newer(u32),
    /// Not an endpoint.
    #[error("the endpoint's document can't be read: {0}")]
    Unreadable(String),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    v: u32,
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    url: String,
    method: SendMethod,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    events: Vec<ActionPattern>,
    #[serde(default)]
    filter: Filter,
    secrets: Vec<String>,
    /// When each of the secrets ceases to sign, RFC 3339, in their order; empty where all stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets_until: Vec<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<StoredTls>,
    preset: Option<Preset>,
    #[serde(default)]
    format: Format,
    ordered: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collapse: Option<Collapse>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate_limit_per_second: Option<u32>,
    max_in_flight: u32,
    timeout: Span,
    enabled: bool,
    #[serde(default)]
    paused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled_because: Option<String>,
    start: Start,
    incarnation: u64,
    starts: Vec<Offset>,
    #[serde(default)]
    epoch: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replays: Vec<ReplayOrder>,
    #[serde(default)]
    last_replay: u64,
    created_at: String,
}

/// Certificates of the endpoint's own.
#[derive(Serialize, Deserialize)]
struct StoredTls {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_certificate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_key: Option<String>,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl Endpoint {
    /// Reads an endpoint from `control`.
    pub fn from_entity(entity: &Entity) -> Result<Self, StoredError> {
        let unreadable = |what: &str| StoredError::Unreadable(what.to_owned());
        let Versioned { v } =
            Versioned::deserialize(&entity.value).map_err(|e| unreadable(&e.to_string()))?;
        if v > ENDPOINT_VERSION {
            return Err(StoredError::Newer(v));
        }
        let stored = Stored::deserialize(&entity.value).map_err(|e| unreadable(&e.to_string()))?;
        let mut secrets = Vec::with_capacity(stored.secrets.len());
        for (index, text) in stored.secrets.into_iter().enumerate() {
            let secret: Result<SigningSecret, _> = at_rest::open(text).try_into();
            let secret = secret.map_err(|_| unreadable("a signing secret is broken"))?;
            let until = stored.secrets_until.get(index).and_then(Option::as_deref);
            let until = until.map(Timestamp::parse).transpose().map_err(|e| unreadable(&e.to_string()))?;
            secrets.push(secret.retiring(until));
        }
        Ok(Self {
            id: entity.id.as_str().into(),
            name: stored.name,
            description: stored.description,
            url: Url::parse(&stored.url).map_err(|e| unreadable(&e.to_string()))?,
            method: stored.method,
            headers: stored.headers.into_iter().map(|(name, v)| (name, at_rest::open(v).into())).collect(),
            events: stored.events,
            filter: stored.filter,
            secrets,
            tls: stored.tls.map(StoredTls::open).unwrap_or_default(),
            preset: stored.preset,
            format: stored.format,
            ordered: stored.ordered,
            collapse: stored.collapse,
            max_age: stored.max_age,
            rate_limit_per_second: stored.rate_limit_per_second,
            max_in_flight: stored.max_in_flight,
            timeout: stored.timeout.to_duration(),
            enabled: stored.enabled,
            paused: stored.paused,
            disabled_because: stored.disabled_because,
            start: stored.start,
            incarnation: stored.incarnation,
            starts: stored.starts,
            epoch: stored.epoch,
            replays: stored.replays,
            last_replay: stored.last_replay,
            created_at: Timestamp::parse(&stored.created_at).map_err(|e| unreadable(&e.to_string()))?,
        })
    }

    /// The document for `control`.
    pub(crate) fn to_stored(&self) -> Value {
        use secrecy::ExposeSecret;
        let headers = self.headers.iter();
        let stored = Stored {
            v: ENDPOINT_VERSION,
            name: self.name.clone(),
            description: self.description.clone(),
            url: self.url.to_string(),
            method: self.method,
            headers: headers.map(|(name, v)| (name.clone(), at_rest::seal(v.expose()))).collect(),
            events: self.events.clone(),
            filter: self.filter.clone(),
            secrets: self.secrets.iter().map(|s| at_rest::seal(s.reveal().expose_secret())).collect(),
            secrets_until: untils(&self.secrets),
            tls: StoredTls::seal(&self.tls),
            preset: self.preset,
            format: self.format.clone(),
            ordered: self.ordered,
            collapse: self.collapse,
            max_age: self.max_age,
            rate_limit_per_second: self.rate_limit_per_second,
            max_in_flight: self.max_in_flight,
            timeout: Span::from_millis(self.timeout.as_millis() as u64),
            enabled: self.enabled,
            paused: self.paused,
            disabled_because: self.disabled_because.clone(),
            start: self.start,
            incarnation: self.incarnation,
            starts: self.starts.clone(),
            epoch: self.epoch,
            replays: self.replays.clone(),
            last_replay: self.last_replay,
            created_at: self.created_at.to_string(),
        };
        serde_json::to_value(stored).expect("a document of strings and numbers")
    }
}

/// When each secret ceases to sign; nothing where all stay.
fn untils(secrets: &[SigningSecret]) -> Vec<Option<String>> {
    if secrets.iter().all(|secret| secret.until().is_none()) {
        return Vec::new();
    }
    secrets.iter().map(|secret| secret.until().map(|until| until.to_string())).collect()
}

impl StoredTls {
    fn seal(tls: &EndpointTls) -> Option<Self> {
        use secrecy::ExposeSecret;
        let client_key = tls.client_key.as_ref().map(|key| at_rest::seal(key.expose_secret()));
        (!tls.is_empty()).then(|| Self {
            ca: tls.ca.clone(),
            client_certificate: tls.client_certificate.clone(),
            client_key,
        })
    }

    fn open(self) -> EndpointTls {
        EndpointTls {
            ca: self.ca,
            client_certificate: self.client_certificate,
            client_key: self.client_key.map(|key| at_rest::open(key).into()),
        }
    }
}

/// Where secrets are sealed on their way into `control` and opened on their way out. Today neither does
/// anything: they are readable to whoever may read `control`.
mod at_rest {
    pub(super) fn seal(secret: &str) -> String {
        secret.to_owned()
    }

    pub(super) fn open(stored: String) -> String {
        stored
    }
}
