//! What could not become a record, as it stands on the `rejected` topic: to be read by people, and to be taken in again.
//!
//! The two are at odds where the request holds secrets: people are to see it without them, and a signature covers the raw
//! body. So, by this rule:
//!
//! 1. Where the payload parses and holds secrets, it is kept redacted, with the paths of what was. Beside it the raw body
//!    and query are kept sealed with the secrets key; re-driving opens them.
//! 2. Where it does not parse, nothing can be told apart: it is kept as it came.
//! 3. Without a secrets key it is kept redacted if the source is not signed and the redacted form means the same to the
//!    dialect, which would redact it anyway. Else it is kept as it came: a change that can't be taken in again is lost for
//!    ever, and such a process keeps no secret sealed anyway.
//!
//! Headers that authenticate somebody are redacted always; no dialect needs them again.

use audit_dialect::{Shown, shown};
use audit_record::{Timestamp, TimestampError};
use audit_secret::{KeyId, Keyring, OpenError, Place, Sealed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::HOOK_BODY_BYTES_MAX;
use crate::headers;
use crate::hooks::request::HeldRequest;
use crate::settings::source::Source;

/// The version of a message with sealed parts, which this release writes where there are any; a higher one is shown but not
/// re-driven.
const VERSION: u32 = 2;

/// The version of a message without.
const VERSION_WITHOUT_SEALED: u32 = 1;

/// Most bytes of a redacted body that are kept readable where the whole of it is kept sealed beside: both must fit into
/// one message.
const SHOWN_BYTES_MAX: usize = 512 * 1024;

/// Most paths of redacted fields that are named.
const PATHS_MAX: usize = 100;

/// What rejected requests are called where their parts are sealed.
const KIND: &str = "rejected";

/// Why a request became no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    /// It does not fit its platform's form, or lacks what a record needs.
    Unfit,
    /// Its signature is missing or wrong.
    BadSignature,
    /// Its signature could not be checked: a secret of the source did not open.
    Unchecked,
    /// It is too large; only its beginning was kept.
    TooLarge,
}

impl Why {
    fn status(self) -> u16 {
        match self {
            Self::Unfit => 422,
            Self::BadSignature => 401,
            Self::Unchecked => 503,
            Self::TooLarge => 413,
        }
    }
}

/// A rejected request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Rejected {
    /// The version of this document.
    pub(crate) v: u32,
    /// When it came in, RFC 3339.
    pub(crate) at: String,
    /// The source's name.
    pub(crate) source: String,
    /// The source's platform.
    pub(crate) platform: String,
    /// The kind of reason.
    pub(crate) why: Why,
    /// What does not fit, and the mend.
    pub(crate) reason: String,
    /// The HTTP status it was answered with.
    pub(crate) status: u16,
    /// The method.
    pub(crate) method: String,
    /// The query string; secrets are redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<String>,
    /// The headers; those that authenticate somebody are redacted.
    pub(crate) headers: Vec<(String, String)>,
    /// The body in base64; secrets are redacted where it is JSON.
    pub(crate) body: String,
    /// Whether the body is only the beginning of what came.
    pub(crate) is_cut: bool,
    /// JSON Pointers into `{"body": …, "query": {parameter: …}}` to what was redacted, and on into the JSON that a string
    /// holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) redacted: Vec<String>,
    /// What came, where that is not what is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub(crate) raw: Option<Raw>,
}

/// The raw parts of a request, sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Raw {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<Sealed>,
    body: Sealed,
}

impl Raw {
    /// The name of the key that it is sealed with.
    pub(crate) fn key(&self) -> KeyId {
        self.body.key()
    }
}

/// How rejected requests are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping<'a> {
    /// What their raw parts are sealed with.
    pub(crate) keyring: &'a Keyring,
    /// Names of fields that are not redacted.
    pub(crate) redact_keep: &'a [String],
}

