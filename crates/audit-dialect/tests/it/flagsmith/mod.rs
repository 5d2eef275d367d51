//! Flagsmith, inbound.

mod documented;
mod hostile;
mod messages;
mod recorded;
mod signature;
mod snapshots;
