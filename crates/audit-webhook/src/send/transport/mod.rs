//! How requests travel: the HTTP clients, made when first needed, kept within bounds, and thrown away with
//! their connections when the egress policy changes.
//!
//! HTTP/1.1 alone is spoken: one request at a time on a connection, so that an answer belongs to one
//! delivery. A server that answers with frames of HTTP/2 (a preface, GOAWAY) has not answered in HTTP, and
//! the attempt is classed so.

mod direct;
mod tunnel;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;

use super::bounds::{OWN_CLIENTS_MAX, Times};
use super::egress::{CheckedResolver, Egress, Lookup, Policy};
use super::failure::Failure;
use super::tls::{self, TlsError};
use crate::endpoint::EndpointTls;

pub(crate) use tunnel::TunnelError;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The client can't be built.
    #[error("the HTTP client can't be built: {0}")]
    Build(#[from] reqwest::Error),
}

/// The certificates of an endpoint, with what tells them from others.
#[derive(Clone, Debug)]
pub(crate) struct OwnTls {
    settings: EndpointTls,
    fingerprint: [u8; 32],
}

impl OwnTls {
    /// `None` where the endpoint has no certificates of its own.
    pub(crate) fn of(settings: &EndpointTls) -> Option<Self> {
        let own = Self { fingerprint: tls::fingerprint(settings), settings: settings.clone() };
        (!settings.is_empty()).then_some(own)
    }
}

/// One HTTP client with its connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    /// Connects to receivers.
    Direct(reqwest::Client),
    /// Connects to a proxy, which connects to receivers.
    Tunnel(tunnel::Client),
}

impl Transport {
    /// Sends a request; the answer's body is still to be read.
    pub(crate) async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, Failure> {
        match self {
            // Without the URL, in which receivers have tokens: a failure is written down.
            Self::Direct(client) => {
                client.execute(request).await.map_err(|error| Failure::of(&error.without_url()))
            }
            Self::Tunnel(client) => client.execute(request).await,
        }
    }
}

/// All HTTP clients of a process.
pub(crate) struct Transports {
    resolver: CheckedResolver,
    times: Times,
    machine_roots: Arc<RootCertStore>,
    kept: Mutex<Kept>,
}

/// The clients of one generation of the policy.
#[derive(Default)]
struct Kept {
    generation: u64,
    shared: Option<Transport>,
    /// Those of endpoints with certificates of their own; the one used last stands last.
    own: VecDeque<([u8; 32], Transport)>,
}

impl std::fmt::Debug for Transports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transports").finish_non_exhaustive()
    }
}

impl Transports {
    pub(crate) fn new(egress: Egress, lookup: Arc<dyn Lookup>, times: Times) -> Self {
        let resolver = CheckedResolver::new(egress, lookup, times.resolve);
        Self { resolver, times, machine_roots: tls::machine_roots(), kept: Mutex::default() }
    }

    /// The client for an endpoint, none of whose connections was opened under another policy than `policy`.
    pub(crate) fn get(&self, policy: &Policy, own: Option<&OwnTls>) -> Result<Transport, ClientError> {
        // A client is put in whole or not at all, so the lock holds nothing broken.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.generation != policy.generation {
            // Connections that nobody uses close with their client; one in use closes after its answer.
            *kept = Kept { generation: policy.generation, ..Kept::default() };
        }
        let Some(own) = own else {
            if let Some(shared) = &kept.shared {
                return Ok(shared.clone());
            }
            let shared = self.build(policy, &EndpointTls::default())?;
            kept.shared = Some(shared.clone());
            return Ok(shared);
        };
        let found = kept.own.iter().position(|(fingerprint, _)| *fingerprint == own.fingerprint);
        let transport = match found.and_then(|index| kept.own.remove(index)) {
            Some((_, transport)) => transport,
            None => self.build(policy, &own.settings)?,
        };
        if kept.own.len() == OWN_CLIENTS_MAX {
            kept.own.pop_front();
        }
        kept.own.push_back((own.fingerprint, transport.clone()));
        Ok(transport)
    }

    fn build(&self, policy: &Policy, own: &EndpointTls) -> Result<Transport, ClientError> {
        let tls = tls::config(own, &self.machine_roots)?;
        match policy.proxy() {
            None => Ok(Transport::Direct(direct::client(tls, self.resolver.clone(), self.times)?)),
            Some(proxy) => {
                Ok(Transport::Tunnel(tunnel::Client::new(proxy, tls, self.resolver.clone(), self.times)))
            }
        }
    }
}
