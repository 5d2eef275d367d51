//! Bodies as the platforms send them.

pub(super) mod flagsmith;
pub(super) mod mozhno;
pub(super) mod native;
pub(super) mod unleash;
pub(super) mod zenmanage;
