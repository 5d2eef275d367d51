//! Reads of old ranges: at most two consumers a process, which serve all cursors as an elevator.
//!
//! Requests wait in one queue sorted by (topic, partition, offset). A reader takes the next one at or
//! after where it stands, reads a window from there, and serves every request that begins inside the
//! window: cursors that are near each other share a fetch.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range as Span;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tokio::sync::oneshot;

use crate::position::{Bounds, Offset, Partition, Position};
use crate::read::{Range, ReadError, ReadLimit};
use crate::topic::Topic;

use super::ahead::{self, Ahead};
use super::ask::{bounds_of, bounds_within, is_passing, of_leader};
use super::client::{Clients, Logged, PlainConsumer, REQUEST_WAIT, partition_count, reason};
use super::window::Window;
use super::wire::message_of;

/// How many consumers serve reads.
const READERS: usize = 2;

/// Most reads that wait. Past it a read is refused at once.
const WAITING_MAX: usize = 1024;

/// Most bytes of one window.
const WINDOW_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most messages of one window.
const WINDOW_MESSAGES_MAX: usize = 8 * 1024;

/// How long one read may take, waiting included.
const READ_WAIT: Duration = Duration::from_secs(10);

/// How long reading a window may take before it ends with what it has.
const WINDOW_WAIT: Duration = Duration::from_secs(5);

/// How old what is known of a partition's ends may be. Readers beside the tail ask often.
const BOUNDS_AGE_MAX: Duration = Duration::from_millis(50);

/// After this without a request a reader gives up its place.
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// What a reader's consumer fetches ahead, in KiB.
const FETCHED_AHEAD_KIB: &str = "2048";

/// Where a request begins, and a number that tells equal ones apart.
type Stop = (Topic, Partition, Offset, u64);

type Answered = oneshot::Receiver<Result<Range, ReadError>>;

fn too_late() -> ReadError {
    ReadError::Unavailable(format!("nothing was read within {} s", READ_WAIT.as_secs()))
}

