//! Whether a request was signed by the platform it claims to come from.

use crate::inbound::HookRequest;
use crate::platform::Platform;

/// What a signature showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureCheck {
    /// One of the secrets made it.
    Valid,
    /// There is none, though a secret is configured.
    Missing,
    /// None of the secrets made it.
    Wrong,
    /// The platform does not sign, or no secret is configured.
    NotExpected,
}

/// Checks the platform's signature over the raw body against every secret, in constant time.
pub fn check_signature(
    _platform: Platform,
    _secrets: &[&[u8]],
    _request: &HookRequest<'_>,
) -> SignatureCheck {
    todo!()
}
