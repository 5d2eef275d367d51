//! Whether a log still bears out a bookmark, and where its reader goes on. One rule for both backends.

use crate::follow::Stop;
use crate::message::MessageHash;
use crate::position::{Bookmark, Bounds, Offset};

/// Where a reader with `bookmark` goes on in a partition that has these bounds, in a log of this epoch;
/// `at_anchor` is what stands at the anchor's offset now, `None` where nothing is kept there.
///
/// An anchor that retention removed proves nothing, and hinders nothing while what follows it is kept.
pub(crate) fn resume_at(
    bookmark: &Bookmark,
    bounds: Bounds,
    at_anchor: Option<MessageHash>,
    epoch: u32,
) -> Result<Offset, Stop> {
    match examine(bookmark, bounds, at_anchor) {
        Err(_) if bookmark.epoch < epoch => Ok(bounds.start),
        result => result,
    }
}

fn examine(bookmark: &Bookmark, bounds: Bounds, at_anchor: Option<MessageHash>) -> Result<Offset, Stop> {
    let Bounds { partition, start, end } = bounds;
    let next = bookmark.next;
    if next > end {
        return Err(Stop::Truncated { partition, end, next });
    }
    if let Some(anchor) = bookmark.anchor
        && anchor.offset >= start
        && at_anchor != Some(anchor.hash)
    {
        return Err(Stop::Replaced { partition, offset: anchor.offset });
    }
    if next < start {
        return Err(Stop::Overtaken { partition, start, next });
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::resume_at;
    use crate::follow::Stop;
    use crate::message::MessageHash;
    use crate::position::{Anchor, Bookmark, Bounds};

    const SEEN: MessageHash = MessageHash::from_bytes([1; 32]);
    const OTHER: MessageHash = MessageHash::from_bytes([2; 32]);

    fn at(next: u64, epoch: u32) -> Bookmark {
        let anchor = next.checked_sub(1).map(|offset| Anchor { offset, hash: SEEN });
        Bookmark { next, anchor, epoch }
    }

    fn bounds(start: u64, end: u64) -> Bounds {
        Bounds { partition: 3, start, end }
    }

    #[test]
    fn a_reader_goes_on_where_its_anchor_still_stands() {
        assert_eq!(resume_at(&at(5, 0), bounds(0, 9), Some(SEEN), 0), Ok(5));
        assert_eq!(resume_at(&at(0, 0), bounds(0, 0), None, 0), Ok(0));
    }

    #[test]
    fn an_anchor_that_retention_removed_hinders_nothing() {
        assert_eq!(resume_at(&at(5, 0), bounds(5, 9), None, 0), Ok(5));
    }

    #[test]
    fn each_way_a_log_can_betray_a_reader_stops_it_by_name() {
        let replaced = Err(Stop::Replaced { partition: 3, offset: 4 });
        assert_eq!(resume_at(&at(5, 0), bounds(0, 9), Some(OTHER), 0), replaced);
        assert_eq!(resume_at(&at(5, 0), bounds(0, 9), None, 0), replaced);
        let truncated = Err(Stop::Truncated { partition: 3, end: 2, next: 5 });
        assert_eq!(resume_at(&at(5, 0), bounds(0, 2), None, 0), truncated);
        let overtaken = Err(Stop::Overtaken { partition: 3, start: 7, next: 5 });
        assert_eq!(resume_at(&at(5, 0), bounds(7, 9), None, 0), overtaken);
    }

    #[test]
    fn a_new_epoch_moves_older_bookmarks_to_the_start_and_only_those_that_fail() {
        assert_eq!(resume_at(&at(5, 0), bounds(0, 2), None, 1), Ok(0));
        assert_eq!(resume_at(&at(5, 0), bounds(7, 9), None, 1), Ok(7));
        assert_eq!(resume_at(&at(5, 0), bounds(0, 9), Some(SEEN), 1), Ok(5));
        assert!(resume_at(&at(5, 1), bounds(0, 2), None, 1).is_err());
    }
}
