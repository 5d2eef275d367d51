//! One request's look at the archive: that it has everything, what in it concerns the person, that its leaves are those
//! that were signed, and that it has followed.
//! Each has its share of the time that the server gives any request, so that what is done is answered with.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use audit_archive::{Concerned, LeftOff, Looked, ORDER_RUNS_MAX, PartitionEnd, Subjects};
use audit_journal::{Bounds, Partition, Position};
use tokio_util::sync::CancellationToken;

use super::ErasureRequest;
use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::routes::evidence::not_shown;
use crate::routes::records::{on_archive, refused};

/// Of the time of a request, in percent: by when the archive has to have come to where the log ended …
const COVERED_BY: u32 = 40;

/// … until when it is read …
const READ_UNTIL: u32 = 60;

/// … and until when it is waited for to follow. What is left is for the log to take the order.
const FOLLOWED_BY: u32 = 80;

/// Pause between two looks at how far the archive is.
const ARCHIVE_PAUSE: Duration = Duration::from_millis(50);

/// Records that order what was found, after which a request reads no further: they are one transaction. What is being
/// read then may make them one or two more.
const RECORDS_ENOUGH: usize = 48;

/// A request's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    began: Instant,
    whole: Duration,
}

impl Time {
    /// Of a request that begins now.
    pub(super) fn of_request(app: &App) -> Self {
        Self { began: Instant::now(), whole: app.config().request_timeout }
    }

    fn until(self, percent: u32) -> Instant {
        self.began + self.whole * percent / 100
    }
}

/// Waits until the archive has everything before these ends of the log.
pub(super) async fn covered(app: &App, log: &[Bounds], time: Time) -> Result<bool, Problem> {
    let epoch = app.journal().identity().epoch;
    loop {
        let ends = log.to_vec();
        if on_archive(app, move |reader| reader.is_level(epoch, &ends).map_err(refused)).await? {
            return Ok(true);
        }
        if Instant::now() >= time.until(COVERED_BY) {
            return Ok(false);
        }
        tokio::time::sleep(ARCHIVE_PAUSE).await;
    }
}

/// What concerns the person, from where it was left off before and as far as this request's time goes; with what only
/// mentions him among it, where that is asked for.
pub(super) async fn look(
    app: &App,
    request: &ErasureRequest,
    from: Option<LeftOff>,
    time: Time,
) -> Result<Looked, Problem> {
    let subjects = Subjects::new(&request.subject, request.source.clone());
    let until = time.until(READ_UNTIL).min(Instant::now() + app.config().erasure_read_max);
    let shutdown = app.shutdown().clone();
    // Nobody reads on for a request that is gone.
    let gone = CancellationToken::new();
    let _told = gone.clone().drop_guard();
    let looked = on_archive(app, move |reader| {
        let is_enough = |found: &[Concerned]| {
            gone.is_cancelled()
                || shutdown.is_cancelled()
                || Instant::now() >= until
                || records(found) >= RECORDS_ENOUGH
        };
        reader.concerning(&subjects, from.as_ref(), is_enough).map_err(not_shown)
    });
    let mut looked = looked.await?.ok_or_else(|| {
        Problem::new(Kind::Conflict, "the archive here has no such place as the cursor names")
            .hint("ask again without it: what was erased already is passed over")
    })?;
    if request.mentions {
        for concerned in &mut looked.found {
            let mentions = std::mem::take(&mut concerned.mentions);
            concerned.leaves.extend(mentions);
            concerned.leaves.sort_by_key(|run| run.start);
        }
    }
    Ok(looked)
}

/// Refuses where a partition that something was found in has a checkpoint with another root than its tree: what is erased is
/// told by the numbers of leaves, and in a tree that is not the signed one these may be other people's records.
pub(super) async fn must_be_the_signed(app: &App, found: &[Concerned]) -> Result<(), Problem> {
    let partitions: BTreeSet<Partition> = found.iter().map(|concerned| concerned.tree.partition).collect();
    let mismatch = on_archive(app, move |reader| {
        for partition in partitions {
            if let Some(row) = reader.standing_mismatch(partition).map_err(refused)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    });
    let Some(row) = mismatch.await? else { return Ok(()) };
    let why = row
        .detail
        .unwrap_or_else(|| format!("checkpoint {} of partition {} has another root", row.seq, row.partition));
    Err(Problem::new(Kind::Conflict, format!("this request erased nothing: {why}")).hint(
        "build this archive anew (`flagtrail archive rebuild --yes`); where that finds the same, the log was altered or its key was used elsewhere: restore the log, or accept it as it stands (`flagtrail log new-epoch`) and then build the archives anew",
    ))
}

/// How many records order that this is erased, with everything that only mentions the person.
fn records(found: &[Concerned]) -> usize {
    let of_tree =
        |concerned: &Concerned| (concerned.leaves.len() + concerned.mentions.len()).div_ceil(ORDER_RUNS_MAX);
    found.iter().map(of_tree).sum()
}

/// Waits until the archive here has read the records at these places; whether it has.
pub(super) async fn followed(app: &App, positions: &[Position], time: Time) -> bool {
    let is_past = |ends: &[PartitionEnd]| {
        positions.iter().all(|position| {
            ends.iter().any(|end| end.partition == position.partition && end.next > position.offset)
        })
    };
    loop {
        let ends = on_archive(app, |reader| reader.ends().map_err(refused)).await;
        if ends.is_ok_and(|ends| is_past(&ends)) {
            return true;
        }
        if Instant::now() >= time.until(FOLLOWED_BY) {
            return false;
        }
        tokio::time::sleep(ARCHIVE_PAUSE).await;
    }
}
