//! TLS of a delivery: what is trusted, and what the receiver is shown.
//!
//! rustls on ring. Without settings of its own an endpoint trusts what the machine trusts: inside a company
//! it is often signed by the company's own authority, which its operators have already installed there; a
//! bundle of Mozilla's roots would refuse it.

use std::sync::{Arc, OnceLock};

use audit_digest::Sha256;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;

use crate::endpoint::EndpointTls;

/// Most certificates in a bundle of authorities, and in a client's chain.
const CERTIFICATES_MAX: usize = 256;

/// Why certificates can't be used. Never shows any of them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM of the authorities.
    #[error("tls.ca {0}")]
    Authorities(Unusable),
    /// The PEM of the client's certificate.
    #[error("tls.client_certificate {0}")]
    Certificate(Unusable),
    /// The PEM of its key.
    #[error("tls.client_key {0}")]
    Key(Unusable),
    /// One of the two is missing.
    #[error("tls.client_certificate and tls.client_key belong together: give both, or neither")]
    Half,
    /// What rustls says to the certificate and its key together.
    #[error("tls.client_certificate and tls.client_key can't be used together: {0}")]
    Pair(rustls::Error),
    /// The protocol versions can't be set up.
    #[error("TLS can't be set up: {0}")]
    Setup(rustls::Error),
}

/// What is wrong with a PEM.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// There is nothing in it.
    #[error("must hold at least one, in PEM (-----BEGIN …-----)")]
    Nothing,
    /// There is too much in it.
    #[error("may hold at most {CERTIFICATES_MAX} certificates")]
    TooMany,
    /// It is no PEM.
    #[error("is no PEM: {0}")]
    Pem(PemError),
    /// It is no certificate.
    #[error("holds a certificate that can't be read: {0}")]
    Certificate(rustls::Error),
}

/// Whether an endpoint's own certificates can be used, as far as can be told without the receiver.
pub(crate) fn check(own: &EndpointTls) -> Result<(), TlsError> {
    config(own, &Arc::new(RootCertStore::empty())).map(drop)
}

/// What the machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` count), as it was when this was first asked: reading it
/// takes the disk and a while, and a test of an endpoint asks again.
pub(crate) fn machine_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(read_machine_roots))
}

/// Warns where there is nothing.
fn read_machine_roots() -> Arc<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        tracing::warn!(
            ?errors,
            "this machine trusts no certificate authority, so every https endpoint without a ca of its own will fail: install its ca-certificates"
        );
    }
    Arc::new(roots)
}

/// The configuration for an endpoint: with its own authorities in place of the machine's, where it has
/// some, and with its client certificate.
pub(crate) fn config(own: &EndpointTls, machine: &Arc<RootCertStore>) -> Result<ClientConfig, TlsError> {
    let roots = match &own.ca {
        Some(pem) => Arc::new(authorities(pem).map_err(TlsError::Authorities)?),
        None => Arc::clone(machine),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trusting = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots);
    match (&own.client_certificate, &own.client_key) {
        (None, None) => Ok(trusting.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate).map_err(TlsError::Certificate)?;
            let key = private_key(key.expose_secret()).map_err(TlsError::Key)?;
            trusting.with_client_auth_cert(chain, key).map_err(TlsError::Pair)
        }
        _ => Err(TlsError::Half),
    }
}

/// Tells settings apart without keeping them: their digest, of use only inside the process.
pub(crate) fn fingerprint(own: &EndpointTls) -> [u8; 32] {
    let mut digest = Sha256::new();
    let key = own.client_key.as_ref().map(|key| key.expose_secret());
    for part in [own.ca.as_deref(), own.client_certificate.as_deref(), key] {
        let part = part.unwrap_or_default().as_bytes();
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize()
}

fn authorities(pem: &str) -> Result<RootCertStore, Unusable> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(Unusable::Certificate)?;
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .take(CERTIFICATES_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(Unusable::Pem)?;
    match certificates.len() {
        0 => Err(Unusable::Nothing),
        1..=CERTIFICATES_MAX => Ok(certificates),
        _ => Err(Unusable::TooMany),
    }
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Unusable> {
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) => Err(Unusable::Nothing),
        Err(error) => Err(Unusable::Pem(error)),
    }
}
