//! A log that is accepted as it stands, by a new epoch: how far behind it its archive says that it is.

use audit_archive::{ArchiveConfig, Reader};
use audit_journal::{Journal, Topic};
use flagtrail_testkit::wait;

use crate::harness::{CAUGHT_UP_WITHIN, Place, Running, append, covered, records};

/// How many offsets the archive is behind, and why it is stopped.
fn standing(reader: &Reader) -> (u64, Option<String>) {
    let partition = reader.status().expect("a status").partitions.remove(0);
    (partition.lag(), partition.stopped)
}

/// How many offsets an archive says are missing that hears of the log and has no space for anything of it.
async fn missing(place: &Place, journal: &Journal, reader: &Reader) -> u64 {
    let full = ArchiveConfig { free_bytes_min: u64::MAX, ..place.config() };
    let running = Running::start(full, journal);
    wait::until(CAUGHT_UP_WITHIN, "the archive pauses", || async {
        standing(reader).1.is_some_and(|why| why.contains("free_bytes_min"))
    })
    .await;
    let (lag, _) = standing(reader);
    running.stop().await;
    lag
}

/// The log in a new epoch.
async fn accepted(place: &Place, journal: Journal) -> Journal {
    journal.new_epoch().await.expect("a new epoch");
    journal.close().await;
    drop(journal);
    place.journal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_holds_in_a_new_epoch_counts_as_missing_until_it_is_archived() {
    let place = Place::new(1);
    let journal = place.journal().await;
    append(&journal, &records(0..30)).await;
    let reader = place.reader();
    let running = Running::start(place.config(), &journal);
    covered(&reader, &journal).await;
    running.stop().await;

    let journal = accepted(&place, journal).await;
    assert_eq!(missing(&place, &journal, &reader).await, 0, "it goes on as it was");
    journal.close().await;
    drop(journal);

    // As if the topic of records had been created anew, and some had come since.
    let file = rusqlite::Connection::open(place.log_file()).expect("the log's file");
    file.execute("DELETE FROM records_0", []).expect("removed");
    let empty = "UPDATE partitions SET first_offset = 0, next_offset = 0 WHERE topic = 'records'";
    file.execute(empty, []).expect("removed");
    drop(file);
    let journal = place.journal().await;
    append(&journal, &records(100..120)).await;
    let journal = accepted(&place, journal).await;
    assert_eq!(missing(&place, &journal, &reader).await, 20);

    let running = Running::start(place.config(), &journal);
    let (epoch, bounds) = (journal.identity().epoch, journal.bounds(Topic::Records).await.expect("bounds"));
    wait::until(CAUGHT_UP_WITHIN, "the archive is level", || async {
        reader.is_level(epoch, &bounds).unwrap_or(false) && standing(&reader) == (0, None)
    })
    .await;
    running.stop().await;
    assert_eq!(reader.status().expect("a status").partitions[0].messages, 50);
}
