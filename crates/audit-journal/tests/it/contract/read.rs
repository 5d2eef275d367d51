//! Reading ranges, bounds and times.

use std::time::Duration;

use audit_journal::{Position, ReadError, ReadLimit, Topic};
use audit_record::Timestamp;

use super::{Harness, PARTITIONS, append_all, append_numbers, collect, fixed, text};

const SMALL: ReadLimit = ReadLimit { messages: 3, bytes: 1024 * 1024 };

pub(crate) async fn a_range_is_read_beside_the_tail<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..50).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    collect(&mut follow, 50).await;
    let writer = {
        let journal = journal.clone();
        tokio::spawn(async move {
            for number in 50..60 {
                append_numbers(&journal, 0, number..number + 1).await;
            }
        })
    };
    for from in [40, 10, 0, 47] {
        let range = journal.read(Topic::Records, 0, from, SMALL).await.expect("an old range is there");
        let values: Vec<String> = range.messages.iter().map(text).collect();
        assert_eq!(values, [from, from + 1, from + 2].map(|n| n.to_string()));
        assert_eq!(range.next, from + 3);
    }
    let tail: Vec<String> = collect(&mut follow, 10).await.iter().map(text).collect();
    assert_eq!(tail[9], "59");
    writer.await.expect("the writer ends");
}

pub(crate) async fn a_range_read_is_bounded_by_messages_and_bytes_and_goes_on<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let large = (0..5).map(|_| fixed(0, "x".repeat(100_000))).collect();
    append_all(&journal, Topic::Records, large).await;
    let limit = ReadLimit { messages: 100, bytes: 250_000 };
    let (mut from, mut sizes, mut seen) = (0, Vec::new(), 0);
    while seen < 5 {
        let range = journal.read(Topic::Records, 0, from, limit).await.expect("the range is there");
        sizes.push(range.messages.len());
        seen += range.messages.len();
        from = range.next;
    }
    // Fewer may come than fit: what a broker had at hand. Never none, and never more.
    assert!(sizes.iter().all(|size| (1..=2).contains(size)), "{sizes:?}");
    assert_eq!(seen, 5);
    let tiny = ReadLimit { messages: 100, bytes: 1 };
    let range = journal.read(Topic::Records, 0, 0, tiny).await.expect("the range is there");
    assert_eq!(range.messages.len(), 1, "one message comes whatever its size is");
}

pub(crate) async fn a_read_outside_what_is_kept_says_what_is_kept<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..3).await;
    let end = journal.bounds(Topic::Records).await.expect("the bounds are known")[0].end;
    let beyond = journal.read(Topic::Records, 0, end + 10, SMALL).await;
    assert_eq!(beyond.err(), Some(ReadError::OutOfRange { from: end + 10, start: 0, end }));
    let at_end = journal.read(Topic::Records, 0, end, SMALL).await.expect("the end is no error");
    assert_eq!((at_end.messages.len(), at_end.next), (0, end));
}

pub(crate) async fn who_read_up_to_the_end_is_given_what_is_appended_after<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    // Each time the news of the former end may still be on its way to the reader.
    for number in 0..30 {
        append_numbers(&journal, 0, number..number + 1).await;
        let from = u64::from(number);
        let range = journal.read(Topic::Records, 0, from, SMALL).await.expect("it was appended before");
        assert_eq!(range.messages.iter().map(text).collect::<Vec<_>>(), [number.to_string()]);
        assert_eq!(range.next, from + 1);
    }
}

pub(crate) async fn offsets_are_found_by_time<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..3).await;
    let between =
        Timestamp::try_new(chrono::Utc::now() + Duration::from_millis(20)).expect("now is in range");
    // Time itself is what is tested: the next append must be later than `between`.
    tokio::time::sleep(Duration::from_millis(60)).await;
    append_numbers(&journal, 0, 3..5).await;
    let at = |at| journal.offsets_at(Topic::Records, at);
    let found = at(between).await.expect("times are known");
    assert_eq!(found.len(), PARTITIONS as usize);
    let later = journal.read(Topic::Records, 0, found[0].offset, SMALL).await.expect("it is readable");
    assert_eq!(later.messages.iter().map(text).collect::<Vec<_>>(), ["3", "4"]);
    assert_eq!(found[1], Position { partition: 1, offset: 0 });
    let epoch = Timestamp::from_micros(0).expect("1970 is in range");
    assert_eq!(at(epoch).await.expect("times are known")[0].offset, 0);
    let future = Timestamp::try_new(chrono::Utc::now() + Duration::from_secs(3600)).expect("in range");
    let end = journal.bounds(Topic::Records).await.expect("the bounds are known")[0].end;
    assert_eq!(at(future).await.expect("times are known")[0].offset, end);
}

pub(crate) async fn bounds_name_every_partition<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 2, 0..7).await;
    let bounds = journal.bounds(Topic::Records).await.expect("the bounds are known");
    let partitions: Vec<u32> = bounds.iter().map(|bounds| bounds.partition).collect();
    assert_eq!(partitions, (0..PARTITIONS).collect::<Vec<_>>());
    assert!(bounds[2].end >= 7 && bounds[2].start == 0, "{bounds:?}");
    assert_eq!(bounds[1].end, 0);
    let single = journal.bounds(Topic::Rejected).await.expect("the bounds are known");
    assert_eq!(single.len(), 1);
    for one in bounds {
        assert_eq!(journal.bounds_of(Topic::Records, one.partition).await, Ok(one));
    }
}
