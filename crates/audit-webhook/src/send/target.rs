//! An endpoint as requests are made for it: everything that can be prepared once is.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Method, Request, Url};
use secrecy::ExposeSecret;

use super::basic::basic;
use super::content::{Content, Nothing};
use super::failure::{Failure, FailureClass};
use super::marks::Marks;
use super::parcel::Parcel;
use super::signature::Signer;
use super::transport::OwnTls;
use crate::endpoint::{Endpoint, SendMethod};

/// What we call ourselves.
pub(super) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("flagtrail/", env!("CARGO_PKG_VERSION")));

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// An endpoint, prepared.
#[derive(Debug)]
pub(crate) struct Target {
    method: Method,
    /// Without user and password, which stand in the headers.
    url: Url,
    timeout: Duration,
    /// What every request carries.
    headers: HeaderMap,
    /// Whether that says what the body is, so that a format does not.
    has_media_type: bool,
    content: Content,
    signer: Signer,
    tls: Option<OwnTls>,
}

impl Target {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        let mut url = endpoint.url.clone();
        let content = Content::new(endpoint);
        let mut headers = HeaderMap::from_iter([(USER_AGENT, AGENT)]);
        headers.extend(content.media_type().map(|media_type| (CONTENT_TYPE, media_type)));
        if let Some(authorization) = take_credentials(&mut url) {
            headers.insert(AUTHORIZATION, authorization);
        }
        // The endpoint's own stand in the place of ours.
        for (name, value) in &endpoint.headers {
            // Both were checked when the endpoint was made; one that is wrong all the same is not sent.
            if let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value.expose()))
            {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        Self {
            method: match endpoint.method {
                SendMethod::Post => Method::POST,
                SendMethod::Put => Method::PUT,
                SendMethod::Patch => Method::PATCH,
                SendMethod::Get => Method::GET,
            },
            url,
            timeout: endpoint.timeout,
            has_media_type: headers.contains_key(CONTENT_TYPE),
            headers,
            content,
            signer: Signer::new(&endpoint.secrets),
            tls: OwnTls::of(&endpoint.tls),
        }
    }

    /// POST to a URL, with nothing of the endpoint's own.
    #[cfg(test)]
    pub(super) fn to(url: &str) -> Self {
        Self {
            method: Method::POST,
            url: url.parse().expect("a URL"),
            timeout: Duration::from_secs(60),
            headers: HeaderMap::new(),
            has_media_type: true,
            content: Content::Envelope,
            signer: Signer::new(&[]),
            tls: None,
        }
    }

    /// The same, with certificates.
    #[cfg(test)]
    pub(super) fn trusting(self, tls: &crate::endpoint::EndpointTls) -> Self {
        Self { tls: OwnTls::of(tls), ..self }
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn tls(&self) -> Option<&OwnTls> {
        self.tls.as_ref()
    }

    /// The request that delivers a parcel; without marks, of what stands nowhere on the log.
    pub(crate) fn request(
        &self,
        parcel: &Parcel,
        marks: Option<&Marks>,
        now_s: i64,
    ) -> Result<Request, Nothing> {
        let rendered = self.content.fill(parcel, marks.is_some_and(|marks| marks.collapsed))?;
        let signature = self.signer.sign(&parcel.id, now_s, rendered.signed_bytes());
        let url = match &rendered.query_json {
            None => self.url.clone(),
            Some(_) => {
                let url = rendered.url(self.url.as_str())?;
                Url::parse(&url).map_err(|error| Failure::new(FailureClass::Settings, error))?
            }
        };
        let mut request = Request::new(self.method.clone(), url);
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        if let Some(media_type) = rendered.content_type
            && !self.has_media_type
        {
            headers.insert(CONTENT_TYPE, value(media_type)?);
        }
        for (name, text) in rendered.headers {
            headers.insert(name, value(text)?);
        }
        // A record's id has no control characters, but it may leave ASCII: its UTF-8 bytes are sent.
        let id = HeaderValue::from_bytes(parcel.id.as_bytes());
        headers.insert(WEBHOOK_ID, id.map_err(|error| Failure::new(FailureClass::Format, error))?);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(now_s));
        if !signature.is_empty() {
            headers.insert(WEBHOOK_SIGNATURE, printable(signature));
        }
        if let Some(marks) = marks {
            marks.add_to(headers);
        }
        *request.body_mut() = rendered.body.map(Into::into);
        Ok(request)
    }
}

/// A header's value that a format made.
fn value(text: String) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(text).map_err(|error| Failure::new(FailureClass::Format, error))
}

/// The value of `Authorization` for the user and password in a URL, which are taken out of it.
fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    let credentials = basic(url)?;
    // Neither fails on a URL that has a host.
    let _ = (url.set_username(""), url.set_password(None));
    let mut value = printable(credentials.expose_secret().to_owned());
    value.set_sensitive(true);
    Some(value)
}

fn printable(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("base64 and ASCII words are printable")
}

#[cfg(test)]
mod tests {
    use super::take_credentials;

    #[test]
    fn the_user_and_password_of_a_url_are_sent_in_a_header_instead() {
        let mut url = "https://ada:p%40ss@example.com/hook".parse().expect("a URL");
        // ada:p@ss, in base64
        let value = take_credentials(&mut url).expect("credentials");
        assert_eq!(value.to_str().expect("ASCII"), "Basic YWRhOnBAc3M=");
        assert!(value.is_sensitive());
        assert_eq!(url.as_str(), "https://example.com/hook");
        assert_eq!(take_credentials(&mut url), None);
    }
}
