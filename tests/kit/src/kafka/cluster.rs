//! Brokers that form one cluster, and what a test may do to them.

use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tempfile::TempDir;

use super::{
    node::{Node, Ports, free_ports},
    security::{Security, Tls},
};

/// How often starting is tried with other ports when another process took one in between.
const PORT_ATTEMPTS: u32 = 3;

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many brokers: 1, or 3 with a replication factor of 3 and two replicas in sync.
    pub brokers: u16,
    /// How clients speak to them.
    pub security: Security,
}

/// Running brokers, numbered from 1. They are killed, and their data is removed, when the value is dropped or the test process ends.
///
/// Every method blocks, some for seconds: asynchronous tests call them through `tokio::task::spawn_blocking`.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Mutex<Node>>,
    ports: Vec<Ports>,
    client_host: &'static str,
    tls: Option<Tls>,
    /// Dropped after the nodes: data is removed once nobody writes it.
    _directory: TempDir,
}

impl Cluster {
    /// Starts one broker or three, without TLS or passwords, and waits until they serve.
    ///
    /// # Errors
    /// When a broker does not start; the error holds its log.
    pub fn start(brokers: u16) -> Result<Self> {
        Self::start_with(&Options { brokers, security: Security::default() })
    }

    /// As [`start`](Self::start), with a protected client listener.
    ///
    /// # Errors
    /// When a broker does not start; the error holds its log.
    pub fn start_with(options: &Options) -> Result<Self> {
        if ![1, 3].contains(&options.brokers) {
            bail!("a test cluster has 1 broker or 3, not {}", options.brokers);
        }
        let mut attempt = 1;
        loop {
            match Self::try_start(options) {
                Err(error)
                    if attempt < PORT_ATTEMPTS && format!("{error:#}").contains("Address already in use") =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// One broker for all tests of this process, started by the first that asks. Topics and groups are kept apart by
    /// [`unique`](super::unique) names; whoever kills brokers starts a cluster of their own.
    ///
    /// # Panics
    /// When it does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(1).expect("the shared Kafka broker starts"))
    }

    fn try_start(options: &Options) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("flagtrail-kafka-").tempdir()?;
        let tls = options.security.certificates(directory.path())?;
        let ports = free_ports(options.brokers)?;
        let mut nodes = (1..=options.brokers)
            .map(|id| Node::prepare(id, &ports, &options.security, tls.as_ref(), directory.path()))
            .collect::<Result<Vec<_>>>()?;
        let cluster_id = cluster_id();
        thread::scope(|scope| {
            let formats: Vec<_> = nodes
                .iter()
                .map(|node| scope.spawn(|| node.format(&cluster_id, &options.security)))
                .collect();
            formats.into_iter().try_for_each(|format| format.join().expect("formatting does not panic"))
        })?;
        // All first: a quorum of three serves only when two of them run.
        for node in &mut nodes {
            node.spawn()?;
        }
        for node in &mut nodes {
            node.wait_ready()?;
        }
        let nodes = nodes.into_iter().map(Mutex::new).collect();
        Ok(Self { nodes, ports, client_host: options.security.client_host(), tls, _directory: directory })
    }

    /// Where clients connect: `host:port`, one for each broker, running or not.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        join(self.ports.iter().map(|ports| format!("{}:{}", self.client_host, ports.client)))
    }

    /// What clients of a TLS listener need; `None` where the listener is not encrypted.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The numbers of all brokers, running or not.
    pub fn broker_ids(&self) -> impl Iterator<Item = u16> + use<> {
        1..=u16::try_from(self.nodes.len()).expect("at most three brokers")
    }

    /// Ends a broker at once (SIGKILL), as a lost machine would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_broker(&self, id: u16) -> Result<()> {
        self.node(id)?.take()?.kill()
    }

    /// Ends a broker in order (SIGTERM): it hands its partitions over first.
    ///
    /// # Errors
    /// When it does not run, or had to be killed.
    pub fn stop_broker(&self, id: u16) -> Result<()> {
        self.node(id)?.take()?.stop().map(drop)
    }

    /// Starts a broker that was killed or stopped, with its old data and ports, and waits until it serves.
    ///
    /// # Errors
    /// When it runs, or does not start; the error holds its log.
    pub fn restart_broker(&self, id: u16) -> Result<()> {
        self.spawn_broker(id)?;
        self.node(id)?.wait_ready()
    }

    /// As [`restart_broker`](Self::restart_broker), without waiting: a broker of three that are all down serves only once another runs.
    ///
    /// # Errors
    /// When it runs, or cannot be started.
    pub fn spawn_broker(&self, id: u16) -> Result<()> {
        self.node(id)?.spawn()
    }

    /// Freezes a broker (SIGSTOP): its connections stay open and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self, id: u16) -> Result<()> {
        self.node(id)?.running()?.pause()
    }

    /// Lets a paused broker go on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self, id: u16) -> Result<()> {
        self.node(id)?.running()?.resume()
    }

    /// What a broker has logged since it was last started.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn broker_log(&self, id: u16) -> Result<String> {
        Ok(self.node(id)?.log_of_this_run())
    }

    /// Where Kafka's tools connect.
    pub(super) fn internal_bootstrap(&self) -> String {
        join(self.ports.iter().map(|ports| format!("127.0.0.1:{}", ports.internal)))
    }

    fn node(&self, id: u16) -> Result<MutexGuard<'_, Node>> {
        let index = usize::from(id).checked_sub(1);
        let node = index
            .and_then(|index| self.nodes.get(index))
            .with_context(|| format!("there is no broker {id}"))?;
        // A test that panicked while it held the lock has failed already; the others may go on.
        Ok(node.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn join(addresses: impl Iterator<Item = String>) -> String {
    addresses.collect::<Vec<_>>().join(",")
}

/// A new cluster id in Kafka's spelling. Version 7 because it begins with a small number: an id that began with `-` would be taken for an
/// option.
fn cluster_id() -> String {
    URL_SAFE_NO_PAD.encode(uuid::Uuid::now_v7())
}
