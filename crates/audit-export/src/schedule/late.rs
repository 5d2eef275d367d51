//! What came late: records that happened in the time of a run that was done when they came to the log.
//!
//! Runs cover event time, which leaves none out only if nothing comes late. So each run looks at what was archived since
//! the last one that is done, and begins with the oldest of it that happened in the time of the runs before.

use audit_archive::{LogPlace, Query, QueryError, Reader, ScanPosition};
use audit_record::{Period, Timestamp};
use tokio_util::sync::CancellationToken;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Late {
    /// When the oldest of it happened, microseconds since 1970; absent where nothing came late.
    pub(super) oldest_us: Option<i64>,
    /// How far the log was looked through.
    pub(super) reached: Vec<LogPlace>,
}

/// Looks at what is archived since `before` for records that match `query` and happened before `until`, and not before `from`;
/// with no `until`, only at how far the archive is. `None`: told to stop. Blocking.
///
/// An export that is asked for afterwards has all of what was looked at before its cut, for that lies at the log's end; so what is
/// beyond both is for the next run to find.
pub(super) fn look(
    reader: &Reader,
    query: Query,
    before: &[LogPlace],
    (from, until): (Option<Timestamp>, Option<Timestamp>),
    stop: &CancellationToken,
) -> Result<Option<Late>, QueryError> {
    let query = Query { period: Period { from, to: until }, ..query };
    let mut late = Late { oldest_us: None, reached: Vec::new() };
    for since in reader.since(before)? {
        late.reached.push(since.place);
        if until.is_none() || since.first_seq >= since.end.seq {
            continue;
        }
        let from = ScanPosition { partition: since.end.partition, seq: since.first_seq };
        let mut scan = reader.scan(&query, vec![since.end], Some(from))?;
        while let Some(found) = scan.look_on().transpose()? {
            if stop.is_cancelled() {
                return Ok(None);
            }
            if let Some(row) = found {
                let at_us = row.occurred_at_us;
                late.oldest_us = Some(late.oldest_us.map_or(at_us, |oldest| oldest.min(at_us)));
            }
        }
    }
    // Of a partition that has no file here yet nothing new is known.
    let unknown =
        before.iter().filter(|place| !late.reached.iter().any(|at| at.partition == place.partition));
    let unknown: Vec<LogPlace> = unknown.copied().collect();
    late.reached.extend(unknown);
    Ok(Some(late))
}
