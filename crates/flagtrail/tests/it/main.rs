//! The shipped binary, from outside: commands, the demo, and the whole main job on real Kafka.

mod access;
mod declared;
mod docs;
mod end_to_end;
mod endpoints;
mod exports;
mod fixtures;
mod harness;
mod log_away;
mod moving;
mod on_one_machine;
mod partly;
mod proofs;
mod receivers;
mod redelivery;
mod replaced;
mod reports;
mod rows;
mod scenario;
mod sealing;
mod secrets;
mod spool;
mod takeovers;
mod tampered;
mod unowned;
mod zenmanage;
