//! What every backend of the journal promises, sentence by sentence. Each file is a chapter; each
//! function takes the backend as a [`Harness`].

pub(crate) mod append;
pub(crate) mod control;
pub(crate) mod follow;
pub(crate) mod identity;
pub(crate) mod kill;
pub(crate) mod owned;
pub(crate) mod read;

use std::future::Future;
use std::time::Duration;

use audit_journal::{
    AppendError, AppendOutcome, CommitError, Committer, Follow, FollowEvent, Journal, JournalConfig, Message,
    NewMessage, Owned, OwnedCommit, OwnedEvent, Partition, Placement, Position, ReadLimit, Topic,
};
use bytes::Bytes;

/// N of every log under test.
pub(crate) const PARTITIONS: u32 = 4;

/// How long a test waits for what must come, on a machine busy with others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A backend under test: one log of its own, which can be opened again and again.
pub(crate) trait Harness: Sized + Send + Sync {
    /// Whether there is what the backend needs; says so where there is not. Its tests are skipped then.
    fn is_available() -> bool {
        true
    }

    /// A log that nobody has opened yet.
    fn fresh() -> impl Future<Output = Self> + Send;

    /// How the log is opened, with [`PARTITIONS`] partitions.
    fn config(&self) -> JournalConfig;

    /// Removes the log (which is not open), so that the next opening makes another one in its place.
    fn recreate(&self) -> impl Future<Output = ()> + Send;

    /// What a child process needs to open the same log.
    fn child_environment(&self) -> Vec<(&'static str, String)>;

    /// The configuration, in such a child; `None` in any other process.
    fn config_in_child() -> Option<JournalConfig>;

    /// The full name of the test that is the child's whole life: [`kill::child`].
    fn child_test() -> &'static str;

    /// Opens the log.
    fn open(&self) -> impl Future<Output = Journal> + Send {
        async {
            let opening = tokio::time::timeout(PATIENCE, Journal::open(self.config())).await;
            opening.expect("opening ends in time").expect("the log opens")
        }
    }
}

/// Makes every sentence a test of a backend.
macro_rules! contract {
    ($harness:ty) => {
        $crate::contract::contract!(@tests $harness,
            append: an_append_is_answered_with_the_position_at_which_it_is_read,
                messages_of_one_key_keep_their_order_under_many_writers,
                every_message_of_a_batch_has_its_own_outcome,
                appends_together_are_all_there_or_none_is,
                a_message_survives_with_key_headers_and_bytes_as_they_were,
                what_was_appended_is_there_after_the_log_was_dropped_without_closing,
                an_append_whose_answer_nobody_waits_for_is_there_or_not_but_whole,
                a_closed_journal_appends_nothing_and_keeps_what_it_answered,
                append_times_never_fall_within_a_partition;
            follow: a_follower_without_bookmarks_reads_everything_once_and_then_the_tail,
                a_follower_goes_on_exactly_where_its_bookmark_says,
                a_follower_resumes_in_the_middle_of_a_batch,
                a_follower_of_some_partitions_is_brought_nothing_of_the_others,
                a_follower_that_does_not_ask_delays_neither_appends_nor_others,
                an_empty_partition_is_level_at_its_start,
                closing_ends_every_follower;
            read: a_range_is_read_beside_the_tail,
                a_range_read_is_bounded_by_messages_and_bytes_and_goes_on,
                a_read_outside_what_is_kept_says_what_is_kept,
                who_read_up_to_the_end_is_given_what_is_appended_after,
                offsets_are_found_by_time,
                bounds_name_every_partition;
            owned: one_owner_is_given_every_partition,
                a_commit_is_one_transaction_of_watermark_documents_and_messages,
                a_document_that_no_message_holds_is_refused_by_name,
                the_next_owner_begins_at_the_watermark_with_the_documents,
                a_second_owner_takes_its_share_and_the_first_keeps_the_rest,
                a_zombies_commit_is_refused_whole,
                an_owner_that_leaves_is_clean_and_one_that_is_dropped_is_not,
                closing_lets_owners_commit_what_they_have_in_hand,
                groups_do_not_see_each_other;
            control: settings_are_the_fold_of_their_events,
                of_two_writers_to_one_version_exactly_one_wins,
                a_restart_folds_the_same,
                a_change_and_its_record_are_one_transaction,
                a_write_whose_answer_was_lost_is_seen_by_reading,
                reading_up_folds_what_another_process_wrote_before,
                what_was_deleted_can_be_made_again,
                an_event_of_a_later_release_is_refused_by_name,
                a_waiter_wakes_with_every_change;
            identity: a_log_keeps_its_identity,
                the_identity_is_the_first_settings_event,
                a_replaced_log_stops_its_followers_by_name,
                a_truncated_log_stops_its_followers_by_name,
                a_replaced_log_stops_its_owners_by_name,
                a_new_epoch_leads_on,
                a_new_epoch_does_not_excuse_bookmarks_made_in_it;
            kill: every_answered_append_survives_a_killed_process,
                an_owner_killed_in_the_middle_of_a_batch_is_resumed_exactly;
        );

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn a_child_process_appends_until_it_is_killed() {
            $crate::contract::kill::child::<$harness>().await;
        }
    };
    (@tests $harness:ty, $($chapter:ident: $($sentence:ident),+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                if !<$harness as $crate::contract::Harness>::is_available() {
                    return;
                }
                $crate::contract::$chapter::$sentence::<$harness>().await;
            }
        )+)+
    };
}
pub(crate) use contract;

