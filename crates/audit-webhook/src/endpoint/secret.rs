//! The secrets that deliveries are signed with, in the serialisation of Standard Webhooks: `whsec_` and the
//! base64 of a key for HMAC-SHA256, or `whsk_` and the base64 of an Ed25519 key pair (seed, public key). Or
//! any text, where the format is that of a platform that signs with such: then only that signature is made.

use audit_record::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Deserialize;

/// What the text of a symmetric secret begins with.
const SYMMETRIC: &str = "whsec_";

/// What the text of an asymmetric secret begins with, and that of its public half.
const ASYMMETRIC: &str = "whsk_";
const PUBLIC: &str = "whpk_";

/// Fewest and most bytes of a symmetric key that Standard Webhooks allows.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Bytes of a key that we make up ourselves.
const NEW_KEY_BYTES: usize = 32;

/// Longest text that a platform may share with its receivers.
const TEXT_BYTES_MAX: usize = 256;

/// What one signature is made with.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct SigningSecret {
    key: SecretKey,
    /// When it ceases to sign, once another has taken its place.
    until: Option<Timestamp>,
}

/// The key of a secret.
#[derive(Clone)]
pub(crate) enum SecretKey {
    /// For `v1`.
    Symmetric(SecretSlice<u8>),
    /// For `v1a`. Wiped from memory when dropped.
    Asymmetric(Box<SigningKey>),
    /// For a platform's own header.
    Text(SecretString),
}

/// The text is no signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be whsec_ and the base64 of 24 to 64 bytes, or whsk_ and the base64 of an Ed25519 key (the seed, or seed and public key), or any text where the format has a signature of its own (flagsmith); leave it out to have one made up"
)]
pub struct InvalidSecret;

impl SigningSecret {
    /// Makes up a symmetric one.
    pub fn generate() -> Self {
        Self::of(SecretKey::Symmetric(random().to_vec().into()))
    }

    /// Makes up an asymmetric one: receivers verify with its public key, and can't sign.
    pub fn generate_asymmetric() -> Self {
        Self::of(SecretKey::Asymmetric(Box::new(SigningKey::from_bytes(&random()))))
    }

    /// Makes one up of the same kind.
    pub(crate) fn generate_like(&self) -> Self {
        match self.key {
            SecretKey::Symmetric(_) | SecretKey::Text(_) => Self::generate(),
            SecretKey::Asymmetric(_) => Self::generate_asymmetric(),
        }
    }

    fn of(key: SecretKey) -> Self {
        Self { key, until: None }
    }

    /// The same, which signs only until then.
    pub(crate) fn retiring(self, until: Option<Timestamp>) -> Self {
        Self { until, ..self }
    }

    /// When it ceases to sign; `None` for one that stays.
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// The key.
    pub(crate) fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The whole text, to be shown once to who made the endpoint.
    pub fn reveal(&self) -> SecretString {
        match &self.key {
            SecretKey::Symmetric(key) => format!("{SYMMETRIC}{}", STANDARD.encode(key.expose_secret())),
            SecretKey::Asymmetric(key) => format!("{ASYMMETRIC}{}", STANDARD.encode(key.to_keypair_bytes())),
            SecretKey::Text(text) => return text.clone(),
        }
        .into()
    }

