//! Reaching a log that does not answer when a process starts. What is asked of it meanwhile is refused or
//! waits, as it would be had the log gone away a moment later.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::config::JournalConfig;
use crate::error::OpenError;
use crate::follow::{Follow, Wanted};
use crate::identity::LogIdentity;
use crate::journal::Backend;
use crate::owned::{CommitRequest, Committer, Fetch, Owned};
use crate::topic::Topic;

/// How long the first attempt is waited for. Who sends webhooks waits meanwhile, and gives up after 10 s.
const FIRST_WAIT: Duration = Duration::from_secs(4);

/// Pause between attempts to reach the log.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Most events that wait between a follower of the log and one that had waited for it. With those that the
/// log's own follower reads ahead, it bounds what is held for a taker.
const EVENTS_MAX: usize = 1;

/// Most commits that wait for a log that is not reached; an owner has none, for it has no partitions yet.
const COMMITS_MAX: usize = 1;

/// The log, once it is reached.
#[derive(Debug)]
pub(crate) struct Reaching {
    /// Which log it is, by what was known before it answered.
    known: LogIdentity,
    backend: OnceLock<Backend>,
    ended: watch::Sender<Option<Ended>>,
    /// Ends the attempts.
    stop: CancellationToken,
}

/// How reaching ended.
#[derive(Clone, Debug)]
enum Ended {
    Reached,
    Refused(OpenError),
}

impl Reaching {
    /// A log that is open.
    pub(crate) fn reached(backend: Backend) -> Self {
        Self {
            known: backend.identity().clone(),
            backend: OnceLock::from(backend),
            ended: watch::Sender::new(Some(Ended::Reached)),
            stop: CancellationToken::new(),
        }
    }

    /// Opens the log. If that takes long or fails for now, tries until the log answers, the journal is closed, or
    /// nobody has it any more.
    pub(crate) async fn begin(config: JournalConfig, known: LogIdentity) -> Result<Arc<Self>, OpenError> {
        let mut first = tokio::spawn(Backend::open(config.clone()));
        let (problem, under_way) = match tokio::time::timeout(FIRST_WAIT, &mut first).await {
            Ok(outcome) => match opened(outcome) {
                Ok(backend) => return Ok(Arc::new(Self::reached(backend))),
                Err(OpenError::Unavailable(problem)) => (problem, None),
                Err(error) => return Err(error),
            },
            Err(_) => (format!("not within {} s", FIRST_WAIT.as_secs()), Some(first)),
        };
        tracing::warn!(problem, "the log does not answer; going on with what is known of it");
        let stop = CancellationToken::new();
        let reaching = Arc::new(Self {
            known: known.clone(),
            backend: OnceLock::new(),
            ended: watch::Sender::new(None),
            stop: stop.clone(),
        });
        tokio::spawn(attempts(under_way, config, known, Arc::downgrade(&reaching), stop));
        Ok(reaching)
    }

    pub(crate) fn backend(&self) -> Option<&Backend> {
        self.backend.get()
    }

    pub(crate) fn identity(&self) -> &LogIdentity {
        self.backend().map_or(&self.known, Backend::identity)
    }

    /// Waits until it is known how reaching ends.
    pub(crate) async fn wait(&self) -> Result<&Backend, OpenError> {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await.map(|ended| ended.clone());
        match (ended, self.backend()) {
            (Ok(Some(Ended::Refused(error))), _) => Err(error),
            (_, Some(backend)) => Ok(backend),
            (_, None) => Err(closed()),
        }
    }

    /// Ends the attempts. What is to be closed, if the log was reached.
    pub(crate) fn close(&self) -> Option<&Backend> {
        self.stop.cancel();
        self.end(Ended::Refused(closed()));
        self.backend()
    }

