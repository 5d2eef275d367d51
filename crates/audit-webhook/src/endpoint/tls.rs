//! Certificates of an endpoint's own: whom it trusts, and what it shows.

use audit_record::Violation;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use crate::send::{TlsError, check_tls};

/// Most bytes of each PEM.
const PEM_BYTES_MAX: usize = 128 * 1024;

/// Certificates of an endpoint's own, each in PEM. Without any, the endpoint trusts what the machine trusts
/// and shows nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointTls {
    /// The authorities to trust, in place of the machine's.
    pub ca: Option<String>,
    /// The certificate to show, with those between it and its authority.
    pub client_certificate: Option<String>,
    /// The certificate's private key.
    #[serde(deserialize_with = "secret")]
    pub client_key: Option<SecretString>,
}

impl EndpointTls {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client_certificate.is_none() && self.client_key.is_none()
    }

    /// Whether they can be used, as far as can be told without the receiver.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        use secrecy::ExposeSecret;
        let key = self.client_key.as_ref().map(|key| key.expose_secret());
        for (field, pem) in [
            ("tls.ca", self.ca.as_deref()),
            ("tls.client_certificate", self.client_certificate.as_deref()),
            ("tls.client_key", key),
        ] {
            if pem.is_some_and(|pem| pem.len() > PEM_BYTES_MAX) {
                return Err(Violation::new(field, format!("must be at most {PEM_BYTES_MAX} bytes")));
            }
        }
        check_tls(self).map_err(|error| match &error {
            TlsError::Authorities(unusable) => Violation::new("tls.ca", unusable.to_string()),
            TlsError::Certificate(unusable) => Violation::new("tls.client_certificate", unusable.to_string()),
            TlsError::Key(unusable) => Violation::new("tls.client_key", unusable.to_string()),
            TlsError::Half | TlsError::Pair(_) | TlsError::Setup(_) => {
                Violation::new("tls", error.to_string())
            }
        })
    }
}

/// Text that is wiped from memory when it is dropped.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}
