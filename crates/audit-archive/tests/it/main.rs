//! The archive over a real log: the embedded one.

mod harness;
mod kill;
mod maintenance;
mod run;
mod sql;
mod tree;
