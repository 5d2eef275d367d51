//! Sealing: one owner per partition signs how far its tree is, again and again.
//!
//! What is signed can't be taken back: whoever kept a checkpoint finds out if the log is ever changed before it.
//! So the sealer signs nothing that does not extend what was signed last, and keeps that in the same transaction
//! as the checkpoint itself: there is no moment at which one is known and the other is not. What stands there counts
//! only with a signature of a key that the sealer has: it is on the log, and others can write to the log.

mod cuts;
mod floor;
mod key_events;
mod keys;
mod partition;
mod sealer;
mod segments;
mod standing;
mod witnessing;

pub use key_events::record_keys;
pub(crate) use keys::random_seed;
pub use keys::{KeyFileError, PublicKeys, SealKeys};
pub use sealer::{SEALER_GROUP, Sealer, SealerConfig};
pub use standing::{PartitionStanding, SealStanding};
pub use witnessing::{WITNESSES_MAX, WitnessAnswer, WitnessTransport, Witnessing};
