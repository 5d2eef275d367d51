//! Unleash.

use super::intake::Intake;
use super::{Refusal, Translation};

pub(super) fn translate(_intake: &Intake<'_>) -> Result<Translation, Refusal> {
    #[expect(clippy::todo, reason = "being written")]
    {
        todo!()
    }
}
