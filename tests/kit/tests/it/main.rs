//! The kit proves itself: what other tests rely on is tested here against the real thing.

mod clients;
mod kafka;
mod process;
mod receiver;
