//! Standard Webhooks v1: HMAC-SHA256 over `id.timestamp.body`, base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::endpoint::SigningSecret;

/// Signs for one endpoint. The keys are prepared once; a delivery clones their state.
#[derive(Clone)]
pub(crate) struct Signer {
    keys: Vec<Hmac<Sha256>>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} keys)", self.keys.len())
    }
}

impl Signer {
    pub(crate) fn new(secrets: &[SigningSecret]) -> Self {
        let key = |secret: &SigningSecret| {
            Hmac::new_from_slice(secret.key()).expect("HMAC takes keys of every length")
        };
        Self { keys: secrets.iter().map(key).collect() }
    }

    /// The value of `webhook-signature`: one signature a secret, separated by spaces.
    pub(crate) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut header = String::with_capacity(48 * self.keys.len());
        for key in &self.keys {
            let mut mac = key.clone();
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                mac.update(part);
            }
            if !header.is_empty() {
                header.push(' ');
            }
            header.push_str("v1,");
            STANDARD.encode_string(mac.finalize().into_bytes(), &mut header);
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::Signer;
    use crate::endpoint::SigningSecret;

    #[test]
    fn the_example_of_the_standard_webhooks_specification_comes_out() {
        let secret =
            SigningSecret::try_from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()).expect("valid");
        let signature = Signer::new(&[secret]).sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
