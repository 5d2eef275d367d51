//! SQLite as the embedded log and the spool use it: one process writes a file, one thread of it, and what
//! many callers ask for at the same time shares one fsync.

pub(crate) mod backfill;
pub(crate) mod file;
pub(crate) mod queue;
pub(crate) mod readers;
