//! A certificate authority of a test's own, and what it certifies.

use std::sync::Arc;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
pub use tokio_rustls::rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

/// When what is expired began and ended.
const EXPIRED: ((i32, u8, u8), (i32, u8, u8)) = ((2020, 1, 1), (2021, 1, 1));

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// A new one, which nobody trusts yet.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Its certificate, in PEM: what others trust it by.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Certifies a server of this name or address, or a client.
    ///
    /// # Errors
    /// When the name is none.
    pub fn certify(&self, name: &str) -> Result<Identity> {
        self.sign(CertificateParams::new([name.to_owned()])?)
    }

    /// The same, but over since years.
    ///
    /// # Errors
    /// When the name is none.
    pub fn certify_expired(&self, name: &str) -> Result<Identity> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        let ((y, m, d), end) = EXPIRED;
        params.not_before = date_time_ymd(y, m, d);
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Identity> {
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

impl Identity {
    /// What a server with this identity is configured with. With `clients` it demands a certificate by that authority,
    /// and speaks that version alone: by TLS 1.2 a client learns within the handshake that it is not wanted, by TLS 1.3
    /// only after it.
    ///
    /// # Errors
    /// When certificate and key don't belong together.
    pub fn server(
        &self,
        clients: Option<(&Authority, &'static SupportedProtocolVersion)>,
    ) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = match clients {
            None => builder.with_safe_default_protocol_versions()?,
            Some((_, version)) => builder.with_protocol_versions(&[version])?,
        };
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some((authority, _)) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes())?)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        Ok(Arc::new(builder.with_single_cert(vec![certificate], key)?))
    }
}
