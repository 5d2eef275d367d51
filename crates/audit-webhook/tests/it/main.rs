//! The delivery consumer from outside: real receivers, the embedded journal, nothing in between.

mod choosing;
mod crashes;
mod failing;
mod formats;
mod healthy;
mod matrix;
mod sealed;
mod settings;
mod signatures;
mod world;
