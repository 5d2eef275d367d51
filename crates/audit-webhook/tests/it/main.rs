//! The delivery consumer from outside: real receivers, the embedded journal, nothing in between.

mod choosing;
mod crashes;
mod failing;
mod healthy;
mod sealed;
mod settings;
mod world;