    /// Only the first end counts: one that was reached stays reached.
    fn end(&self, how: Ended) {
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(how);
            is_first
        });
    }

    /// Follows once the log is reached; ends if it never is.
    pub(crate) fn follow(this: &Arc<Self>, topic: Topic, wanted: Wanted) -> Follow {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let (reaching, stop) = (Arc::clone(this), CancellationToken::new());
        let following = async move {
            let Ok(backend) = reaching.wait().await else { return };
            let mut follow = backend.follow(topic, wanted).await;
            // The journal is let go of: whoever has the follower has it too.
            drop(reaching);
            while let Some(event) = follow.next().await {
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        };
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(following).await });
        Follow { events, _stop: stop.drop_guard() }
    }

    /// Joins the group once the log is reached; ends if it never is.
    pub(crate) fn follow_owned(this: &Arc<Self>, group: &str, fetch: Fetch) -> Owned {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let (requests, asked) = mpsc::channel(COMMITS_MAX);
        let (leave, leaving) = oneshot::channel();
        let (reaching, group, stop) = (Arc::clone(this), group.to_owned(), CancellationToken::new());
        let owning = async move {
            let Ok(backend) = reaching.wait().await else { return };
            let owned = backend.follow_owned(&group, fetch).await;
            drop(reaching);
            pass_on(owned, sender, asked, leaving).await;
        };
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(owning).await });
        Owned { events, committer: Committer { requests }, leave, _stop: stop.drop_guard() }
    }
}

impl Drop for Reaching {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn closed() -> OpenError {
    OpenError::Unavailable("the journal was closed".to_owned())
}

/// What became of an attempt. One that panicked is tried again: that is no worse than to end.
fn opened(outcome: Result<Result<Backend, OpenError>, JoinError>) -> Result<Backend, OpenError> {
    outcome.unwrap_or_else(|panic| Err(OpenError::Unavailable(panic.to_string())))
}

async fn attempts(
    mut under_way: Option<JoinHandle<Result<Backend, OpenError>>>,
    config: JournalConfig,
    known: LogIdentity,
    reaching: Weak<Reaching>,
    stop: CancellationToken,
) {
    loop {
        let attempt = match under_way.take() {
            Some(attempt) => attempt,
            None if stop.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await.is_none() => return,
            None => tokio::spawn(Backend::open(config.clone())),
        };
        let outcome = opened(attempt.await);
        if matches!(outcome, Err(OpenError::Unavailable(_))) {
            continue;
        }
        let outcome = outcome.map(|backend| (is_known(&backend, &known), backend));
        let Some(reaching) = reaching.upgrade().filter(|_| !stop.is_cancelled()) else {
            if let Ok((_, backend)) = outcome {
                backend.close().await;
            }
            return;
        };
        let ended = match outcome {
            Ok((Ok(()), backend)) => {
                tracing::info!("the log was reached");
                // Set once: only this task does.
                let _ = reaching.backend.set(backend);
                Ended::Reached
            }
            Ok((Err(error), backend)) => {
                backend.close().await;
                Ended::Refused(error)
            }
            Err(error) => Ended::Refused(error),
        };
        reaching.end(ended);
        return;
    }
}

/// Whether it is the log that was known before. Ids that were derived meanwhile are of that one.
fn is_known(backend: &Backend, known: &LogIdentity) -> Result<(), OpenError> {
    let found = backend.identity();
    if found.deployment == known.deployment && found.partitions == known.partitions {
        return Ok(());
    }
    Err(OpenError::Refused(format!(
        "the log that answers is of deployment {}, and this machine's copy of the settings is of deployment {}: start again to go on with the one that answers, or mend kafka.brokers or kafka.prefix first",
        found.deployment, known.deployment
    )))
}

/// Between an owner that waited for the log and the one on the log, until either is gone.
async fn pass_on(
    owned: Owned,
    events: mpsc::Sender<crate::owned::OwnedEvent>,
    mut asked: mpsc::Receiver<CommitRequest>,
    mut leaving: oneshot::Receiver<oneshot::Sender<()>>,
) {
    let Owned { events: mut from_log, committer, leave, _stop } = owned;
    let commits = async {
        while let Some(request) = asked.recv().await {
            if committer.requests.send(request).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await
    };
    let passing = async {
        while let Some(event) = from_log.recv().await {
            if events.send(event).await.is_err() {
                // Whoever leaves drops its events first, and says what it wants next.
                std::future::pending::<()>().await;
            }
        }
    };
    let answer = tokio::select! {
        () = commits => None,
        () = passing => None,
        answer = &mut leaving => answer.ok(),
    };
    drop(from_log);
    if let Some(answer) = answer
        && leave.send(answer).is_ok()
    {
        // The guard is kept until the leaver has its answer and drops its own.
        std::future::pending::<()>().await;
    }
}