/// Why a rejected request can't be re-driven.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRedrivable {
    #[error("only the beginning of its body was kept")]
    Cut,
    #[error("it was written by a later release: use that release")]
    Newer,
    #[error("it is damaged: {0}")]
    Body(#[from] base64::DecodeError),
    #[error("its time is damaged: {0}")]
    Time(#[from] TimestampError),
    #[error(transparent)]
    Locked(#[from] OpenError),
    #[error("its query is damaged")]
    Query,
}

impl Rejected {
    /// The message for a request.
    pub(crate) fn new(
        source: &Source,
        held: HeldRequest,
        why: Why,
        reason: &str,
        keeping: Keeping<'_>,
    ) -> Self {
        let at = held.received_at.to_string();
        // A query that can't be decoded is the reason why some are here: it stays as it came.
        let pairs = held.query_pairs().unwrap_or_default();
        let query = held.query.as_deref().filter(|_| !pairs.is_empty()).map(|raw| (raw, pairs.as_slice()));
        let mut kept = shown(source.platform(), keeping.redact_keep, query, &held.body);
        let raw = raw(&kept, &source.name, &at, &held, keeping.keyring);
        let must_stay_raw =
            !source.secrets.is_empty() || !kept.is_faithful || kept.body.len() > HOOK_BODY_BYTES_MAX;
        if raw.is_none() && must_stay_raw {
            kept =
                Shown { query: held.query.clone(), body: (&*held.body).into(), redacted: Vec::new(), ..kept };
        }
        if kept.redacted.len() > PATHS_MAX {
            let more = kept.redacted.len() - PATHS_MAX;
            kept.redacted.truncate(PATHS_MAX);
            kept.redacted.push(format!("… and {more} more"));
        }
        let mut body = &*kept.body;
        if raw.is_some() {
            body = &body[..body.len().min(SHOWN_BYTES_MAX)];
        }
        Self {
            v: if raw.is_some() { VERSION } else { VERSION_WITHOUT_SEALED },
            at,
            source: source.name.clone(),
            platform: source.platform().as_str().to_owned(),
            why,
            reason: reason.to_owned(),
            status: why.status(),
            method: held.method,
            query: kept.query.or(held.query),
            headers: headers::kept(&held.headers),
            body: STANDARD.encode(body),
            is_cut: why == Why::TooLarge,
            redacted: kept.redacted,
            raw,
        }
    }

    /// The request, to be taken in again.
    pub(crate) fn request(&self, keyring: &Keyring) -> Result<HeldRequest, NotRedrivable> {
        if self.v > VERSION {
            return Err(NotRedrivable::Newer);
        }
        if self.is_cut {
            return Err(NotRedrivable::Cut);
        }
        let header = |(name, value): &(String, String)| (name.clone(), value.clone().into_bytes());
        let (query, body) = match &self.raw {
            None => (self.query.clone(), STANDARD.decode(&self.body)?),
            Some(raw) => {
                let id = id(&self.source, &self.at);
                let query = match &raw.query {
                    None => self.query.clone(),
                    Some(query) => {
                        let query = keyring.open(place(&id, "query"), query)?;
                        let text = std::str::from_utf8(query.expose_secret());
                        Some(text.map_err(|_| NotRedrivable::Query)?.to_owned())
                    }
                };
                (query, keyring.open(place(&id, "body"), &raw.body)?.expose_secret().to_vec())
            }
        };
        Ok(HeldRequest {
            method: self.method.clone(),
            query,
            headers: self.headers.iter().map(header).collect(),
            body: Bytes::from(body),
            received_at: Timestamp::parse(&self.at)?,
        })
    }
}

/// The raw parts of a request that is shown otherwise; `None` where it is not, or where there is no key to seal them with.
fn raw(kept: &Shown<'_>, source: &str, at: &str, held: &HeldRequest, keyring: &Keyring) -> Option<Raw> {
    if kept.redacted.is_empty() {
        return None;
    }
    let id = id(source, at);
    let seal = |field, raw: &[u8]| keyring.seal(place(&id, field), raw).ok();
    let query = held.query.as_ref().and_then(|query| seal("query", query.as_bytes()));
    Some(Raw { query, body: seal("body", &held.body)? })
}

/// What tells a rejected request from others before it has a place on the log.
fn id(source: &str, at: &str) -> String {
    format!("{source} {at}")
}

fn place<'a>(id: &'a str, field: &'a str) -> Place<'a> {
    Place { kind: KIND, id, field }
}
