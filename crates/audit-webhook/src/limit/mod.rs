//! What keeps deliveries to one endpoint, in one process, within bounds: how many at a time, how many a
//! second, and none where all fail. [`Gate`] is the one door; behind it are three small machines.

mod bucket;
mod circuit;
mod gate;
mod window;

pub use circuit::CircuitConfig;

pub(crate) use gate::{Admission, Change, FAILING_AFTER_MS, Gate, Probe, Verdict};
pub(crate) use window::InFlight;
