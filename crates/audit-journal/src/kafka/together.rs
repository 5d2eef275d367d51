//! Messages of several topics together or not at all: a transactional producer on a thread of its own, made
//! when first needed, one transaction at a time. One serves the settings; another, for as long as there is
//! anything to drain, the spool.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::append::AppendError;
use crate::message::NewMessage;
use crate::position::Position;
use crate::read::ReadLimit;
use crate::topic::Topic;

use super::client::blocking;
use super::pace::Pace;
use super::reader::Readers;
use super::transaction::{TransactionError, Transactor};

/// Most requests that wait.
const WAITING_MAX: usize = 64;

/// How long a commit whose answer is lost is asked for again.
const COMMIT_WAIT: Duration = Duration::from_secs(20);

/// How many times what a lost commit left in doubt is looked for before the answer is "unknown".
const SETTLE_ATTEMPTS: usize = 5;

type Answer = oneshot::Sender<Result<Vec<Position>, AppendError>>;

/// What the thread is asked.
enum Request {
    Append(Vec<(Topic, NewMessage)>, Answer),
    /// To end what is in doubt; answered without positions.
    Settle(Answer),
}

/// Appends together. Its thread ends with it.
pub(crate) struct Together {
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    thread: Arc<Mutex<Option<thread::JoinHandle<()>>>>,
}

impl Together {
    pub(super) fn start(transactor: Transactor, partitions: u32, readers: Arc<Readers>) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let worker = Worker { transactor, partitions, readers };
        let spawned =
            thread::Builder::new().name("journal-together".to_owned()).spawn(move || worker.run(waiting));
        let thread = spawned.map_err(|error| tracing::error!(%error, "a thread can't be started")).ok();
        Self { requests: Mutex::new(Some(requests)), thread: Arc::new(Mutex::new(thread)) }
    }

    pub(crate) async fn append(
        &self,
        messages: Vec<(Topic, NewMessage)>,
    ) -> Result<Vec<Position>, AppendError> {
        self.ask(|answer| Request::Append(messages, answer)).await
    }

    /// When it returns `Ok`, everything that was ever appended by this transactional id, by whichever process,
    /// is there for readers or never will be.
    pub(crate) async fn settle(&self) -> Result<(), AppendError> {
        self.ask(Request::Settle).await.map(drop)
    }

    async fn ask(&self, request: impl FnOnce(Answer) -> Request) -> Result<Vec<Position>, AppendError> {
        let closed = || AppendError::NotAppended("the journal is closed".to_owned());
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, outcome) = oneshot::channel();
        requests.ok_or_else(closed)?.send(request(answer)).await.map_err(|_| closed())?;
        outcome.await.unwrap_or_else(|_| Err(AppendError::Unknown("the journal's thread ended".to_owned())))
    }

    /// Takes no more, and finishes what waits.
    pub(super) async fn close(&self) {
        drop(self.requests.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = Arc::clone(&self.thread);
        blocking(move || {
            let running = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if running.is_some_and(|running| running.join().is_err()) {
                tracing::error!("a thread that appends panicked");
            }
        })
        .await;
    }
}

struct Worker {
    transactor: Transactor,
    partitions: u32,
    readers: Arc<Readers>,
}

impl Worker {
    fn run(mut self, mut waiting: mpsc::Receiver<Request>) {
        while let Some(request) = waiting.blocking_recv() {
            // A caller that is gone needs no answer.
            let _ = match request {
                Request::Append(messages, answer) => answer.send(self.append(&messages)),
                Request::Settle(answer) => answer.send(self.settle()),
            };
        }
    }

    fn settle(&mut self) -> Result<Vec<Position>, AppendError> {
        self.transactor.settle().map(|()| Vec::new()).map_err(|error| match error {
            TransactionError::Aborted(reason)
            | TransactionError::Fenced(reason)
            | TransactionError::Unknown(reason, _) => AppendError::NotAppended(reason),
        })
    }

    fn append(&mut self, messages: &[(Topic, NewMessage)]) -> Result<Vec<Position>, AppendError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        match self.transactor.run(messages, self.partitions, None, COMMIT_WAIT) {
            Ok(positions) => Ok(positions),
            Err(TransactionError::Aborted(reason) | TransactionError::Fenced(reason)) => {
                Err(AppendError::NotAppended(reason))
            }
            Err(TransactionError::Unknown(reason, positions)) => {
                match settle(&mut self.transactor, &self.readers, &positions, messages, || false) {
                    Some(true) => Ok(positions),
                    Some(false) => Err(AppendError::NotAppended(reason)),
                    None => Err(AppendError::Unknown(reason)),
                }
            }
        }
    }
}

/// Finds out what became of a transaction whose commit was not answered: ends it, then looks whether its
/// first message is there for readers of committed messages. `None` where the brokers can't be asked, and it was
/// tried often enough or `is_given_up`.
pub(super) fn settle(
    transactor: &mut Transactor,
    readers: &Readers,
    positions: &[Position],
    messages: &[(Topic, NewMessage)],
    is_given_up: impl Fn() -> bool,
) -> Option<bool> {
    let (position, (topic, _)) = (positions.first()?, messages.first()?);
    let mut pace = Pace::new();
    for _ in 0..SETTLE_ATTEMPTS {
        if let Err(error) = transactor.settle() {
            tracing::info!(?error, "a transaction in doubt has not ended yet");
        } else {
            let limit = ReadLimit { messages: 1, bytes: 1 };
            let read = readers.read_blocking(*topic, position.partition, position.offset, limit);
            match read {
                Ok(range) if range.next > position.offset => {
                    return Some(range.messages.first().is_some_and(|first| first.offset == position.offset));
                }
                Ok(range) => {
                    tracing::info!(?position, end = range.end, "a transaction in doubt can't be read yet");
                }
                Err(error) => tracing::info!(?position, %error, "a transaction in doubt can't be read yet"),
            }
        }
        if is_given_up() {
            break;
        }
        thread::sleep(pace.next_pause());
    }
    None
}
