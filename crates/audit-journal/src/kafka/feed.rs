//! Between a polling thread and whoever takes its events: a bounded channel, and a short row of events
//! that did not fit yet.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Most events in the channel; a batch is bounded too, so this bounds what is read ahead for a taker.
const EVENTS_MAX: usize = 4;

/// How often it is looked whether the taker made room.
const ROOM_TICK: Duration = Duration::from_millis(1);

/// Events on their way out.
pub(super) struct Feed<E> {
    events: mpsc::Sender<E>,
    row: VecDeque<E>,
}

/// Whether the row is empty now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Everything is on its way.
    Free,
    /// The taker is behind: read no more for now.
    Full,
    /// The taker is gone.
    Closed,
}

impl<E> Feed<E> {
    pub(super) fn new() -> (Self, mpsc::Receiver<E>) {
        let (events, taken) = mpsc::channel(EVENTS_MAX);
        (Self { events, row: VecDeque::new() }, taken)
    }

    /// Adds an event. The caller keeps the row short by asking [`Feed::flow`].
    pub(super) fn push(&mut self, event: E) {
        self.row.push_back(event);
    }

    /// Whether events wait that are not on their way yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.row.is_empty()
    }

    /// Whether the taker is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.events.is_closed()
    }

    /// Takes back events that are not on their way yet.
    pub(super) fn retain(&mut self, keep: impl FnMut(&E) -> bool) {
        self.row.retain(keep);
    }

    /// Sends what fits, waiting at most `wait` for room.
    pub(super) fn flow(&mut self, wait: Duration) -> Flow {
        let until = Instant::now() + wait;
        while let Some(event) = self.row.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return Flow::Closed,
                Err(TrySendError::Full(event)) => {
                    self.row.push_front(event);
                    if Instant::now() >= until {
                        return Flow::Full;
                    }
                    thread::sleep(ROOM_TICK);
                }
            }
        }
        if self.is_closed() { Flow::Closed } else { Flow::Free }
    }
}
