//! Whether a request was signed by the platform it claims to come from.

use audit_digest::MacKey;

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

/// Lower-case hex HMAC-SHA256 of the raw body, without prefix or timestamp; absent where the webhook has
/// no secret.
const FLAGSMITH_HEADER: &str = "X-Flagsmith-Signature";

/// Checks the platform's signature over the raw body against every secret, in constant time. An empty
/// secret counts as none: anyone could sign with it.
pub fn check_signature(platform: Platform, secrets: &[&[u8]], request: &HookRequest<'_>) -> SignatureCheck {
    let header = match platform {
        Platform::Flagsmith => FLAGSMITH_HEADER,
        Platform::Zenmanage
        | Platform::AbTasty
        | Platform::Mozhno
        | Platform::Unleash
        | Platform::CloudEvents
        | Platform::Native => return SignatureCheck::NotExpected,
    };
    let mut secrets = secrets.iter().filter(|secret| !secret.is_empty()).peekable();
    if secrets.peek().is_none() {
        return SignatureCheck::NotExpected;
    }
    let mut given = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(header));
    let signature = match (given.next(), given.next()) {
        (None, _) => return SignatureCheck::Missing,
        (Some((_, value)), None) => hex::decode(value.trim_ascii()),
        // Two headers: which of them the sender meant can't be told.
        (Some(_), Some(_)) => return SignatureCheck::Wrong,
    };
    let Ok(signature) = signature else { return SignatureCheck::Wrong };
    // Every secret is tried whatever the ones before it said, so that time tells nothing about which fits.
    let fits = secrets.fold(false, |fits, secret| fits | is_hmac_of(secret, request.body, &signature));
    if fits { SignatureCheck::Valid } else { SignatureCheck::Wrong }
}

fn is_hmac_of(secret: &[u8], body: &[u8], signature: &[u8]) -> bool {
    MacKey::new(secret).vouches(&[body], signature)
}
