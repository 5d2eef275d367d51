//! The journal from outside. What both backends promise is written once, in `contract`, and run against
//! each.

mod asyncapi;
mod contract;
mod embedded;
#[cfg(feature = "kafka")]
mod heard;
#[cfg(feature = "kafka")]
mod kafka;
mod spool;
