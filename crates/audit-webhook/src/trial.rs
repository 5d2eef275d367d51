//! Deliveries outside the log: one that tries an endpoint out, and requests that are shown and not sent.

use std::time::Duration;

use audit_dialect::outbound::sample_record;
use audit_record::AuditRecord;
use bytes::Bytes;
use reqwest::Request;
use serde::Serialize;
use serde_json::Value;

use crate::attempt_log::{excerpt, masked};
use crate::endpoint::{EndpointError, EndpointId, EndpointUpdate, Endpoints, NewEndpoint};
use crate::operational;
use crate::send::{FailureClass, Parcel, Sender, Target, Verdict};

/// Longest time that a test waits for its answer, whatever the endpoint's timeout: somebody is looking on.
const TEST_TIMEOUT_MAX: Duration = Duration::from_secs(20);

/// Most bytes of a body that are shown.
const SHOWN_BODY_BYTES_MAX: usize = 256 * 1024;

/// What AB Tasty has a word for, of what may be said of the sample.
const CREATED: &str = "flag.created";

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestAnswer {
    /// The id that the delivery had.
    pub webhook_id: String,
    /// Whether it arrived.
    pub delivered: bool,
    /// The status that came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<FailureClass>,
    /// What went wrong in words, where there was no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// From its start to the end of the answer.
    pub duration_ms: u64,
    /// The headers that were sent, secret ones masked.
    pub request_headers: Vec<(String, String)>,
    /// The beginning of the answer's body.
    pub excerpt: String,
}

/// A request as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownRequest {
    /// The method.
    pub method: String,
    /// Where to, without the password that the URL may carry.
    pub url: String,
    /// The headers, secret ones masked.
    pub headers: Vec<(String, String)>,
    /// The body as text; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What a request is shown for.
#[derive(Clone, Debug)]
pub enum Shown {
    /// An endpoint that is not made.
    New(Box<NewEndpoint>),
    /// One that is there, perhaps changed.
    Existing(EndpointId, Box<EndpointUpdate>),
}

impl Endpoints {
    /// Sends one signed delivery of type `webhook.test`, once, whether or not the endpoint is enabled. It is in no
    /// log, and changes nothing of how the endpoint stands.
    pub async fn test(&self, id: &EndpointId) -> Result<TestAnswer, EndpointError> {
        let (endpoint, _) = self.find(id)?;
        let sender = Sender::new(self.egress().clone())?;
        let parcel = parcel_of(&operational::test(&endpoint));
        // A platform has no word for a test: it is tried out with a flag switched on, or made.
        let instead =
            [sample_record(), sample_of(CREATED)].map(|record| parcel_of(&record).named(&parcel.id));
        let now_s = operational::now().micros().div_euclid(1_000_000);
        let target = Target::new(&endpoint);
        let sending = async {
            let mut answer = sender.send_unmarked(&target, &parcel, now_s).await;
            for parcel in &instead {
                if !matches!(answer.verdict, Verdict::Skipped(_)) {
                    break;
                }
                answer = sender.send_unmarked(&target, parcel, now_s).await;
            }
            answer
        };
        let Ok(answer) = tokio::time::timeout(TEST_TIMEOUT_MAX, sending).await else {
            return Ok(TestAnswer {
                webhook_id: parcel.id,
                delivered: false,
                status: None,
                error: Some(FailureClass::Timeout),
                detail: None,
                duration_ms: TEST_TIMEOUT_MAX.as_millis() as u64,
                request_headers: Vec::new(),
                excerpt: String::new(),
            });
        };
        Ok(TestAnswer {
            webhook_id: parcel.id,
            delivered: answer.verdict == Verdict::Delivered,
            status: answer.status,
            error: answer.verdict.failure(),
            detail: answer.detail,
            duration_ms: answer.took.as_millis() as u64,
            request_headers: masked(&answer.sent).collect(),
            excerpt: excerpt(&answer.sent, &answer.excerpt),
        })
    }

    /// The request by which a record would be delivered. Nothing is sent or written.
    pub fn preview(&self, of: Shown, record: &AuditRecord) -> Result<ShownRequest, EndpointError> {
        let endpoint = match of {
            Shown::New(new) => self.draft(*new)?,
            Shown::Existing(id, update) => self.changed(&id, *update)?,
        };
        let now_s = operational::now().micros().div_euclid(1_000_000);
        let request = Target::new(&endpoint).request(&parcel_of(record), None, now_s);
        let request = request.map_err(|nothing| EndpointError::NoRequest(nothing.to_string()))?;
        Ok(ShownRequest::of(&request))
    }
}

impl ShownRequest {
    fn of(request: &Request) -> Self {
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let shown =
            |body: &[u8]| String::from_utf8_lossy(&body[..body.len().min(SHOWN_BODY_BYTES_MAX)]).into_owned();
        Self {
            method: request.method().to_string(),
            url: request.url().to_string(),
            headers: masked(request.headers()).collect(),
            body: body.map(shown),
        }
    }
}

/// The sample as a record of another action.
fn sample_of(action: &str) -> AuditRecord {
    let mut sample: Value = serde_json::from_slice(sample_record().canonical()).expect("a record is JSON");
    sample["action"] = action.into();
    AuditRecord::from_json(sample.to_string().as_bytes()).expect("with another action it is a record still")
}

/// A record as it would stand on the log, ready to be sent.
fn parcel_of(record: &AuditRecord) -> Parcel {
    let stored = Bytes::copy_from_slice(record.canonical());
    Parcel::new(record.id().to_owned(), record.action().as_str(), record.occurred_at().to_string(), stored)
}
