//! TLS of a listener, with a certificate that can be replaced while connections stand: those go on with what they began
//! with, new ones get the new one. HTTP/1.1 inside it, TLS 1.2 and 1.3 by rustls on ring.
//!
//! Not here: the files that certificates come from, and when those are read again.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use secrecy::{ExposeSecret, SecretString};
use tokio_rustls::TlsAcceptor;

/// Most certificates of a chain: two or three are usual.
const CHAIN_MAX: usize = 16;

/// What HTTP is spoken inside.
const HTTP_1_1: &[u8] = b"http/1.1";

/// Why a certificate and its key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The chain can't be read. What is wrong in detail might show what should not be shown, if files were mixed up.
    #[error("the certificate is no PEM")]
    Chain,
    /// There is none, or more than a chain has.
    #[error(
        "the certificate must be PEM with 1 to {CHAIN_MAX} certificates, the listener's own first; it has {0}"
    )]
    Count(usize),
    /// The key can't be read.
    #[error("the key is no private key in PEM (PKCS #8, PKCS #1 or SEC 1)")]
    Key,
    /// Each may be right, but not together.
    #[error("the key is not that of the certificate")]
    Mismatch,
    /// TLS can't use them.
    #[error("they can't be used for TLS: {0}")]
    Unusable(rustls::Error),
}

/// A certificate with its chain and key, which fit each other.
#[derive(Clone)]
pub struct Certificate(Arc<CertifiedKey>);

impl Certificate {
    /// From PEM: the chain, the listener's own certificate first, and its key.
    pub fn from_pem(chain: &str, key: &SecretString) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|_| CertificateError::Chain)?;
        if chain.is_empty() || chain.len() > CHAIN_MAX {
            return Err(CertificateError::Count(chain.len()));
        }
        let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes())
            .map_err(|_| CertificateError::Key)?;
        let certified = CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider());
        certified.map(|certified| Self(Arc::new(certified))).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch,
            error => CertificateError::Unusable(error),
        })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} in its chain)", self.0.cert.len())
    }
}

/// TLS of a listener. Cheap to clone; [`ServerTls::replace`] is felt by every clone.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    current: Arc<Current>,
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(RwLock<Certificate>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

impl ServerTls {
    /// With a first certificate.
    pub fn new(certificate: Certificate) -> Result<Self, CertificateError> {
        let current = Arc::new(Current(RwLock::new(certificate)));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Unusable)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self { config: Arc::new(config), current })
    }

    /// Gives new connections another certificate; those that stand go on.
    pub fn replace(&self, certificate: Certificate) {
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}
