//! The endpoint as it stands in `control`, version 2; version 1, which lacks the fields that have a default, is
//! read as well.
//!
//! Signing secrets and header values are sealed there, each for its own place. Version 1 had them in clear: it is read
//! still, and what is read so is sealed when it is next written.

use std::collections::BTreeMap;

use audit_journal::{Entity, Offset};
use audit_record::{ActionPattern, Filter, Timestamp};
use audit_secret::{Keyring, OpenError, SealError, SealedField};
use reqwest::Url;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::at_rest::{self, Locked};
use super::{
    Collapse, Endpoint, EndpointTls, Format, HeaderSecret, Preset, ReplayOrder, SendMethod, SigningSecret,
    Span, Start,
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
    /// A secret of it does not open.
    #[error(transparent)]
    Locked(#[from] OpenError),
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
    headers: BTreeMap<String, SealedField>,
    events: Vec<ActionPattern>,
    #[serde(default)]
    filter: Filter,
    secrets: Vec<SealedField>,
    /// When each of the secrets ceases to sign, RFC 3339, in their order; empty where all stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    secrets_until: Vec<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<StoredTls>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled_at: Option<String>,
    start: Start,
    incarnation: u64,
    starts: Vec<Offset>,
    #[serde(default)]
    epoch: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replays: Vec<ReplayOrder>,
    #[serde(default)]
    last_replay: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    declared_in: Option<String>,
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
    client_key: Option<SealedField>,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl Endpoint {
    /// Reads an endpoint from `control`, with the keys that its secrets are sealed with.
    pub fn from_entity(entity: &Entity, keyring: &Keyring) -> Result<Self, StoredError> {
        let (endpoint, locked) = Self::read(entity, keyring)?;
        locked.check()?;
        Ok(endpoint)
    }

    /// The same, where secrets that don't open are left out and told of.
    pub(crate) fn read(entity: &Entity, keyring: &Keyring) -> Result<(Self, Locked), StoredError> {
        let unreadable = |what: &str| StoredError::Unreadable(what.to_owned());
        let Versioned { v } =
            Versioned::deserialize(&entity.value).map_err(|e| unreadable(&e.to_string()))?;
        if v > ENDPOINT_VERSION {
            return Err(StoredError::Newer(v));
        }
        let stored = Stored::deserialize(&entity.value).map_err(|e| unreadable(&e.to_string()))?;
        let mut locked = Locked::default();
        let mut open = |name: &str, field: SealedField| {
            let opened = field.open(keyring, at_rest::place(&entity.id, name));
            opened.map_err(|error| locked.note(name, error)).ok()
        };
        let mut secrets = Vec::with_capacity(stored.secrets.len());
        for (index, field) in stored.secrets.into_iter().enumerate() {
            let Some(text) = open(at_rest::SECRETS, field) else { continue };
            let secret = SigningSecret::parse(&text).map_err(|_| unreadable("a signing secret is broken"))?;
            let until = stored.secrets_until.get(index).and_then(Option::as_deref);
            let until = until.map(Timestamp::parse).transpose().map_err(|e| unreadable(&e.to_string()))?;
            secrets.push(secret.retiring(until));
        }
        let headers = stored.headers.into_iter().filter_map(|(name, field)| {
            let value = open(&at_rest::header(&name), field)?;
            Some((name, HeaderSecret::from(value)))
        });
        let headers = headers.collect();
        let tls = stored.tls.map(|tls| EndpointTls {
            ca: tls.ca,
            client_certificate: tls.client_certificate,
            client_key: tls.client_key.and_then(|field| open(at_rest::TLS_CLIENT_KEY, field)),
        });
        let enabled_at = stored.enabled_at.as_deref().map(Timestamp::parse).transpose();
        let enabled_at = enabled_at.map_err(|e| unreadable(&e.to_string()))?;
        let endpoint = Self {
            id: entity.id.as_str().into(),
            name: stored.name,
            description: stored.description,
            url: Url::parse(&stored.url).map_err(|e| unreadable(&e.to_string()))?,
            method: stored.method,
            headers,
            events: stored.events,
            filter: stored.filter,
            secrets,
            tls: tls.unwrap_or_default(),
            preset: stored.preset,
            ordered: stored.ordered,
            // An earlier release let the two be chosen together, and lost changes by it.
            collapse: stored.collapse.filter(|_| !stored.format.is_of_a_platform()),
            format: stored.format,
            max_age: stored.max_age,
            rate_limit_per_second: stored.rate_limit_per_second,
            max_in_flight: stored.max_in_flight,
            timeout: stored.timeout.to_duration(),
            enabled: stored.enabled,
            paused: stored.paused,
            disabled_because: stored.disabled_because,
            enabled_at,
            start: stored.start,
            incarnation: stored.incarnation,
            starts: stored.starts,
            epoch: stored.epoch,
            replays: stored.replays,
            last_replay: stored.last_replay,
            declared_in: stored.declared_in,
            created_at: Timestamp::parse(&stored.created_at).map_err(|e| unreadable(&e.to_string()))?,
        };
        Ok((endpoint, locked))
    }

    /// The document for `control`, its secrets sealed.
    pub(crate) fn to_stored(&self, keyring: &Keyring) -> Result<Value, SealError> {
        let seal = |name: &str, secret: &str| {
            SealedField::seal(keyring, at_rest::place(self.id.as_str(), name), secret)
        };
        let header = |(name, value): &(String, HeaderSecret)| {
            Ok((name.clone(), seal(&at_rest::header(name), value.expose())?))
        };
        let secret = |secret: &SigningSecret| seal(at_rest::SECRETS, secret.reveal().expose_secret());
        let client_key = self.tls.client_key.as_ref();
        let client_key =
            client_key.map(|key| seal(at_rest::TLS_CLIENT_KEY, key.expose_secret())).transpose()?;
        let tls = StoredTls {
            ca: self.tls.ca.clone(),
            client_certificate: self.tls.client_certificate.clone(),
            client_key,
        };
        let stored = Stored {
            v: ENDPOINT_VERSION,
            name: self.name.clone(),
            description: self.description.clone(),
            url: self.url.to_string(),
            method: self.method,
            headers: self.headers.iter().map(header).collect::<Result<_, _>>()?,
            events: self.events.clone(),
            filter: self.filter.clone(),
            secrets: self.secrets.iter().map(secret).collect::<Result<_, _>>()?,
            secrets_until: untils(&self.secrets),
            tls: (!self.tls.is_empty()).then_some(tls),
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
            enabled_at: self.enabled_at.map(|at| at.to_string()),
            start: self.start,
            incarnation: self.incarnation,
            starts: self.starts.clone(),
            epoch: self.epoch,
            replays: self.replays.clone(),
            last_replay: self.last_replay,
            declared_in: self.declared_in.clone(),
            created_at: self.created_at.to_string(),
        };
        Ok(serde_json::to_value(stored).expect("a document of strings, numbers and sealed values"))
    }
}

/// When each secret ceases to sign; nothing where all stay.
fn untils(secrets: &[SigningSecret]) -> Vec<Option<String>> {
    if secrets.iter().all(|secret| secret.until().is_none()) {
        return Vec::new();
    }
    secrets.iter().map(|secret| secret.until().map(|until| until.to_string())).collect()
}
