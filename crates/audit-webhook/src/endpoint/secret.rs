//! The secrets that deliveries are signed with: `whsec_` and base64, as Standard Webhooks writes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Deserialize;

/// What the text of a secret begins with.
const PREFIX: &str = "whsec_";

/// Fewest and most bytes of a key that Standard Webhooks allows.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Bytes of a key that we make up ourselves.
const NEW_KEY_BYTES: usize = 32;

/// A key for HMAC-SHA256. `Debug` shows nothing of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct SigningSecret(SecretSlice<u8>);

/// The text is no signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ followed by the base64 of 24 to 64 bytes; leave it out to have one made up")]
pub struct InvalidSecret;

impl SigningSecret {
    /// Makes one up.
    pub fn generate() -> Self {
        let mut key = vec![0; NEW_KEY_BYTES];
        rustls::crypto::ring::default_provider()
            .secure_random
            .fill(&mut key)
            .expect("the operating system's random numbers are always there on what we support");
        Self(key.into())
    }

    /// The key.
    pub(crate) fn key(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// The whole text, to be shown once to who made the endpoint.
    pub fn reveal(&self) -> SecretString {
        format!("{PREFIX}{}", STANDARD.encode(self.key())).into()
    }

    /// Enough to tell secrets apart, too little to use: the last four characters.
    pub fn masked(&self) -> String {
        let text = self.reveal();
        let text = text.expose_secret();
        format!("{PREFIX}…{}", &text[text.len() - 4..])
    }
}

impl TryFrom<String> for SigningSecret {
    type Error = InvalidSecret;
    fn try_from(text: String) -> Result<Self, InvalidSecret> {
        let text = SecretString::from(text);
        let encoded = text.expose_secret().strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if KEY_BYTES.contains(&key.len()) { Ok(Self(key.into())) } else { Err(InvalidSecret) }
    }
}

/// The value of a custom header: as often as not a credential, so treated as one.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub struct HeaderSecret(SecretString);

impl HeaderSecret {
    /// The value.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for HeaderSecret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::SigningSecret;

    #[test]
    fn a_secret_reads_back_from_its_text_and_shows_only_its_end() {
        let secret = SigningSecret::generate();
        let text = secret.reveal().expose_secret().to_owned();
        assert_eq!(SigningSecret::try_from(text.clone()).expect("our own").key(), secret.key());
        assert!(!secret.masked().contains(&text[6..20]));
        assert!(!format!("{secret:?}").contains(&text[6..20]));
    }

    #[test]
    fn secrets_of_a_wrong_form_or_length_are_refused() {
        for text in ["", "whsec_", "secret", "whsec_!!!!", "whsec_c2hvcnQ="] {
            assert!(SigningSecret::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
