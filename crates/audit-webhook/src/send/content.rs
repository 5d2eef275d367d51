//! What a delivery carries: the endpoint's format, filled from a record.

use audit_dialect::outbound::{BodyFormat, Outcome, RenderError, Rendered, Renderer, Skip};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::failure::{Failure, FailureClass};
use super::parcel::Parcel;
use crate::endpoint::{Endpoint, SendMethod, SigningSecret};

/// The media type of Standard Webhooks.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The format of an endpoint, ready.
#[derive(Debug)]
pub(super) enum Content {
    /// Standard Webhooks in a body: made once for all endpoints, so there is nothing left to do.
    Envelope,
    /// Standard Webhooks in the query of a GET.
    EnvelopeInQuery,
    /// Any other.
    Rendered {
        renderer: Box<Renderer>,
        /// What the platform's own signature is made with.
        secret: Option<SecretString>,
    },
    /// It can't be used, and why. It was checked when the endpoint was made, so another release made it.
    Unusable(String),
}

/// Why there is nothing to send.
#[derive(Debug)]
pub(crate) enum Nothing {
    /// The format has no word for the record.
    Skipped(Skip),
    /// It has, and fails.
    Failed(Failure),
}

impl Content {
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        match (endpoint.format.body(), endpoint.method) {
            (BodyFormat::StandardWebhooks, SendMethod::Get) => Self::EnvelopeInQuery,
            (BodyFormat::StandardWebhooks, _) => Self::Envelope,
            _ => match endpoint.format.renderer(endpoint.method) {
                Ok(renderer) => {
                    let secret = platform_secret(&endpoint.secrets);
                    Self::Rendered { renderer: Box::new(renderer), secret }
                }
                Err(reason) => Self::Unusable(reason),
            },
        }
    }

    /// The media type, where it is the same for every record and so is not told with each.
    pub(super) fn media_type(&self) -> Option<HeaderValue> {
        matches!(self, Self::Envelope).then_some(JSON)
    }

    /// The format, filled. `collapsed`: the record stands for a burst, which Standard Webhooks alone has a word for.
    pub(super) fn fill(&self, parcel: &Parcel, collapsed: bool) -> Result<Rendered, Nothing> {
        let envelope = || parcel.envelope(collapsed);
        match self {
            Self::Envelope => Ok(Rendered { body: Some(envelope()), ..Rendered::default() }),
            Self::EnvelopeInQuery => {
                let json = String::from_utf8(envelope().into());
                let json = json.map_err(|_| Failure::new(FailureClass::Format, "the record is not UTF-8"))?;
                Ok(Rendered { query_json: Some(json), ..Rendered::default() })
            }
            Self::Rendered { renderer, secret } => {
                let secret = secret.as_ref().map(|secret| secret.expose_secret().as_bytes());
                match renderer.render(parcel.stored(), secret) {
                    Ok(Outcome::Rendered(rendered)) => Ok(rendered),
                    Ok(Outcome::Skipped(skip)) => Err(Nothing::Skipped(skip)),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Unusable(reason) => {
                let detail = format!("the endpoint's format {reason}; set it again");
                Err(Failure::new(FailureClass::Settings, detail).into())
            }
        }
    }
}

impl std::fmt::Display for Nothing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Skipped(skip) => write!(f, "{skip}"),
            Self::Failed(failure) => f.write_str(&failure.detail),
        }
    }
}

impl From<Failure> for Nothing {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<RenderError> for Nothing {
    fn from(error: RenderError) -> Self {
        let class = match &error {
            RenderError::UrlTooLong { .. } => FailureClass::UrlTooLong,
            _ => FailureClass::Format,
        };
        Failure::new(class, error).into()
    }
}

/// What a platform's header, which has room for one signature, is made with: of the secrets that stay, a text that the
/// platform shares with the receiver, or else the text of the first. One that was rotated away makes none.
fn platform_secret(secrets: &[SigningSecret]) -> Option<SecretString> {
    let mut staying = secrets.iter().filter(|secret| secret.until().is_none());
    let first = staying.clone().next();
    staying.find(|secret| secret.is_text()).or(first).map(SigningSecret::reveal)
}

#[cfg(test)]
mod tests {
    use audit_record::Timestamp;
    use secrecy::ExposeSecret;

    use super::platform_secret;
    use crate::endpoint::SigningSecret;

    fn text(text: &str) -> SigningSecret {
        SigningSecret::try_from(text.to_owned()).expect("a text")
    }

    #[test]
    fn a_platforms_own_signature_is_made_with_the_secret_that_stays() {
        let signs_with = |secrets: &[SigningSecret]| {
            platform_secret(secrets).map(|secret| secret.expose_secret().to_owned())
        };
        let end = Timestamp::from_micros(1_000_000).expect("a time");
        let old = || text("old").retiring(Some(end));
        assert_eq!(signs_with(&[text("new"), old()]).as_deref(), Some("new"));
        let made_up = SigningSecret::generate();
        let made_up_text = made_up.reveal().expose_secret().to_owned();
        assert_eq!(signs_with(&[made_up.clone(), old()]), Some(made_up_text));
        assert_eq!(signs_with(&[made_up, text("shared"), old()]).as_deref(), Some("shared"));
        assert_eq!(signs_with(&[old()]), None);
    }
}