struct Request {
    limit: ReadLimit,
    until: Instant,
    answer: oneshot::Sender<Result<Range, ReadError>>,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<Stop, Request>,
    number: u64,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    bell: Condvar,
    /// Of the records alone: what else is read in ranges is read to its end.
    ahead: Mutex<Ahead>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads for everybody.
pub(super) struct Readers {
    clients: Clients,
    shared: Arc<Shared>,
    /// Also asked for ends and times: librdkafka's clients may be shared by threads.
    consumers: Vec<Arc<PlainConsumer>>,
}

impl Readers {
    pub(super) fn start(clients: Clients) -> KafkaResult<Arc<Self>> {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), bell: Condvar::new(), ahead: Mutex::default() });
        let mut consumers = Vec::with_capacity(READERS);
        for index in 0..READERS {
            let config = clients.consumer(
                "read",
                &[("queued.max.messages.kbytes", FETCHED_AHEAD_KIB), ("queued.min.messages", "1000")],
            );
            let consumer = Arc::new(PlainConsumer::from_config_and_context(&config, Logged)?);
            consumers.push(Arc::clone(&consumer));
            let reader = Reader {
                clients: clients.clone(),
                shared: Arc::clone(&shared),
                consumer,
                at: None,
                ends: HashMap::new(),
            };
            thread::Builder::new()
                .name(format!("journal-read-{index}"))
                .spawn(move || reader.run())
                .map_err(|e| KafkaError::ClientCreation(e.to_string()))?;
        }
        Ok(Arc::new(Self { clients, shared, consumers }))
    }

    pub(super) async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        let answered = self.ask(topic, partition, from, limit)?;
        match tokio::time::timeout(READ_WAIT, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ReadError::Unavailable("the journal is closed".to_owned())),
            Err(_) => Err(too_late()),
        }
    }

    /// The same, on a thread of ours.
    pub(super) fn read_blocking(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        // A request that waited too long is dropped by its reader, so this ends.
        self.ask(topic, partition, from, limit)?.blocking_recv().unwrap_or_else(|_| Err(too_late()))
    }

    fn ask(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Answered, ReadError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.shared.queue();
            if queue.closed {
                return Err(ReadError::Unavailable("the journal is closed".to_owned()));
            }
            if let Some(range) = self.shared.ahead().take(topic, partition, from, limit) {
                let _ = answer.send(Ok(range));
                return Ok(answered);
            }
            if queue.waiting.len() >= WAITING_MAX {
                return Err(ReadError::Unavailable(format!("{WAITING_MAX} reads wait already")));
            }
            queue.number += 1;
            let stop = (topic, partition, from, queue.number);
            queue.waiting.insert(stop, Request { limit, until: Instant::now() + READ_WAIT, answer });
        }
        self.shared.bell.notify_one();
        Ok(answered)
    }

    /// What every partition of a topic holds; one deadline for all. Blocking.
    pub(super) fn bounds(&self, topic: Topic, partitions: u32) -> Result<Vec<Bounds>, ReadError> {
        let name = self.clients.topic_name(topic);
        let until = Instant::now() + REQUEST_WAIT;
        let left = || until.saturating_duration_since(Instant::now());
        (0..partition_count(topic, partitions))
            .map(|partition| bounds_within(&self.consumers[0], &name, partition, left()))
            .collect::<KafkaResult<_>>()
            .map_err(|error| ReadError::Unavailable(reason(&error)))
    }

    /// What one partition holds. Blocking.
    pub(super) fn bounds_at(&self, topic: Topic, partition: Partition) -> Result<Bounds, ReadError> {
        let bounds = bounds_of(&self.consumers[0], &self.clients.topic_name(topic), partition);
        bounds.map_err(|error| ReadError::Unavailable(reason(&error)))
    }

    /// Per partition the first offset at or after a time. Blocking.
    pub(super) fn offsets_at(
        &self,
        topic: Topic,
        partitions: u32,
        at_ms: i64,
    ) -> Result<Vec<Position>, ReadError> {
        let unavailable = |error: KafkaError| ReadError::Unavailable(reason(&error));
        let name = self.clients.topic_name(topic);
        let mut times = TopicPartitionList::new();
        for partition in 0..partition_count(topic, partitions) {
            times
                .add_partition_offset(&name, partition as i32, KafkaOffset::Offset(at_ms.max(0)))
                .map_err(unavailable)?;
        }
        let offsets = of_leader(REQUEST_WAIT, |wait| {
            let offsets = self.consumers[0].offsets_for_times(times.clone(), wait)?;
            offsets.elements().iter().try_for_each(|element| element.error())?;
            Ok(offsets)
        });
        let offsets = offsets.map_err(unavailable)?;
        let mut positions = Vec::new();
        for element in offsets.elements() {
            let partition = element.partition() as Partition;
            let offset = match element.offset() {
                KafkaOffset::Offset(offset) if offset >= 0 => offset as Offset,
                _ => bounds_of(&self.consumers[0], &name, partition).map_err(unavailable)?.end,
            };
            positions.push(Position { partition, offset });
        }
        positions.sort_unstable();
        Ok(positions)
    }

    /// Answers no more.
    pub(super) fn close(&self) {
        let mut queue = self.shared.queue();
        queue.closed = true;
        queue.waiting.clear();
        drop(queue);
        self.shared.bell.notify_all();
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a reader does next.
enum Next {
    Request(Stop, Request),
    Idle,
    Closed,
}

/// One reader's thread.
struct Reader {
    clients: Clients,
    shared: Arc<Shared>,
    consumer: Arc<PlainConsumer>,
    /// Where the consumer stands: reading on from there needs no new assignment.
    at: Option<(Topic, Partition, Offset)>,
    ends: HashMap<(Topic, Partition), (Bounds, Instant)>,
}

impl Reader {
    fn run(mut self) {
        loop {
            let (stop, request) = match self.next() {
                Next::Request(stop, request) => (stop, request),
                // What librdkafka reports while nobody reads must not pile up.
                Next::Idle => {
                    self.shared.ahead().drop_stale();
                    self.stand_nowhere();
                    continue;
                }
                Next::Closed => return,
            };
            let (topic, partition, from, _) = stop;
            if request.until <= Instant::now() || request.answer.is_closed() {
                continue;
            }
            // What another request's window brought since this one was asked.
            if topic == Topic::Records
                && let Some(range) = self.shared.ahead().take(topic, partition, from, request.limit)
            {
                let _ = request.answer.send(Ok(range));
                continue;
            }
            match self.window(topic, partition, from, request.limit) {
                Ok(window) => {
                    // A caller that is gone needs no answer.
                    let _ = request.answer.send(Ok(window.cut(from, request.limit)));
                    // Those that begin where the window has something for them.
                    for (from, near) in self.waiting(topic, partition, window.from..window.next) {
                        let _ = near.answer.send(Ok(window.cut(from, near.limit)));
                    }
                }
                Err(error) => {
                    // A partition that can't be read now would keep everybody waiting once for each of its requests.
                    if matches!(error, ReadError::Unavailable(_)) {
                        for (_, other) in self.waiting(topic, partition, 0..Offset::MAX) {
                            let _ = other.answer.send(Err(error.clone()));
                        }
                    }
                    let _ = request.answer.send(Err(error));
                }
            }
        }
    }

    /// The next request on the elevator's way; from the bottom again after the last.
    fn next(&self) -> Next {
        let mut queue = self.shared.queue();
        loop {
            if queue.closed {
                return Next::Closed;
            }
            let ahead = self.at.map(|(topic, partition, offset)| (topic, partition, offset, 0));
            let stop = ahead
                .and_then(|at| queue.waiting.range(at..).next())
                .or_else(|| queue.waiting.iter().next())
                .map(|(stop, _)| *stop);
            if let Some(stop) = stop
                && let Some(request) = queue.waiting.remove(&stop)
            {
                return Next::Request(stop, request);
            }
            let (woken, timeout) =
                self.shared.bell.wait_timeout(queue, IDLE_AFTER).unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() && woken.waiting.is_empty() && !woken.closed {
                return Next::Idle;
            }
            queue = woken;
        }
    }

    /// Takes the waiting requests that begin at these offsets.
    fn waiting(&self, topic: Topic, partition: Partition, at: Span<Offset>) -> Vec<(Offset, Request)> {
        let mut queue = self.shared.queue();
        let inside = (topic, partition, at.start, 0)..(topic, partition, at.end, 0);
        let stops: Vec<Stop> = queue.waiting.range(inside).map(|(stop, _)| *stop).collect();
        stops
            .into_iter()
            .filter_map(|stop| queue.waiting.remove(&stop).map(|request| (stop.2, request)))
            .collect()
    }

    fn window(
        &mut self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Window, ReadError> {
        let unavailable = |error: KafkaError| ReadError::Unavailable(reason(&error));
        let bounds = self.bounds(topic, partition, from).map_err(unavailable)?;
        let Bounds { start, end, .. } = bounds;
        if from < start || from > end {
            return Err(ReadError::OutOfRange { from, start, end });
        }
        let mut window = Window { from, messages: Vec::new(), next: from, end };
        if from == end {
            return Ok(window);
        }
        self.stand_at(topic, partition, from).map_err(unavailable)?;
        // Sharers may want more than this request does, but not at the price of its waiting.
        let bytes_max = limit.bytes.min(WINDOW_BYTES_MAX);
        let messages_max = limit.messages.clamp(1, WINDOW_MESSAGES_MAX);
        let mut bytes = 0;
        let until = Instant::now() + WINDOW_WAIT;
        while window.messages.len() < messages_max && bytes < bytes_max && window.next < end {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.consumer.poll(left.min(Duration::from_millis(100))) {
                None => {}
                // What a former assignment left in the queue.
                Some(Ok(message)) if message.partition() as Partition != partition => {}
                Some(Ok(message)) => {
                    let message = message_of(&message);
                    if message.offset < window.next {
                        continue;
                    }
                    window.next = message.offset + 1;
                    bytes += message.bytes();
                    window.messages.push(message);
                }
                Some(Err(KafkaError::PartitionEOF(at))) if at as Partition == partition => {
                    let position = self.position(topic, partition);
                    if window.is_before_the_end(position) {
                        continue;
                    }
                    window.next = window.next.max(position.unwrap_or(0));
                    window.end = window.end.max(window.next);
                    break;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => {
                    tracing::debug!(reason = reason(&error), "a read was interrupted");
                    self.ends.remove(&(topic, partition));
                    self.stand_nowhere();
                    return if window.messages.is_empty() { Err(unavailable(error)) } else { Ok(window) };
                }
            }
        }
        self.at = Some((topic, partition, window.next));
        if window.messages.is_empty() && window.next == from {
            self.stand_nowhere();
            return Err(ReadError::Unavailable("the broker sent nothing in time".to_owned()));
        }
        if topic == Topic::Records {
            self.take_what_is_fetched(topic, partition, window.next, end);
        }
        Ok(window)
    }

    /// Takes along what is fetched and unpacked already beyond a window that ends at `from`.
    fn take_what_is_fetched(&mut self, topic: Topic, partition: Partition, from: Offset, end: Offset) {
        let (mut messages, mut bytes, mut next) = (VecDeque::new(), 0, from);
        let mut stands_at = true;
        while bytes < ahead::PARTITION_BYTES_MAX
            && let Some(polled) = self.consumer.poll(Duration::ZERO)
        {
            let Ok(message) = polled else {
                // Whatever it is, it is told again to the read that is put here anew.
                stands_at = false;
                break;
            };
            if message.partition() as Partition != partition || (message.offset() as Offset) < next {
                continue;
            }
            let message = message_of(&message);
            next = message.offset + 1;
            bytes += message.bytes();
            messages.push_back(message);
        }
        // What was taken may lie beyond the end that was asked for before: more was appended.
        self.shared.ahead().keep((topic, partition), (from, next), end.max(next), messages);
        self.at = stands_at.then_some((topic, partition, next));
    }

    /// The ends of a partition: remembered for a moment, asked again when a read lies outside.
    fn bounds(&mut self, topic: Topic, partition: Partition, from: Offset) -> KafkaResult<Bounds> {
        if let Some((bounds, at)) = self.ends.get(&(topic, partition))
            && at.elapsed() < BOUNDS_AGE_MAX
            && (bounds.start..bounds.end).contains(&from)
        {
            return Ok(*bounds);
        }
        let bounds = bounds_of(&self.consumer, &self.clients.topic_name(topic), partition)?;
        self.ends.insert((topic, partition), (bounds, Instant::now()));
        Ok(bounds)
    }

    /// Fetches nothing any more, and empties the queue.
    fn stand_nowhere(&mut self) {
        self.at = None;
        if let Err(error) = self.consumer.unassign() {
            tracing::debug!(%error, "a reader keeps its place");
        }
        while self.consumer.poll(Duration::ZERO).is_some() {}
    }

    fn stand_at(&mut self, topic: Topic, partition: Partition, from: Offset) -> KafkaResult<()> {
        if self.at == Some((topic, partition, from)) {
            return Ok(());
        }
        self.at = None;
        let mut assignment = TopicPartitionList::new();
        let name = self.clients.topic_name(topic);
        assignment.add_partition_offset(&name, partition as i32, KafkaOffset::Offset(from as i64))?;
        self.consumer.assign(&assignment)
    }

    /// Where the consumer stands in the partition, past what is not messages.
    fn position(&self, topic: Topic, partition: Partition) -> Option<Offset> {
        let positions = self.consumer.position().ok()?;
        let element = positions.find_partition(&self.clients.topic_name(topic), partition as i32)?;
        match element.offset() {
            KafkaOffset::Offset(offset) if offset >= 0 => Some(offset as Offset),
            _ => None,
        }
    }
}
