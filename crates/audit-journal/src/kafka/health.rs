//! Whether the brokers take appends, by the last that was heard of them; and the supervisor's bell.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// What was last heard. While it is `Silent`, appends wait for a probe instead of being queued: so they
/// are refused, where otherwise it would not be known what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Something was appended, or nothing has failed yet.
    Answering,
    /// All brokers are down, or an append timed out.
    Silent,
}

/// What the supervisor is rung for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    /// The producer met a fatal error and must be replaced.
    pub(super) replace: bool,
    /// The brokers fell silent and are to be probed.
    pub(super) probe: bool,
    /// The journal was closed.
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) struct Health {
    heard: watch::Sender<Heard>,
    call: Mutex<Call>,
    bell: Condvar,
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            heard: watch::Sender::new(Heard::Answering),
            call: Mutex::new(Call::default()),
            bell: Condvar::new(),
        }
    }

    pub(super) fn heard(&self) -> Heard {
        *self.heard.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Heard> {
        self.heard.subscribe()
    }

    pub(super) fn answered(&self) {
        self.heard.send_if_modified(|heard| std::mem::replace(heard, Heard::Answering) == Heard::Silent);
    }

    pub(super) fn fell_silent(&self) {
        let news =
            self.heard.send_if_modified(|heard| std::mem::replace(heard, Heard::Silent) == Heard::Answering);
        if news {
            self.ring(|call| call.probe = true);
        }
    }

    /// Wakes the supervisor to look at the brokers.
    pub(super) fn probe(&self) {
        self.ring(|call| call.probe = true);
    }

    pub(super) fn fatal(&self) {
        self.ring(|call| call.replace = true);
    }

    pub(super) fn close(&self) {
        self.ring(|call| call.closed = true);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.call().closed
    }

    /// Waits for a call, at most `wait`; what was called for is taken, except that closed stays closed.
    pub(super) fn wait(&self, wait: Duration) -> Call {
        let quiet = |call: &mut Call| !(call.replace || call.probe || call.closed);
        let (mut call, _) =
            self.bell.wait_timeout_while(self.call(), wait, quiet).unwrap_or_else(PoisonError::into_inner);
        let taken = *call;
        *call = Call { closed: taken.closed, ..Call::default() };
        taken
    }

    fn ring(&self, change: impl FnOnce(&mut Call)) {
        change(&mut self.call());
        self.bell.notify_all();
    }

    fn call(&self) -> MutexGuard<'_, Call> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
