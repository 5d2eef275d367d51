//! What a partition holds, asked of the broker that leads it.
//!
//! A topic that was made a moment ago, and a partition whose leader just moved, are known to the cluster
//! before the leader itself knows; until then it answers that it is not the one. librdkafka hands that answer
//! on, so the question is put again here.

use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use crate::position::{Bounds, Offset, Partition};

use super::client::REQUEST_WAIT;

/// Between one try and the next: a leader learns of its partition within tens of milliseconds.
const PAUSE: Duration = Duration::from_millis(50);

/// Most partitions that are asked about at once, each on a thread of its own.
const ASKED_AT_ONCE_MAX: usize = 16;

/// What one partition holds: the first offset kept, and the last stable offset for a consumer that reads
/// committed messages, the high watermark for one that does not. Blocking.
pub(super) fn bounds_of<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: Partition,
) -> KafkaResult<Bounds> {
    bounds_within(consumer, topic, partition, REQUEST_WAIT)
}

/// The same, with another bound for the answer.
pub(super) fn bounds_within<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: Partition,
    wait: Duration,
) -> KafkaResult<Bounds> {
    let until = Instant::now() + wait;
    let ask = || {
        let left = until.saturating_duration_since(Instant::now());
        of_leader(left, |wait| consumer.fetch_watermarks(topic, partition as i32, wait))
    };
    let (mut start, mut end) = ask()?;
    if start == end {
        // librdkafka asks for the two apart. Where a leader that is just taking over refuses the one and answers
        // the other, it may give that for both; a partition that is empty in truth is so the second time.
        (start, end) = ask()?;
    }
    Ok(Bounds { partition, start: start.max(0) as Offset, end: end.max(0) as Offset })
}

/// Asks until a leader answers, for `wait` in all. Every other error is the caller's at once.
pub(super) fn of_leader<T>(
    wait: Duration,
    mut ask: impl FnMut(Duration) -> KafkaResult<T>,
) -> KafkaResult<T> {
    let until = Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match ask(left.max(PAUSE)) {
            Err(error) if seeks_leader(&error) && left > PAUSE => thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}

/// Asks about each of some partitions, many at once: one whose leader is away does not keep the others waiting. The
/// answers are in order. Blocking.
pub(super) fn of_each<T: Sync, A: Send>(asked: &[T], ask: impl Fn(&T) -> A + Sync) -> Vec<A> {
    let ask = &ask;
    let mut answers = Vec::with_capacity(asked.len());
    for some in asked.chunks(ASKED_AT_ONCE_MAX) {
        thread::scope(|scope| {
            let asking: Vec<_> = some
                .iter()
                .map(|one| thread::Builder::new().spawn_scoped(scope, move || ask(one)).map_err(|_| one))
                .collect();
            answers.extend(asking.into_iter().map(|asking| match asking {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // The system gives no thread: it is asked on this one.
                Err(one) => ask(one),
            }));
        });
    }
    answers
}

/// Whether librdkafka goes on by itself after this: connections are made again, leaders are found.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    seeks_leader(error)
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Code::AllBrokersDown
                    | Code::BrokerTransportFailure
                    | Code::Resolve
                    | Code::OperationTimedOut
                    | Code::RequestTimedOut
                    | Code::NetworkException
            )
        )
}

fn seeks_leader(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::KafkaStorageError
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
        )
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const NOT_YET: KafkaError = KafkaError::MetadataFetch(RDKafkaErrorCode::NotLeaderForPartition);

    #[test]
    fn a_leader_that_does_not_know_its_partition_yet_is_asked_again() {
        let mut answers = [Err(NOT_YET), Err(NOT_YET), Ok(7)].into_iter();
        let answer = of_leader(REQUEST_WAIT, |_| answers.next().expect("no more is asked"));
        assert_eq!(answer.expect("it answers in the end"), 7);
    }

    #[test]
    fn a_partition_without_a_leader_is_told_when_the_wait_is_over() {
        let mut asked = 0;
        let answer: KafkaResult<()> = of_leader(Duration::from_millis(150), |_| {
            asked += 1;
            Err(NOT_YET)
        });
        assert!(answer.is_err());
        assert!((2..=4).contains(&asked), "asked {asked} times");
    }

    #[test]
    fn many_are_asked_at_once_and_their_answers_stand_in_order() {
        let (began, waiting) = (Instant::now(), AtomicUsize::new(0));
        let asked: Vec<usize> = (0..ASKED_AT_ONCE_MAX * 2 + 1).collect();
        let answers = of_each(&asked, |one| {
            // Nobody of the first is answered before all of them have asked.
            waiting.fetch_add(1, Ordering::SeqCst);
            while waiting.load(Ordering::SeqCst) < ASKED_AT_ONCE_MAX {
                assert!(began.elapsed() < Duration::from_secs(60), "they are asked one after the other");
                thread::sleep(Duration::from_millis(1));
            }
            one * 2
        });
        assert_eq!(answers, asked.iter().map(|one| one * 2).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_question_of_leadership_is_told_at_once() {
        let mut asked = 0;
        let answer: KafkaResult<()> = of_leader(REQUEST_WAIT, |_| {
            asked += 1;
            Err(KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed))
        });
        assert!(answer.is_err());
        assert_eq!(asked, 1);
    }
}
