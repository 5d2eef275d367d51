//! The delivery consumer from outside: real receivers, the embedded journal, nothing in between.

mod choosing;
mod collapsing;
mod crashes;
mod failing;
mod formats;
mod healthy;
mod limits;
mod matrix;
mod operational;
mod ordering;
mod replaying;
mod sealed;
mod settings;
mod signatures;
mod stopped;
mod world;
mod yielding;
