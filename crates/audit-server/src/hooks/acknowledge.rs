//! Getting a webhook's messages to where they are durable: the log, else the spool.
//!
//! Every hook of a source keeps its place: while the spool holds anything of the source, the next one waits
//! behind it. Requests that a platform sends at the same time have no order to keep.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use audit_journal::{AppendOutcome, SpoolError};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::app::App;
use crate::hooks::waiting::Waiting;
use crate::problem::{Kind, Problem};

/// Most appends that are still under way though their hook was spooled; beyond it hooks go to the spool without
/// an attempt.
const ATTEMPTS_IN_DOUBT_MAX: usize = 256;

/// Where messages became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// On the log.
    OnLog,
    /// In the spool, behind what else waits there.
    InSpool,
}

/// What became of an append.
pub(crate) type Outcomes = Vec<AppendOutcome>;

/// What request handlers and the drainer of the spool share.
#[derive(Debug, Default)]
pub(crate) struct Spooling {
    /// Appends that took too long for their hook. The drainer waits for their end before it touches the
    /// entry, so that an append that succeeds late is not repeated.
    in_doubt: Mutex<HashMap<Uuid, JoinHandle<Outcomes>>>,
    /// Tells the drainer of a new entry.
    pub(crate) filled: Notify,
    /// Webhooks that are being taken in.
    under_way: TaskTracker,
}

impl Spooling {
    /// Counts a webhook as under way until the token is dropped.
    pub(crate) fn begin(&self) -> TaskTrackerToken {
        self.under_way.token()
    }

    /// Carries `work` through even if whoever waits for it is gone: a platform that hangs up hardly sends again.
    pub(crate) async fn carry_through<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.under_way.spawn(work.in_current_span()).await
    }

    /// Waits until no webhook is under way. For the end: more may begin, and are waited for no longer.
    pub(crate) async fn finished(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    fn doubt(&self, attempt: Uuid, append: JoinHandle<Outcomes>) {
        self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt, append);
    }

    fn is_full_of_doubt(&self) -> bool {
        self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner).len() >= ATTEMPTS_IN_DOUBT_MAX
    }

    /// Takes over an append that was begun by this process and not known to have ended.
    pub(crate) fn take_doubt(&self, attempt: &Uuid) -> Option<JoinHandle<Outcomes>> {
        self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner).remove(attempt)
    }
}

/// Makes the messages durable. When it returns `Ok`, they are on the log, or fsynced in the spool from where
/// they reach the log in order and once:
///
/// - If we crash while the append is under way, the platform gets no answer and sends again or does not; the
///   log holds the records or does not. Nothing was promised.
/// - If the append takes too long, the entry names the attempt. If we crash before the entry is fsynced,
///   nothing was promised; after it, the drainer looks on the log for the attempt's messages, by their marks,
///   before it appends them.
///
/// To be called where it is not cancelled: between the append and the entry that names it, only this knows of both.
pub(crate) async fn acknowledge(app: &App, mut waiting: Waiting) -> Result<Acknowledged, Problem> {
    let must_wait = app.spool().is_some_and(|spool| spool.holds(&waiting.source))
        || !app.journal().is_writable()
        || app.spooling().is_full_of_doubt();
    if must_wait {
        return spool(app, waiting).await;
    }
    let (journal, topic, messages) = (app.journal().clone(), waiting.topic, waiting.messages.clone());
    // A task of its own: it goes on after we gave up waiting, and its end is learned.
    let mut append = tokio::spawn(async move { journal.append(topic, messages).await });
    let started = std::time::Instant::now();
    match tokio::time::timeout(app.config().hook_acknowledge_timeout, &mut append).await {
        Ok(Ok(outcomes)) if outcomes.iter().all(|o| matches!(o, AppendOutcome::Appended(_))) => {
            app.metrics().append_took(started.elapsed());
            app.spool_accepts(true);
            return Ok(Acknowledged::OnLog);
        }
        // Surely not on the log: as if it had not been tried.
        Ok(Ok(outcomes)) if outcomes.iter().all(|o| matches!(o, AppendOutcome::NotAppended(_))) => {}
        Ok(_) => waiting.attempt = Some(Uuid::new_v4()),
        Err(_) => {
            let attempt = Uuid::new_v4();
            waiting.attempt = Some(attempt);
            app.spooling().doubt(attempt, append);
        }
    }
    let attempt = waiting.attempt;
    let spooled = spool(app, waiting).await;
    if let (Err(_), Some(attempt)) = (&spooled, attempt) {
        // No entry names it, so nobody will ask for its end.
        drop(app.spooling().take_doubt(&attempt));
    }
    spooled
}

async fn spool(app: &App, waiting: Waiting) -> Result<Acknowledged, Problem> {
    let Some(spool) = app.spool() else {
        return Err(Problem::new(
            Kind::Unavailable,
            "the log does not answer, and this process has no spool",
        )
        .retry_after_s(5));
    };
    match spool.push(&waiting.source, waiting.received_at.micros(), waiting.to_entry()).await {
        Ok(_) => {
            app.spool_accepts(true);
            app.spooling().filled.notify_one();
            Ok(Acknowledged::InSpool)
        }
        Err(error) => {
            app.spool_accepts(false);
            let detail = match error {
                SpoolError::Full { .. } => "the log does not answer and the spool is full",
                _ => "the log does not answer and the spool can't be written",
            };
            Err(Problem::new(Kind::Unavailable, detail).retry_after_s(5).cause(error))
        }
    }
}
