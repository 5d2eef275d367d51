//! Moving a log from one backend to the other, every message at the offset that it had.
//!
//! Because offsets stay, so does everything that names one: bookmarks of archives, watermarks and documents of
//! the webhooks, start vectors of endpoints. The copy is therefore the same log, with the same identity and
//! epoch, and what followed the one goes on with the other. What does not stay on Kafka is the time at which
//! the log took a message: the brokers stamp it anew. (Of `progress`, of which no offset is kept anywhere, only
//! the live documents are copied.)
//!
//! `control` comes last. Until it is there the destination is no log, and can't be opened as one: if we crash
//! before that, the next run goes on where this one ended, since the end of every partition tells how far it
//! came. A destination that holds anything but the beginning of the source is refused.

mod destination;
mod verify;

use std::future::Future;

use crate::config::JournalConfig;
use crate::error::OpenError;
use crate::identity::LogIdentity;
use crate::journal::Journal;
use crate::message::Message;
use crate::position::{Bounds, Offset, Partition};
use crate::read::{Range, ReadError, ReadLimit};
use crate::topic::Topic;

use destination::Destination;
use verify::{Sum, documents, sum};

/// What is read and written at a time.
const STEP: ReadLimit = ReadLimit { messages: 4 * 1024, bytes: 4 * 1024 * 1024 };

/// The order of topics: what makes it a log comes last.
const ORDER: [Topic; 6] =
    [Topic::Records, Topic::Checkpoints, Topic::Deliveries, Topic::Rejected, Topic::Progress, Topic::Control];

/// Why a log was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source can't be opened.
    #[error("the log to copy from: {0}")]
    From(OpenError),
    /// The destination can't be opened, or is wrong.
    #[error("the log to copy to: {0}")]
    To(OpenError),
    /// The source, or what was written, can't be read now; run again.
    #[error("one of the two logs can't be read now; run again to go on: {0}")]
    Read(#[from] ReadError),
    /// The destination can't be written now; run again.
    #[error("the log to copy to does not take it; run again to go on: {0}")]
    Write(String),
    /// The destination holds something else.
    #[error(
        "partition {partition} of {topic} is not empty where the log is to be copied to, and what it holds is not the beginning of the one to copy: delete what is there, or name another destination"
    )]
    NotEmpty {
        /// The topic, without its prefix.
        topic: &'static str,
        /// The partition.
        partition: Partition,
    },
    /// Somebody appended to the source meanwhile.
    #[error(
        "something was appended to the log while it was copied: stop every process that uses it, then run again to copy the rest"
    )]
    Moved,
    /// The copy is not what was copied.
    #[error(
        "partition {partition} of {topic} is not what was copied: delete the destination and begin again"
    )]
    Differs {
        /// The topic, without its prefix.
        topic: &'static str,
        /// The partition.
        partition: Partition,
    },
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyProgress {
    /// What is under way.
    pub topic: Topic,
    /// Whether it is being compared, after it was copied.
    pub is_comparing: bool,
    /// Offsets that are done, of all topics.
    pub done: u64,
    /// Offsets that there are, of all topics.
    pub of: u64,
}

/// What was copied, and compared.
#[derive(Clone, Debug)]
pub struct CopyReport {
    /// Which log it is, the copy as well as what was copied.
    pub identity: LogIdentity,
    /// Messages by topic.
    pub messages: Vec<(Topic, u64)>,
}

/// Reading either side.
trait Reads {
    fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> impl Future<Output = Result<Range, ReadError>>;
}

