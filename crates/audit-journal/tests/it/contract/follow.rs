//! Following a topic whole.

use std::collections::BTreeSet;

use audit_journal::{Batch, Bookmark, FollowEvent, Topic};

use super::{Harness, PARTITIONS, PATIENCE, append_all, append_numbers, collect, fixed, next, text};

pub(crate) async fn a_follower_without_bookmarks_reads_everything_once_and_then_the_tail<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let early = (0..200).map(|number| fixed(number % PARTITIONS, number.to_string())).collect();
    append_all(&journal, Topic::Records, early).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let mut values: Vec<u32> = Vec::new();
    for message in collect(&mut follow, 200).await {
        values.push(text(&message).parse().expect("a number"));
    }
    for number in 200..210 {
        append_numbers(&journal, number % PARTITIONS, number..number + 1).await;
        let message = collect(&mut follow, 1).await.remove(0);
        values.push(text(&message).parse().expect("a number"));
    }
    values.sort_unstable();
    assert_eq!(values, (0..210).collect::<Vec<_>>());
}

pub(crate) async fn a_follower_goes_on_exactly_where_its_bookmark_says<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..10).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let bookmark = first_messages(&mut follow, 0, 10).await.bookmark().expect("a batch is never empty");
    assert_eq!(bookmark.next, 10);
    drop(follow);
    append_numbers(&journal, 0, 10..12).await;
    drop(journal);

    let journal = log.open().await;
    let mut follow = journal.follow(Topic::Records, vec![(0, bookmark)]).await;
    let values: Vec<String> = collect(&mut follow, 2).await.iter().map(text).collect();
    assert_eq!(values, ["10", "11"]);
}

pub(crate) async fn a_follower_of_some_partitions_is_brought_nothing_of_the_others<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..5).await;
    append_numbers(&journal, 1, 5..10).await;
    let mut follow = journal.follow_only(Topic::Records, BTreeSet::from([1]), Vec::new()).await;
    let values: Vec<String> = collect(&mut follow, 5).await.iter().map(text).collect();
    assert_eq!(values, ["5", "6", "7", "8", "9"]);
    // What comes later is brought of it alone, too; and what stands in the others is no message of it.
    append_numbers(&journal, 0, 10..15).await;
    append_numbers(&journal, 1, 15..16).await;
    assert_eq!(text(&collect(&mut follow, 1).await[0]), "15");

    let bookmark = first_messages(&mut journal.follow(Topic::Records, Vec::new()).await, 0, 10).await;
    let bookmark = bookmark.bookmark().expect("a batch is never empty");
    let mut follow = journal.follow_only(Topic::Records, BTreeSet::from([0]), vec![(0, bookmark)]).await;
    append_numbers(&journal, 0, 16..17).await;
    assert_eq!(text(&collect(&mut follow, 1).await[0]), "16");
}

/// A sink that was killed between two messages of one batch has the bookmark of the first.
pub(crate) async fn a_follower_resumes_in_the_middle_of_a_batch<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..10).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let mut messages = collect(&mut follow, 10).await;
    messages.truncate(4);
    let half = Batch { partition: 0, messages, end: 10, epoch: journal.identity().epoch };
    let bookmark = half.bookmark().expect("it has messages");
    let mut follow = journal.follow(Topic::Records, vec![(0, bookmark)]).await;
    assert_eq!(text(&collect(&mut follow, 6).await[0]), "4");
}

pub(crate) async fn a_follower_that_does_not_ask_delays_neither_appends_nor_others<H: Harness>() {
    const COUNT: u32 = 5_000;
    let log = H::fresh().await;
    let journal = log.open().await;
    let mut silent = journal.follow(Topic::Records, Vec::new()).await;
    let mut busy = journal.follow(Topic::Records, Vec::new()).await;
    for begin in (0..COUNT).step_by(500) {
        let batch = (begin..begin + 500).map(|number| fixed(0, format!("{number:01000}"))).collect();
        append_all(&journal, Topic::Records, batch).await;
    }
    assert_eq!(collect(&mut busy, COUNT as usize).await.len(), COUNT as usize);
    assert_eq!(collect(&mut silent, COUNT as usize).await.len(), COUNT as usize);
}

pub(crate) async fn an_empty_partition_is_level_at_its_start<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    let mut level = [false; PARTITIONS as usize];
    while !level.iter().all(|is_level| *is_level) {
        match next(&mut follow).await {
            FollowEvent::Level { partition, next: 0 } => level[partition as usize] = true,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn closing_ends_every_follower<H: Harness>() {
    let log = H::fresh().await;
    let journal = log.open().await;
    append_numbers(&journal, 0, 0..3).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    collect(&mut follow, 3).await;
    journal.close().await;
    let drained = tokio::time::timeout(PATIENCE, async { while follow.next().await.is_some() {} }).await;
    drained.expect("the follower ends");
}

/// At least the first `count` messages of a partition, as one batch, in however many they come.
async fn first_messages(follow: &mut audit_journal::Follow, partition: u32, count: usize) -> Batch {
    let mut whole: Option<Batch> = None;
    loop {
        match next(follow).await {
            FollowEvent::Messages(batch) if batch.partition == partition => match &mut whole {
                Some(whole) => whole.messages.extend(batch.messages),
                None => whole = Some(batch),
            },
            FollowEvent::Messages(_) | FollowEvent::Level { .. } => {}
            FollowEvent::Stopped(stop) => panic!("{stop}"),
        }
        if let Some(whole) = whole.take_if(|whole| whole.messages.len() >= count) {
            return whole;
        }
    }
}

/// A bookmark that stands after the last of `count` numbers of partition 0.
pub(crate) async fn bookmark_after(journal: &audit_journal::Journal, count: u32) -> Bookmark {
    append_numbers(journal, 0, 0..count).await;
    let mut follow = journal.follow(Topic::Records, Vec::new()).await;
    first_messages(&mut follow, 0, count as usize).await.bookmark().expect("a batch is never empty")
}
