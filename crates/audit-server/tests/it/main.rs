//! The server over real HTTP, on the embedded log.

mod access;
mod alarms;
mod bad_input;
mod client;
mod declared;
mod disclosed;
mod endpoints;
mod erasures;
mod evidence;
mod fixtures;
mod hooks;
mod ingest;
mod limits;
mod operations;
mod queries;
mod rejected;
mod retention;
mod schedules;
mod sealed;
mod server;
mod settings;
mod silence;
mod spooling;
mod streams;
mod tls;
