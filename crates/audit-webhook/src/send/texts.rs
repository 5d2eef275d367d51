//! Posting a text and reading a short one back: what the log's own outside partners, its witnesses, are asked with. Under
//! the same policy as deliveries, and with none of what makes a delivery one.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::{Method, Request, Url};

use super::bounds::{ANSWER_BYTES_MAX, Times};
use super::egress::{Egress, SystemLookup};
use super::failure::{Failure, FailureClass};
use super::target::AGENT;
use super::transport::{ClientError, Transports};

/// From the name to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Posts texts.
#[derive(Debug)]
pub struct TextPoster {
    egress: Egress,
    transports: Transports,
}

/// Where texts are posted to.
#[derive(Clone, Debug)]
pub struct TextAddress(Url);

impl TextAddress {
    /// Reads an http or https URL; the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err("it must begin with https:// (or http://)".to_owned());
        }
        Ok(Self(url))
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextAnswer {
    /// The status.
    pub status: u16,
    /// The body; cut at 64 KiB, and not UTF-8 read as well as it goes.
    pub text: String,
}

impl TextPoster {
    /// Under a policy.
    pub fn new(egress: Egress) -> Result<Self, ClientError> {
        let transports = Transports::new(egress.clone(), Arc::new(SystemLookup), Times::default());
        transports.get(&egress.policy(), None)?;
        Ok(Self { egress, transports })
    }

    /// Posts a text, once. The error says why nothing came back, without the address.
    pub async fn post(&self, TextAddress(url): &TextAddress, text: String) -> Result<TextAnswer, String> {
        let exchange = async {
            let policy = self.egress.policy();
            policy.check_url(url).map_err(|refusal| Failure::new(FailureClass::NotAllowed, refusal))?;
            let unusable = |error| Failure::new(FailureClass::Settings, error);
            let transport = self.transports.get(&policy, None).map_err(unusable)?;
            let mut request = Request::new(Method::POST, url.clone());
            request.headers_mut().insert(USER_AGENT, AGENT);
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            *request.body_mut() = Some(text.into());
            let mut response = transport.execute(request).await?;
            let (status, mut body) = (response.status().as_u16(), Vec::new());
            while let Ok(Some(chunk)) = response.chunk().await {
                let room = ANSWER_BYTES_MAX - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == ANSWER_BYTES_MAX {
                    break;
                }
            }
            Ok::<_, Failure>(TextAnswer { status, text: String::from_utf8_lossy(&body).into_owned() })
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer.map_err(|failure| failure.detail),
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }
}
