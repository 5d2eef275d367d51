//! One attempt: check where it goes, send it, read the answer up to a cap, say what became of it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use super::bounds::{ANSWER_BYTES_MAX, EXCERPT_BYTES_MAX, Times};
use super::content::Nothing;
use super::egress::{Egress, Lookup, SystemLookup};
use super::failure::{Failure, FailureClass};
use super::marks::Marks;
use super::parcel::Parcel;
use super::retry_after::retry_after;
use super::target::Target;
use super::transport::{ClientError, Transports};

/// What became of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// What it means.
    pub(crate) verdict: Verdict,
    /// The status, where there was one.
    pub(crate) status: Option<u16>,
    /// What went wrong, in words.
    pub(crate) detail: Option<String>,
    /// From the start to the end of the answer.
    pub(crate) took: Duration,
    /// The beginning of the answer's body.
    pub(crate) excerpt: Vec<u8>,
    /// When the receiver wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
    /// The headers that were sent; those that hold a secret are marked as sensitive. Empty where no request could
    /// be made.
    pub(crate) sent: HeaderMap,
}

/// What an answer means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 2xx.
    Delivered,
    /// Nothing was sent: the endpoint's format has no word for the record. Why not, in the word that it is counted by.
    Skipped(&'static str),
    /// To be tried again, unless the class is lasting.
    Failed(FailureClass),
    /// 410: nothing more is wanted.
    Unwanted,
}

impl Verdict {
    /// Why it failed, if it did.
    pub(crate) fn failure(self) -> Option<FailureClass> {
        match self {
            Self::Delivered | Self::Skipped(_) => None,
            Self::Failed(class) => Some(class),
            Self::Unwanted => Some(FailureClass::Status),
        }
    }
}

/// Sends deliveries, for all endpoints of a process.
#[derive(Debug)]
pub(crate) struct Sender {
    egress: Egress,
    transports: Transports,
}

impl Sender {
    /// Under a policy. What is wrong with TLS on this machine is told at once.
    pub(crate) fn new(egress: Egress) -> Result<Self, ClientError> {
        Self::with(egress, Arc::new(SystemLookup), Times::default())
    }

    pub(crate) fn with(egress: Egress, lookup: Arc<dyn Lookup>, times: Times) -> Result<Self, ClientError> {
        let transports = Transports::new(egress.clone(), lookup, times);
        transports.get(&egress.policy(), None)?;
        Ok(Self { egress, transports })
    }

    /// Sends one parcel. Never fails: whatever happens is an answer, within the endpoint's timeout.
    pub(crate) async fn send(&self, target: &Target, parcel: &Parcel, marks: &Marks, now_s: i64) -> Answer {
        self.send_marked(target, parcel, Some(marks), now_s).await
    }

    /// The same of what stands nowhere on the log.
    pub(crate) async fn send_unmarked(&self, target: &Target, parcel: &Parcel, now_s: i64) -> Answer {
        self.send_marked(target, parcel, None, now_s).await
    }

    async fn send_marked(
        &self,
        target: &Target,
        parcel: &Parcel,
        marks: Option<&Marks>,
        now_s: i64,
    ) -> Answer {
        let began = Instant::now();
        let mut answer = Answer {
            verdict: Verdict::Failed(FailureClass::Timeout),
            status: None,
            detail: None,
            took: Duration::ZERO,
            excerpt: Vec::new(),
            retry_after: None,
            sent: HeaderMap::new(),
        };
        // What is known when the timeout strikes stays: a status that came decides, even if its body did not end.
        let exchange = self.exchange(target, parcel, marks, now_s, &mut answer);
        let _ = tokio::time::timeout(target.timeout(), exchange).await;
        answer.took = began.elapsed();
        answer
    }

    async fn exchange(
        &self,
        target: &Target,
        parcel: &Parcel,
        marks: Option<&Marks>,
        now_s: i64,
        answer: &mut Answer,
    ) {
        let mut response = match self.execute(target, parcel, marks, now_s, &mut answer.sent).await {
            Ok(response) => response,
            Err(Nothing::Skipped(skip)) => {
                answer.verdict = Verdict::Skipped(skip.label());
                return;
            }
            Err(Nothing::Failed(Failure { class, detail })) => {
                answer.verdict = Verdict::Failed(class);
                answer.detail = Some(detail);
                return;
            }
        };
        let status = response.status().as_u16();
        answer.status = Some(status);
        answer.retry_after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value, now_s));
        answer.verdict = match status {
            200..=299 => Verdict::Delivered,
            410 => Verdict::Unwanted,
            _ => Verdict::Failed(FailureClass::Status),
        };
        // The status has decided. The body is read for the excerpt, and so that the connection can be used
        // again; one that breaks off or is too long changes nothing but that.
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = EXCERPT_BYTES_MAX - answer.excerpt.len();
            answer.excerpt.extend_from_slice(&chunk[..chunk.len().min(room)]);
            read += chunk.len();
            if read > ANSWER_BYTES_MAX {
                break;
            }
        }
    }

    async fn execute(
        &self,
        target: &Target,
        parcel: &Parcel,
        marks: Option<&Marks>,
        now_s: i64,
        sent: &mut HeaderMap,
    ) -> Result<reqwest::Response, Nothing> {
        // One policy for the check and for the client: a connection that an earlier policy allowed is not used.
        let policy = self.egress.policy();
        // A client resolves no host that is an address, so that is checked here.
        let refused = |refusal| Failure::new(FailureClass::NotAllowed, refusal);
        policy.check_url(target.url()).map_err(refused)?;
        let unusable = |error| Failure::new(FailureClass::Settings, error);
        let transport = self.transports.get(&policy, target.tls()).map_err(unusable)?;
        let request = target.request(parcel, marks, now_s)?;
        sent.clone_from(request.headers());
        Ok(transport.execute(request).await?)
    }
}

#[cfg(test)]
mod tests;
