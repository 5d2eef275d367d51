//! The task that keeps the fold current.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::State;
use super::event::{ControlEvent, EventError};
use crate::follow::{Batch, Follow, FollowEvent};

/// Why folding ended for good. The settings stay as they are; writes are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    #[error(transparent)]
    Event(EventError),
    #[error("{0}")]
    Log(String),
    #[error("the log was closed")]
    Closed,
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
            if stopped != Stopped::Closed {
                tracing::error!(error = %stopped, "settings are no longer kept current");
            }
            let mut folded = state.write();
            folded.stopped = Some(stopped);
            // Whoever waits for its own write learns that it will not come back.
            folded.awaited.clear();
            drop(folded);
            state.reached.send_modify(|_| {});
            return;
        }
    }
}

fn fold(state: &State, batch: &Batch) -> Result<(), Stopped> {
    for message in &batch.messages {
        let event = ControlEvent::read(message).map_err(Stopped::Event)?;
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
