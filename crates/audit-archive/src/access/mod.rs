//! Who had access to what, in time: what records with `access` say, and the intervals that follow from it.
//!
//! Every such record is an [event](event): somebody's access to a scope (an account, a project, an environment) was granted,
//! removed, or found there (a snapshot). The events of one holder in one scope are a group; folded in the order in
//! which they *happened* ([`fold`]) they give the intervals during which each role was held. The fold is done in the
//! transaction that brings the records.
//!
//! What a record means is decided here, and written where users read it (README, "Who had access"):
//!
//! - A holder is known by the source and by the first of id, e-mail and name that the record gives; a scope by id before
//!   key. An e-mail counts in lower case. For a holder whom only erased records named stands a keyed tag, by which a later
//!   record still meets it.
//! - A removal that names no role ends every role of the group. One that says that the subject is no more (`user.deleted`
//!   and the like) does, too, and it ends what the subject holds in other scopes: for that, see below. A removal of access to an account
//!   ends nothing below it: no platform says so, and whoever reads is told of it.
//! - A grant ends no other role, unless the record says that it stands in place of them (`replaces`).
//! - A grant of what is held, and a removal of what is not, change no interval. They are findings.
//! - A snapshot of what is held confirms it; of what is not, it begins an interval that is a baseline: held since then at
//!   the latest, by whose hand is not known. One that names no role confirms whatever is held there.
//!
//! A file holds the events of its partition alone. What one partition's events mean for another's intervals (the end of
//! a subject, a snapshot that does not name somebody, a removal that was routed elsewhere) is put together when it is
//! asked for, by [`crate::query`]'s standing. It is never written down, so no partition waits for another.

mod event;
mod fold;
mod names;
pub(crate) mod node;

pub(crate) use event::Reach;
pub(crate) use fold::{AccessUpdate, fold_all};
pub(crate) use names::forget_names;

#[cfg(test)]
mod tests;
