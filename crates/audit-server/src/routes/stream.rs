//! `GET /v1/records/stream`: the log as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use audit_journal::{Bounds, Journal, Message, Offset, Partition, ReadError, ReadLimit, Topic};
use audit_record::{AuditRecord, Filter};
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::query;
use crate::readings::{ReadKind, note};
use crate::routes::asked::{Asked, moment, narrow};
use crate::tail;

/// Comment sent while nothing happens, so that proxies and clients see that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How much is read for a stream at a time: all that is held for it.
const WINDOW: ReadLimit = ReadLimit { messages: 200, bytes: 1024 * 1024 };

/// Pause after the log could not be read.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stream_records))
}

/// Follow records
///
/// Server-sent events: `event: record`, `data:` the record, `id:` where to go on. Sent back as `Last-Event-ID`, the
/// stream goes on behind that record. Records of one project come in their order; those of several are interleaved.
#[utoipa::path(
    get, path = "/v1/records/stream", tag = "records",
    params(
        ("organisation" = Option<Vec<String>>, Query, description = "As for the query"),
        ("project" = Option<Vec<String>>, Query, description = "As for the query"),
        ("environment" = Option<Vec<String>>, Query, description = "As for the query"),
        ("flag" = Option<Vec<String>>, Query, description = "As for the query"),
        ("author" = Option<Vec<String>>, Query, description = "As for the query"),
        ("action" = Option<Vec<String>>, Query, description = "As for the query"),
        ("related_object_type" = Option<Vec<String>>, Query, description = "As for the query"),
        ("object" = Option<Vec<String>>, Query, description = "As for the query"),
        ("source" = Option<Vec<String>>, Query, description = "As for the query"),
        ("from" = Option<String>, Query, description = "now (by default), earliest, or a moment of appending as for the query"),
        ("Last-Event-ID" = Option<String>, Header, description = "Where to go on; wins over from"),
    ),
    responses(
        (status = 200, description = "Events until the client hangs up", body = String, content_type = "text/event-stream"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many streams", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn stream_records(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let pairs = query::pairs(query.as_deref())?;
    let (mut asked, from) = Asked::stream(pairs.clone())?;
    narrow(&mut asked.filter, &caller)?;
    let held = app.bounds().hold_stream()?;
    let journal = app.journal().clone();
    let bounds = tail::ends(&journal).await.map_err(unreadable)?;
    let ticks = app.tail().listen(&journal, &bounds, app.shutdown());
    let last_id = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let next = match (last_id, from.as_deref()) {
        (Some(id), _) => resume(id, &bounds)?,
        (None, None | Some("now")) => bounds.iter().map(|b| (b.partition, b.end)).collect(),
        (None, Some("earliest")) => bounds.iter().map(|b| (b.partition, b.start)).collect(),
        (None, Some(from)) => {
            let at = moment("from", from, now())?;
            let offsets = journal.offsets_at(Topic::Records, at).await.map_err(unreadable)?;
            offsets.into_iter().map(|position| (position.partition, position.offset)).collect()
        }
    };
    let follower = Follower {
        journal,
        filter: asked.filter,
        next,
        ticks,
        ready: VecDeque::new(),
        shutdown: app.shutdown().clone(),
        _held: held,
    };
    note(&app, &caller, ReadKind::Stream, "/v1/records/stream", &pairs);
    let events =
        unfold(follower, async |mut follower| follower.event().await.map(|event| (Ok(event), follower)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

fn unreadable(error: ReadError) -> Problem {
    Problem::new(Kind::Unavailable, "the log can't be read now").retry_after_s(2).cause(error)
}

/// One client's stream.
struct Follower {
    journal: Journal,
    filter: Filter,
    /// Where each partition goes on.
    next: Vec<(Partition, Offset)>,
    ticks: watch::Receiver<u64>,
    /// Read, matching, and not yet sent; at most one window.
    ready: VecDeque<Event>,
    shutdown: CancellationToken,
    _held: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; `None` on shutdown.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            // Marked as seen before reading: what comes while we read makes another round.
            self.ticks.borrow_and_update();
            let shutdown = self.shutdown.clone();
            let has_more = match shutdown.run_until_cancelled(self.read()).await? {
                Ok(has_more) => has_more,
                Err(error) => {
                    tracing::debug!(%error, "an event stream waits for the log");
                    shutdown.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await?;
                    true
                }
            };
            if self.ready.is_empty() && !has_more {
                // The sender ends with the process or the journal.
                shutdown.run_until_cancelled(self.ticks.changed()).await?.ok()?;
            }
        }
    }

    /// Reads on in the first partition that has anything. Whether something was read.
    async fn read(&mut self) -> Result<bool, ReadError> {
        for index in 0..self.next.len() {
            let (partition, from) = self.next[index];
            let range = match self.journal.read(Topic::Records, partition, from, WINDOW).await {
                Ok(range) => range,
                // Retention was faster: go on with what is kept.
                Err(ReadError::OutOfRange { start, .. }) if start > from => {
                    self.next[index].1 = start;
                    return Ok(true);
                }
                Err(error) => return Err(error),
            };
            if range.next <= from {
                continue;
            }
            for message in &range.messages {
                self.next[index].1 = message.offset + 1;
                if let Some(event) = self.event_of(message) {
                    self.ready.push_back(event);
                }
            }
            self.next[index].1 = range.next;
            // The one that was read goes to the back, so that a busy partition does not starve the others.
            self.next[index..].rotate_left(1);
            return Ok(true);
        }
        Ok(false)
    }

    fn event_of(&self, message: &Message) -> Option<Event> {
        let value = message.value.as_deref()?;
        // What is no record is nothing to follow; the archive counts it.
        let record = AuditRecord::from_json(value).ok()?;
        if !self.filter.matches(&record) {
            return None;
        }
        let json = std::str::from_utf8(value).ok()?;
        Some(Event::default().event("record").id(self.id()).data(json))
    }

    /// Where every partition goes on: `0:17,1:4,…`.
    fn id(&self) -> String {
        let mut next = self.next.clone();
        next.sort_unstable();
        next.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect::<Vec<_>>().join(",")
    }
}

/// Reads an id. A partition that it does not name begins at its first message: it was added since.
fn resume(id: &str, bounds: &[Bounds]) -> Result<Vec<(Partition, Offset)>, Problem> {
    let wrong = || {
        Problem::field(
            "Last-Event-ID",
            "is no id of this stream: leave it out, or send the last one as it came",
        )
    };
    let mut next: Vec<(Partition, Offset)> = bounds.iter().map(|b| (b.partition, b.start)).collect();
    for part in id.split(',') {
        let (partition, offset) = part.split_once(':').ok_or_else(wrong)?;
        let (partition, offset): (Partition, Offset) =
            (partition.parse().map_err(|_| wrong())?, offset.parse().map_err(|_| wrong())?);
        let entry = next.iter_mut().find(|(known, _)| *known == partition).ok_or_else(wrong)?;
        let end = bounds.iter().find(|b| b.partition == partition).map_or(0, |b| b.end);
        if offset > end {
            return Err(wrong());
        }
        entry.1 = entry.1.max(offset);
    }
    Ok(next)
}