    /// Whether it is any text, of use only in a platform's own header.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.key, SecretKey::Text(_))
    }

    /// What a receiver verifies an asymmetric signature with, `whpk_…`; none for a symmetric secret.
    pub fn public_key(&self) -> Option<String> {
        match &self.key {
            SecretKey::Symmetric(_) | SecretKey::Text(_) => None,
            SecretKey::Asymmetric(key) => {
                Some(format!("{PUBLIC}{}", STANDARD.encode(key.verifying_key().as_bytes())))
            }
        }
    }

    /// Enough to tell secrets apart, too little to use: a symmetric one's last four characters, an
    /// asymmetric one's public key. Of a text, which may be short, nothing.
    pub fn masked(&self) -> String {
        if self.is_text() {
            return "***".to_owned();
        }
        self.public_key().unwrap_or_else(|| {
            let text = self.reveal();
            let text = text.expose_secret();
            format!("{SYMMETRIC}…{}", &text[text.len() - 4..])
        })
    }

    /// From its text.
    pub(crate) fn parse(text: &SecretString) -> Result<Self, InvalidSecret> {
        let text = text.expose_secret();
        let key = if let Some(encoded) = text.strip_prefix(SYMMETRIC) {
            let key = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
            KEY_BYTES.contains(&key.len()).then(|| SecretKey::Symmetric(key.into()))
        } else if let Some(encoded) = text.strip_prefix(ASYMMETRIC) {
            let bytes = SecretSlice::from(STANDARD.decode(encoded).map_err(|_| InvalidSecret)?);
            key_pair(bytes.expose_secret()).map(|key| SecretKey::Asymmetric(Box::new(key)))
        } else {
            let fits =
                (1..=TEXT_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            (fits && !text.starts_with(PUBLIC)).then(|| SecretKey::Text(text.into()))
        };
        key.map(Self::of).ok_or(InvalidSecret)
    }
}

/// A seed, or a seed and the public key that it makes.
fn key_pair(bytes: &[u8]) -> Option<SigningKey> {
    if let Ok(pair) = bytes.try_into() {
        return SigningKey::from_keypair_bytes(pair).ok();
    }
    bytes.try_into().ok().map(SigningKey::from_bytes)
}

fn random() -> [u8; NEW_KEY_BYTES] {
    let mut bytes = [0; NEW_KEY_BYTES];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the operating system's random numbers are always there on what we support");
    bytes
}

impl TryFrom<String> for SigningSecret {
    type Error = InvalidSecret;
    fn try_from(text: String) -> Result<Self, InvalidSecret> {
        Self::parse(&text.into())
    }
}

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret([REDACTED])")
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

impl From<SecretString> for HeaderSecret {
    fn from(value: SecretString) -> Self {
        Self(value)
    }
}

impl From<String> for HeaderSecret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use secrecy::ExposeSecret;

    use super::SigningSecret;

    #[rstest]
    #[case::symmetric(SigningSecret::generate())]
    #[case::asymmetric(SigningSecret::generate_asymmetric())]
    fn a_secret_reads_back_from_its_text_and_shows_nothing_of_its_key(#[case] secret: SigningSecret) {
        let text = secret.reveal().expose_secret().to_owned();
        let read = SigningSecret::try_from(text.clone()).expect("our own");
        assert_eq!(read.reveal().expose_secret(), text);
        assert!(!secret.masked().contains(&text[6..20]));
        assert!(!format!("{secret:?}").contains(&text[6..20]));
    }

    #[test]
    fn a_text_is_shown_to_nobody() {
        let secret = SigningSecret::try_from("s3cret".to_owned()).expect("a text");
        assert!(secret.is_text());
        assert_eq!(secret.reveal().expose_secret(), "s3cret");
        assert_eq!(secret.masked(), "***");
    }

    // The pair in the documentation of Svix, from which Standard Webhooks has the format.
    const SECRET: &str =
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

    #[rstest]
    #[case::a_pair(SECRET)]
    #[case::a_seed("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=")]
    fn an_asymmetric_secret_of_others_has_the_public_key_that_they_print(#[case] text: &str) {
        let secret = SigningSecret::try_from(text.to_owned()).expect("a secret");
        assert_eq!(secret.public_key().as_deref(), Some(PUBLIC));
        assert_eq!(secret.reveal().expose_secret(), SECRET);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_key("whsec_")]
    #[case::more_than_one_line("s3\ncret")]
    #[case::no_base64("whsec_!!!!")]
    #[case::too_short("whsec_c2hvcnQ=")]
    #[case::an_asymmetric_one_that_is_too_short("whsk_c2hvcnQ=")]
    #[case::a_public_key(PUBLIC)]
    #[case::a_pair_whose_halves_do_not_belong_together(
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbcAKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
    )]
    fn what_is_no_secret_is_refused(#[case] text: &str) {
        assert!(SigningSecret::try_from(text.to_owned()).is_err(), "{text}");
    }
}
