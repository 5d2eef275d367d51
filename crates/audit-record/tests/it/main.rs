//! The record, from outside: what is a record, what is not, and what stands on the log.

mod canonical;
mod catalogue;
mod cloudevents;
mod examples;
mod filter;
mod hostile;
mod invalid;
mod own;
mod routing;
mod sample;
mod timestamp;
mod tomorrow;
