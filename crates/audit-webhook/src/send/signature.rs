//! Signatures of Standard Webhooks over `id.timestamp.body`: `v1`, HMAC-SHA256, and `v1a`, Ed25519; one for
//! each secret.
//!
//! Not here: the signature header of a platform whose format an endpoint asks for. It belongs to the
//! format.

use audit_digest::MacKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use ed25519_dalek::ed25519::signature::MultipartSigner;
use secrecy::ExposeSecret;

use crate::endpoint::{SecretKey, SigningSecret};

/// Bytes of the longer of the two signatures with its word and a space: what is set aside for each.
const SIGNATURE_BYTES: usize = 96;

/// Signs for one endpoint. The keys are prepared once; a delivery clones the state of those that have any.
#[derive(Clone)]
pub(crate) struct Signer {
    /// Each with the second since 1970 at which it ceases to sign, if it does.
    keys: Vec<(Key, Option<i64>)>,
}

#[derive(Clone)]
enum Key {
    Symmetric(MacKey),
    Asymmetric(Box<SigningKey>),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} keys)", self.keys.len())
    }
}

impl Signer {
    pub(crate) fn new(secrets: &[SigningSecret]) -> Self {
        let key = |secret: &SigningSecret| match secret.key() {
            SecretKey::Symmetric(key) => Some(Key::Symmetric(MacKey::new(key.expose_secret()))),
            SecretKey::Asymmetric(key) => Some(Key::Asymmetric(key.clone())),
            SecretKey::Text(_) => None,
        };
        let until_s = |secret: &SigningSecret| Some(secret.until()?.micros().div_euclid(1_000_000));
        Self { keys: secrets.iter().filter_map(|secret| Some((key(secret)?, until_s(secret)))).collect() }
    }

    /// The value of `webhook-signature`: one signature for each secret that still signs at `now_s`, which is
    /// the timestamp, separated by spaces. Empty where none does.
    pub(crate) fn sign(&self, id: &str, now_s: i64, body: &[u8]) -> String {
        let timestamp = now_s.to_string();
        let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let mut header = String::with_capacity(SIGNATURE_BYTES * self.keys.len());
        for (key, _) in self.keys.iter().filter(|(_, until_s)| until_s.is_none_or(|until_s| now_s < until_s))
        {
            if !header.is_empty() {
                header.push(' ');
            }
            match key {
                Key::Symmetric(key) => {
                    header.push_str("v1,");
                    STANDARD.encode_string(key.mac(&parts), &mut header);
                }
                Key::Asymmetric(key) => {
                    header.push_str("v1a,");
                    STANDARD.encode_string(key.multipart_sign(&parts).to_bytes(), &mut header);
                }
            }
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rustls::crypto::ring;
    use rustls::pki_types::alg_id;

    use super::Signer;
    use crate::endpoint::SigningSecret;

    fn secret(text: &str) -> SigningSecret {
        SigningSecret::try_from(text.to_owned()).expect(text)
    }

    #[test]
    fn the_example_of_the_standard_webhooks_specification_comes_out() {
        let signature = Signer::new(&[secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn an_asymmetric_signature_is_verified_by_another_implementation_of_ed25519() {
        let secret = SigningSecret::generate_asymmetric();
        let header = Signer::new(std::slice::from_ref(&secret)).sign("msg_1", 1_614_265_330, b"{}");
        let signature = STANDARD.decode(header.strip_prefix("v1a,").expect("v1a")).expect("base64");
        let public = secret.public_key().expect("asymmetric");
        let public = STANDARD.decode(public.strip_prefix("whpk_").expect("whpk_")).expect("base64");
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let ring = algorithms
            .all
            .iter()
            .find(|algorithm| algorithm.signature_alg_id() == alg_id::ED25519)
            .expect("ring knows Ed25519");
        ring.verify_signature(&public, b"msg_1.1614265330.{}", &signature).expect("valid");
        assert!(ring.verify_signature(&public, b"msg_1.1614265331.{}", &signature).is_err());
    }

    #[test]
    fn during_a_rotation_each_secret_signs_in_its_own_way() {
        let secrets = [SigningSecret::generate(), SigningSecret::generate_asymmetric()];
        let header = Signer::new(&secrets).sign("msg_1", 1_614_265_330, b"{}");
        let words: Vec<_> = header.split(' ').filter_map(|signature| signature.split(',').next()).collect();
        assert_eq!(words, ["v1", "v1a"]);
    }
}
