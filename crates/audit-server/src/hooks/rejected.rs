//! What could not become a record, as it stands on the `rejected` topic.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use audit_record::{Timestamp, TimestampError};

use crate::headers::kept;
use crate::hooks::request::HeldRequest;
use crate::settings::source::Source;

/// The version of the message that this release writes; a higher one is shown but not re-driven.
const VERSION: u32 = 1;

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
    /// The query string as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<String>,
    /// The headers; those that authenticate somebody are redacted.
    pub(crate) headers: Vec<(String, String)>,
    /// The body in base64.
    pub(crate) body: String,
    /// Whether the body is only the beginning of what came.
    pub(crate) is_cut: bool,
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
}

impl Rejected {
    /// The message for a request.
    pub(crate) fn new(source: &Source, held: HeldRequest, why: Why, reason: &str) -> Self {
        Self {
            v: VERSION,
            at: held.received_at.to_string(),
            source: source.name.clone(),
            platform: source.platform().as_str().to_owned(),
            why,
            reason: reason.to_owned(),
            status: why.status(),
            method: held.method,
            query: held.query,
            headers: kept(&held.headers),
            body: STANDARD.encode(&held.body),
            is_cut: why == Why::TooLarge,
        }
    }

    /// The request, to be taken in again.
    pub(crate) fn request(&self) -> Result<HeldRequest, NotRedrivable> {
        if self.v > VERSION {
            return Err(NotRedrivable::Newer);
        }
        if self.is_cut {
            return Err(NotRedrivable::Cut);
        }
        let header = |(name, value): &(String, String)| (name.clone(), value.clone().into_bytes());
        Ok(HeldRequest {
            method: self.method.clone(),
            query: self.query.clone(),
            headers: self.headers.iter().map(header).collect(),
            body: Bytes::from(STANDARD.decode(&self.body)?),
            received_at: Timestamp::parse(&self.at)?,
        })
    }
}
