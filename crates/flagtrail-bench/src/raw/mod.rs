//! Raw limits: what the same machine does with nothing of ours in the way.

pub(crate) mod archive;
pub(crate) mod disk;
pub(crate) mod hash;
pub(crate) mod http;
pub(crate) mod kafka;
pub(crate) mod pipe;
pub(crate) mod sqlite;
