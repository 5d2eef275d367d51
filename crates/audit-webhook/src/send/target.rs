//! An endpoint as requests are made for it: everything that can be prepared once is.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Method, Request, Url};

use super::failure::FailureClass;
use super::marks::Marks;
use super::parcel::Parcel;
use super::signature::Signer;
use super::transport::OwnTls;
use crate::endpoint::{Endpoint, SendMethod};

/// What we call ourselves.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("flagtrail/", env!("CARGO_PKG_VERSION")));

const JSON: HeaderValue = HeaderValue::from_static("application/json");

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The query parameter in which a GET carries the JSON.
const QUERY_PARAMETER: &str = "json";

/// Longest URL that is sent. Beyond it receivers and proxies answer 414, or cut.
const URL_BYTES_MAX: usize = 8 * 1024;

/// An endpoint, prepared.
#[derive(Debug)]
pub(crate) struct Target {
    method: Method,
    /// Without user and password, which stand in the headers.
    url: Url,
    timeout: Duration,
    /// What every request carries.
    headers: HeaderMap,
    signer: Signer,
    tls: Option<OwnTls>,
}

impl Target {
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        let mut url = endpoint.url.clone();
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON), (USER_AGENT, AGENT)]);
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
            headers,
            signer: Signer::new(&endpoint.secrets),
            tls: OwnTls::of(&endpoint.tls),
        }
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
    ) -> Result<Request, FailureClass> {
        let mut request = Request::new(self.method.clone(), self.url.clone());
        let body = parcel.envelope(marks.is_some_and(|marks| marks.collapsed));
        let signature = self.signer.sign(&parcel.id, now_s, &body);
        let mut headers = self.headers.clone();
        // A record's id has no control characters, but it may leave ASCII: its UTF-8 bytes are sent.
        let id = HeaderValue::from_bytes(parcel.id.as_bytes()).map_err(|_| FailureClass::Format)?;
        headers.insert(WEBHOOK_ID, id);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(now_s));
        headers.insert(WEBHOOK_SIGNATURE, printable(signature));
        if let Some(marks) = marks {
            marks.add_to(&mut headers);
        }
        *request.headers_mut() = headers;
        if self.method == Method::GET {
            let json = std::str::from_utf8(&body).map_err(|_| FailureClass::Format)?;
            request.url_mut().query_pairs_mut().append_pair(QUERY_PARAMETER, json);
            if request.url().as_str().len() > URL_BYTES_MAX {
                return Err(FailureClass::UrlTooLong);
            }
        } else {
            *request.body_mut() = Some(body.into());
        }
        Ok(request)
    }
}

/// The value of `Authorization` for the user and password in a URL, which are taken out of it.
fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let credentials = [plain(url.username()), b":".to_vec(), plain(url.password().unwrap_or_default())];
    // Neither fails on a URL that has a host.
    let _ = (url.set_username(""), url.set_password(None));
    let mut value = printable(format!("Basic {}", STANDARD.encode(credentials.concat())));
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
