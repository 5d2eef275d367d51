//! What keeps the fold current.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::State;
use super::event::{ControlEvent, EventError};
use super::fold::Fold;
use crate::error::OpenError;
use crate::follow::{Batch, Follow, FollowEvent};
use crate::journal::Journal;
use crate::position::Offset;
use crate::topic::Topic;

/// How long reading `control` up to its present end may take.
pub(super) const READ_UP_MAX: Duration = Duration::from_secs(60);

/// Pause before `control` is read again, after that failed.
const READ_UP_PAUSE: Duration = Duration::from_secs(1);

/// Why folding ended for good. The settings stay as they are; writes are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    #[error(transparent)]
    Event(#[from] EventError),
    #[error("{0}")]
    Log(String),
    #[error("the log was closed")]
    Closed,
}

impl From<Stopped> for OpenError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Event(error) => error.into(),
            Stopped::Log(reason) => Self::Refused(reason),
            Stopped::Closed => Self::Unavailable("the log was closed".to_owned()),
        }
    }
}

/// Folds `control` from its start to its present end at least; how far it is, and the way on.
pub(super) async fn read_up(journal: &Journal) -> Result<(Fold, Offset, Follow), OpenError> {
    let bounds = journal.bounds(Topic::Control).await;
    let bounds = bounds.map_err(|e| OpenError::Unavailable(e.to_string()))?;
    let end = bounds.first().map_or(0, |bounds| bounds.end);
    // From 0, always: no position in `control` is persisted.
    let mut follow = journal.follow(Topic::Control, Vec::new()).await;
    let mut fold = Fold::default();
    let mut next = 0;
    let reading = async {
        while next < end {
            match follow.next().await {
                Some(FollowEvent::Messages(batch)) => {
                    for message in &batch.messages {
                        fold.apply(ControlEvent::read(message)?);
                        next = message.offset + 1;
                    }
                }
                Some(FollowEvent::Level { next: level, .. }) => next = level,
                Some(FollowEvent::Stopped(reason)) => return Err(Stopped::Log(reason.to_string())),
                None => return Err(Stopped::Closed),
            }
        }
        Ok(())
    };
    tokio::time::timeout(READ_UP_MAX, reading)
        .await
        .map_err(|_| OpenError::Unavailable("the settings were not read in time".to_owned()))??;
    Ok((fold, next, follow))
}

/// Waits for a log that has not been reached yet, puts what it says in the place of the copy, then follows.
pub(super) async fn run_once_reached(journal: Journal, state: Arc<State>, stop: CancellationToken) {
    let reading = async {
        journal.reached().await?;
        loop {
            match read_up(&journal).await {
                Err(OpenError::Unavailable(problem)) => {
                    tracing::warn!(problem, "the settings can't be read from the log yet");
                    tokio::time::sleep(READ_UP_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    };
    let Some(outcome) = stop.run_until_cancelled(reading).await else { return };
    // The journal is not kept by who only follows it.
    drop(journal);
    match outcome {
        Ok((fold, next, follow)) => {
            state.take_the_logs_word(fold, next);
            run(follow, state, stop).await;
        }
        Err(error) => end(&state, Stopped::Log(error.to_string())),
    }
}

/// Follows until the last `Control` is dropped, the log is closed, or an event can't be read: what it
/// means is unknown, so nothing after it can be trusted to mean what it says.
pub(super) async fn run(mut follow: Follow, state: Arc<State>, stop: CancellationToken) {
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = follow.next() => event,
        };
        let folded = match event {
            Some(FollowEvent::Messages(batch)) => fold(&state, &batch),
            Some(FollowEvent::Level { next, .. }) => {
                state.reach(next);
                Ok(())
            }
            Some(FollowEvent::Stopped(reason)) => Err(Stopped::Log(reason.to_string())),
            None => Err(Stopped::Closed),
        };
        if let Err(stopped) = folded {
            return end(&state, stopped);
        }
    }
}

/// Keeps the settings as they are from here on.
fn end(state: &State, stopped: Stopped) {
    if stopped != Stopped::Closed {
        tracing::error!(error = %stopped, "settings are no longer kept current");
    }
    let mut folded = state.write();
    folded.stopped = Some(stopped);
    // Whoever waits for its own write learns that it will not come back.
    folded.awaited.clear();
    drop(folded);
    state.reached.send_modify(|_| {});
}

fn fold(state: &State, batch: &Batch) -> Result<(), Stopped> {
    for message in &batch.messages {
        let event = ControlEvent::read(message)?;
        let mut folded = state.write();
        let id = event.event;
        let verdict = folded.fold.apply(event);
        let waiting = folded.awaited.remove(&id);
        drop(folded);
        state.revision.send_modify(|revision| *revision += 1);
        state.reach(message.offset + 1);
        if let Some(waiting) = waiting {
            let _ = waiting.send(verdict);
        }
    }
    Ok(())
}