impl Reads for Journal {
    async fn read(
        &self,
        topic: Topic,
        partition: Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Range, ReadError> {
        Self::read(self, topic, partition, from, limit).await
    }
}

/// Copies a whole log. Nobody may use either meanwhile: an embedded source is locked, of a source on Kafka it
/// is noticed at the end. To be called again after it failed or was killed: it goes on.
pub async fn copy_log(
    from: JournalConfig,
    to: JournalConfig,
    mut told: impl FnMut(CopyProgress),
) -> Result<CopyReport, CopyError> {
    let source = Journal::open(from).await.map_err(CopyError::From)?;
    let outcome = copy(&source, to, &mut told).await;
    source.close().await;
    outcome
}

async fn copy(
    source: &Journal,
    to: JournalConfig,
    told: &mut impl FnMut(CopyProgress),
) -> Result<CopyReport, CopyError> {
    let identity = source.identity().clone();
    let mut destination = Destination::open(to, identity.partitions).await.map_err(CopyError::To)?;
    let outcome = fill(source, &identity, &mut destination, told).await;
    destination.close().await;
    outcome
}

async fn fill(
    source: &Journal,
    identity: &LogIdentity,
    destination: &mut Destination,
    told: &mut impl FnMut(CopyProgress),
) -> Result<CopyReport, CopyError> {
    let mut all = Vec::new();
    for topic in ORDER {
        all.push((topic, source.bounds(topic).await?));
    }
    for (topic, bounds) in all.iter().filter(|(topic, _)| *topic != Topic::Progress) {
        for bounds in bounds {
            check_beginning(source, destination, *topic, *bounds).await?;
        }
    }
    // Twice: what is copied is then compared.
    let of = 2 * all.iter().flat_map(|(_, bounds)| bounds).map(|b| b.end - b.start).sum::<u64>();
    let mut report = CopyReport { identity: identity.clone(), messages: Vec::new() };
    let mut done = 0;
    for (topic, bounds) in &all {
        let topic = *topic;
        if topic == Topic::Control && !is_unmoved(source, &all).await? {
            return Err(CopyError::Moved);
        }
        let mut messages = 0;
        for bounds in bounds {
            let partition = bounds.partition;
            let differs = || CopyError::Differs { topic: topic.suffix(), partition };
            let mut tell = |is_comparing: bool, offsets: u64| {
                told(CopyProgress { topic, is_comparing, done: done + offsets, of });
            };
            let length = bounds.end - bounds.start;
            if topic == Topic::Progress {
                messages += copy_documents(source, destination, *bounds).await?.ok_or_else(differs)?;
            } else {
                copy_partition(source, destination, topic, *bounds, &mut |offsets| tell(false, offsets))
                    .await?;
                let compare = &mut |offsets| tell(true, length + offsets);
                let expected = sum(source, topic, *bounds, compare).await?;
                if sum(destination, topic, *bounds, &mut |_| {}).await? != expected
                    || destination.bounds(topic, partition).await? != *bounds
                {
                    return Err(differs());
                }
                let Sum { messages: count, .. } = expected;
                messages += count;
            }
            done += 2 * length;
        }
        report.messages.push((topic, messages));
    }
    Ok(report)
}

/// Whether the source is as it was when copying began.
async fn is_unmoved(source: &Journal, before: &[(Topic, Vec<Bounds>)]) -> Result<bool, CopyError> {
    for (topic, bounds) in before {
        if source.bounds(*topic).await? != *bounds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses what is not the beginning of what is to be copied, before anything is written.
async fn check_beginning(
    source: &Journal,
    destination: &Destination,
    topic: Topic,
    bounds: Bounds,
) -> Result<(), CopyError> {
    let Bounds { partition, start, end } = bounds;
    let there = destination.bounds(topic, partition).await?;
    let mut is_beginning = there.end <= end && there.start <= start;
    // Below the source's start there is only what filled the offsets up to it.
    if is_beginning && there.end > start {
        let upto = Bounds { end: there.end, ..bounds };
        let (mine, theirs) =
            (last_before(source, topic, upto).await?, last_before(destination, topic, upto).await?);
        is_beginning = match (&mine, &theirs) {
            (None, None) => true,
            (Some(mine), Some(theirs)) => mine.offset == theirs.offset && mine.hash() == theirs.hash(),
            _ => false,
        };
    }
    if is_beginning { Ok(()) } else { Err(CopyError::NotEmpty { topic: topic.suffix(), partition }) }
}

async fn copy_partition(
    source: &Journal,
    destination: &mut Destination,
    topic: Topic,
    bounds: Bounds,
    copied: &mut impl FnMut(u64),
) -> Result<(), CopyError> {
    let Bounds { partition, start, end } = bounds;
    destination.begin_at(topic, partition, start).await?;
    let mut next = destination.bounds(topic, partition).await?.end;
    let mut read = next;
    // Held back until it is known where the one after it stands: a gap may be made by how it is written.
    let mut held: Vec<Message> = Vec::new();
    while read < end {
        let range = source.read(topic, partition, read, STEP).await?;
        if range.next == read {
            return Err(ReadError::Unavailable("it brings nothing".to_owned()).into());
        }
        read = range.next;
        held.extend(range.messages.into_iter().filter(|message| message.offset < end));
        let Some(last) = held.pop() else { continue };
        next = destination.append(topic, partition, next, held, last.offset).await?;
        held = vec![last];
        copied(next - start);
    }
    destination.append(topic, partition, next, held, end).await?;
    copied(end - start);
    Ok(())
}

/// The last message of a partition before an end.
async fn last_before(side: &impl Reads, topic: Topic, bounds: Bounds) -> Result<Option<Message>, ReadError> {
    let Bounds { partition, start, end } = bounds;
    let mut width = 64;
    loop {
        let begin = end.saturating_sub(width).max(start);
        let (mut from, mut last) = (begin, None);
        while from < end {
            let range = side.read(topic, partition, from, STEP).await?;
            if range.next == from {
                return Err(ReadError::Unavailable("it brings nothing".to_owned()));
            }
            from = range.next;
            last = range.messages.into_iter().rfind(|message| message.offset < end).or(last);
        }
        if last.is_some() || begin == start {
            return Ok(last);
        }
        width *= 64;
    }
}

/// Copies the live documents of a partition of `progress`; how many there are, or `None` where they came out
/// otherwise.
async fn copy_documents(
    source: &Journal,
    destination: &mut Destination,
    bounds: Bounds,
) -> Result<Option<u64>, CopyError> {
    let partition = bounds.partition;
    let live = documents(source, bounds).await?;
    let there = destination.bounds(Topic::Progress, partition).await?;
    let found = documents(destination, there).await?;
    // Those that an earlier run wrote are written again, which changes nothing; those that are gone by now go.
    if found != live {
        let gone = found.keys().filter(|key| !live.contains_key(*key)).map(|key| (key.clone(), None));
        let live = live.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
        destination.put_documents(partition, gone.chain(live).collect()).await?;
    }
    let there = destination.bounds(Topic::Progress, partition).await?;
    let is_same = documents(destination, there).await? == live;
    Ok(is_same.then_some(live.len() as u64))
}
