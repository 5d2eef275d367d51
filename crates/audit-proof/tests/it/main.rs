//! The crate from outside: known answers, properties against another implementation, and Go's verifiers.

mod answers;
mod forms;
mod go;
mod leaf;
mod sample;
mod tags;
mod tree;