/// A message by key.
pub(crate) fn keyed(key: &str, value: impl Into<String>) -> NewMessage {
    NewMessage {
        key: Bytes::copy_from_slice(key.as_bytes()),
        headers: Vec::new(),
        value: Some(Bytes::from(value.into())),
        placement: Placement::ByKey,
    }
}

/// A message for one partition.
pub(crate) fn fixed(partition: Partition, value: impl Into<String>) -> NewMessage {
    NewMessage { placement: Placement::Fixed(partition), ..keyed("key", value) }
}

/// Appends, and expects every message to be taken.
pub(crate) async fn append_all(journal: &Journal, topic: Topic, messages: Vec<NewMessage>) -> Vec<Position> {
    let outcomes = tokio::time::timeout(PATIENCE, journal.append(topic, messages)).await;
    let taken = |outcome| match outcome {
        AppendOutcome::Appended(position) => position,
        other => panic!("not appended: {other:?}"),
    };
    outcomes.expect("an append is answered in time").into_iter().map(taken).collect()
}

/// Appends together, and expects everything to be taken: a busy broker may need more than that waits, and then nothing of it is there.
pub(crate) async fn append_together(journal: &Journal, messages: Vec<(Topic, NewMessage)>) -> Vec<Position> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let outcome = tokio::time::timeout(PATIENCE, journal.append_together(messages.clone())).await;
        match outcome.expect("it is answered in time") {
            Err(AppendError::NotAppended(_)) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            outcome => return outcome.expect("all of them are taken"),
        }
    }
}

/// `count` messages of one partition, with the values `0`, `1`, …
pub(crate) async fn append_numbers(journal: &Journal, partition: Partition, numbers: std::ops::Range<u32>) {
    let messages = numbers.map(|number| fixed(partition, number.to_string())).collect();
    append_all(journal, Topic::Records, messages).await;
}

/// A message's value as text.
pub(crate) fn text(message: &Message) -> String {
    String::from_utf8(message.value.as_deref().unwrap_or_default().to_vec()).expect("tests append text")
}

/// The next event of a follower, which must come.
pub(crate) async fn next(follow: &mut Follow) -> FollowEvent {
    let event = tokio::time::timeout(PATIENCE, follow.next()).await;
    event.expect("an event comes in time").expect("the follower goes on")
}

/// The next event of an owner, which must come.
pub(crate) async fn next_owned(owned: &mut Owned) -> OwnedEvent {
    let event = tokio::time::timeout(PATIENCE, owned.next()).await;
    event.expect("an event comes in time").expect("the owner goes on")
}

/// Messages of a follower until there are `count`.
pub(crate) async fn collect(follow: &mut Follow, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        match next(follow).await {
            FollowEvent::Messages(batch) => messages.extend(batch.messages),
            FollowEvent::Level { .. } => {}
            FollowEvent::Stopped(stop) => panic!("{stop}"),
        }
    }
    messages
}

/// What a reader finds in a partition now, from its start to its present end.
pub(crate) async fn read_all(journal: &Journal, topic: Topic, partition: Partition) -> Vec<Message> {
    let (mut messages, mut from) = (Vec::new(), None);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < deadline, "the partition can't be read");
        // A busy broker may be asked again.
        let Ok(bounds) = journal.bounds(topic).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let bounds = bounds[partition as usize];
        let next = from.unwrap_or(bounds.start);
        if next >= bounds.end {
            return messages;
        }
        let limit = ReadLimit { messages: 100_000, bytes: 64 * 1024 * 1024 };
        let Ok(range) = journal.read(topic, partition, next, limit).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        messages.extend(range.messages);
        from = Some(range.next);
    }
}

/// Waits until a partition holds these and nothing else. A transaction is durable when it is answered, and to be
/// seen, in each of its partitions, a moment later.
pub(crate) async fn until_holds(journal: &Journal, topic: Topic, partition: Partition, expected: &[&str]) {
    let found =
        async || -> Vec<String> { read_all(journal, topic, partition).await.iter().map(text).collect() };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = found().await;
        if found == expected {
            return;
        }
        let may_come = expected.starts_with(&found.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(may_come && tokio::time::Instant::now() < deadline, "{found:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Commits, and is refused only by a fence: a busy broker may need more than a commit waits, and then nothing of it is there.
pub(crate) async fn commit(committer: &Committer, commit: OwnedCommit) -> Result<(), CommitError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let outcome = tokio::time::timeout(PATIENCE, committer.commit(commit.clone())).await;
        match outcome.expect("a commit is answered in time") {
            Err(CommitError::NotCommitted(_)) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            outcome => return outcome,
        }
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "the condition never held");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
