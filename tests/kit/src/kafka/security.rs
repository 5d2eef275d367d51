//! How a broker's client listener is protected: TLS, SASL, both or neither.
//!
//! The brokers among themselves, and the tools, use a listener of their own without either.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// How clients speak to the brokers.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Encrypted, with a certificate from a certificate authority made for this cluster.
    pub tls: bool,
    /// Who may log in; nobody needs to where there are no users.
    pub users: Vec<User>,
    /// Whether a user may do only what an administrator has granted. The brokers among themselves, and the tools, may do
    /// everything.
    pub authorised: bool,
}

/// How a user logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// Name and password as they are.
    Plain,
    /// Challenge and response over SHA-256.
    ScramSha256,
    /// Challenge and response over SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// The name by which Kafka's clients ask for it (`sasl.mechanism`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Who may log in.
#[derive(Debug, Clone)]
pub struct User {
    /// The mechanism by which this user can log in, and no other.
    pub mechanism: Mechanism,
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl User {
    /// A user; neither name nor password may hold a quote, a comma or a bracket, which Kafka's own spellings give a meaning.
    #[must_use]
    pub fn new(mechanism: Mechanism, name: &str, password: &str) -> Self {
        Self { mechanism, name: name.to_owned(), password: password.to_owned() }
    }
}

/// What clients of a TLS listener need.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate of the authority that signed the brokers', PEM.
    pub ca_certificate: PathBuf,
    /// That of another authority, PEM: a client that trusts only this one must refuse the brokers.
    pub other_ca_certificate: PathBuf,
    /// The brokers' certificate and private key, as Kafka wants them.
    key_store: PathBuf,
}

impl Security {
    /// The name that clients know the brokers by. Certificates name `localhost`; without them the address spares a look-up that
    /// may find IPv6 first.
    pub(super) fn client_host(&self) -> &'static str {
        if self.tls { "localhost" } else { "127.0.0.1" }
    }

    /// The protocol of the client listener (`security.protocol`).
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match (self.tls, self.users.is_empty()) {
            (false, true) => "PLAINTEXT",
            (true, true) => "SSL",
            (false, false) => "SASL_PLAINTEXT",
            (true, false) => "SASL_SSL",
        }
    }

    /// Makes what TLS needs in the cluster's directory.
    pub(super) fn certificates(&self, cluster: &Path) -> Result<Option<Tls>> {
        if !self.tls {
            return Ok(None);
        }
        let (authority, ca_pem) = authority("Flagtrail test authority")?;
        let (_, other_pem) = self::authority("Another authority")?;
        let key = KeyPair::generate()?;
        let mut broker = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        broker.distinguished_name.push(DnType::CommonName, "localhost");
        let certificate = broker.signed_by(&key, &authority)?;
        let tls = Tls {
            ca_certificate: cluster.join("ca.pem"),
            other_ca_certificate: cluster.join("other-ca.pem"),
            key_store: cluster.join("broker.pem"),
        };
        fs::write(&tls.ca_certificate, &ca_pem)?;
        fs::write(&tls.other_ca_certificate, other_pem)?;
        fs::write(&tls.key_store, format!("{}{}{ca_pem}", key.serialize_pem(), certificate.pem()))?;
        Ok(Some(tls))
    }

    /// The lines of `server.properties`.
    pub(super) fn broker_settings(&self, tls: Option<&Tls>) -> Result<String> {
        let mut lines = String::new();
        let protocol = self.protocol();
        writeln!(
            lines,
            "listener.security.protocol.map=CLIENT:{protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
        )?;
        if let Some(tls) = tls {
            writeln!(lines, "listener.name.client.ssl.keystore.type=PEM")?;
            writeln!(lines, "listener.name.client.ssl.keystore.location={}", tls.key_store.display())?;
        }
        if self.authorised {
            writeln!(lines, "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer")?;
            writeln!(lines, "allow.everyone.if.no.acl.found=false")?;
            // Who comes over a listener without passwords: brokers and tools.
            writeln!(lines, "super.users=User:ANONYMOUS")?;
        }
        let mechanisms: BTreeSet<Mechanism> = self.users.iter().map(|user| user.mechanism).collect();
        if !mechanisms.is_empty() {
            let names: Vec<&str> = mechanisms.iter().map(|mechanism| mechanism.name()).collect();
            writeln!(lines, "listener.name.client.sasl.enabled.mechanisms={}", names.join(","))?;
        }
        for mechanism in mechanisms {
            let listener =
                format!("listener.name.client.{}.sasl.jaas.config", mechanism.name().to_lowercase());
            let module = match mechanism {
                Mechanism::Plain => {
                    let plain = self.users.iter().filter(|user| user.mechanism == Mechanism::Plain);
                    let users: String =
                        plain.map(|user| format!(" user_{}=\"{}\"", user.name, user.password)).collect();
                    format!("org.apache.kafka.common.security.plain.PlainLoginModule required{users};")
                }
                Mechanism::ScramSha256 | Mechanism::ScramSha512 => {
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;".to_owned()
                }
            };
            writeln!(lines, "{listener}={module}")?;
        }
        Ok(lines)
    }

    /// The users that SCRAM knows, as `StorageTool` wants them.
    pub(super) fn scram_users(&self) -> Vec<String> {
        let scram = self.users.iter().filter(|user| user.mechanism != Mechanism::Plain);
        scram
            .map(|User { mechanism, name, password }| {
                format!("{}=[name={name},password={password}]", mechanism.name())
            })
            .collect()
    }
}

/// A certificate authority and its certificate, PEM.
fn authority(name: &str) -> Result<(Issuer<'static, KeyPair>, String)> {
    let key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, name);
    let pem = authority.self_signed(&key)?.pem();
    Ok((Issuer::new(authority, key), pem))
}
