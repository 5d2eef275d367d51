//! Settings that this crate owns: sources and tokens, as documents of `Control`; and how a change of any
//! setting is written together with the record that tells of it.

pub(crate) mod change;
pub(crate) mod declared;
pub(crate) mod etag;
pub(crate) mod named;
pub(crate) mod schedule;
pub(crate) mod secret;
pub(crate) mod source;
pub(crate) mod stored;
pub(crate) mod token;
