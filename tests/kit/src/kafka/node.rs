//! One broker: its ports, its settings, its data and its process.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    libs,
    security::{Security, Tls},
};
use crate::{ports, process::Process};

/// Memory of a broker's heap: three fit beside a build.
const BROKER_HEAP_MIB: u32 = 320;

/// How long a broker may take until it serves, on a machine busy with other tests.
const READY_LIMIT: Duration = Duration::from_secs(240);

/// How often readiness is looked for.
const READY_POLL: Duration = Duration::from_millis(50);

/// What a broker logs once it is registered, unfenced and serving.
const READY_LINE: &str = "Kafka Server started";

/// The ports of one broker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) client: u16,
    pub(super) internal: u16,
    pub(super) controller: u16,
}

/// Finds free ports for `brokers` brokers. They are released before the brokers bind them: whoever starts brokers repeats
/// both steps when another process was quicker.
pub(super) fn free_ports(brokers: u16) -> Result<Vec<Ports>> {
    let listeners = ports::free(usize::from(brokers) * 3)?;
    let ports =
        listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<Vec<u16>>>()?;
    Ok(ports
        .chunks(3)
        .map(|three| Ports { client: three[0], internal: three[1], controller: three[2] })
        .collect())
}

/// One broker, running or not.
#[derive(Debug)]
pub(super) struct Node {
    id: u16,
    directory: PathBuf,
    process: Option<Process>,
    /// Where the log of the present run begins: the file holds those before it too.
    log_begins: u64,
}

impl Node {
    /// Writes the settings of broker `id` into a directory of its own.
    pub(super) fn prepare(
        id: u16,
        all: &[Ports],
        security: &Security,
        tls: Option<&Tls>,
        cluster: &Path,
    ) -> Result<Self> {
        let directory = cluster.join(format!("broker-{id}"));
        fs::create_dir_all(&directory)?;
        let shared = libs::configuration().join("server.properties");
        let mut settings =
            fs::read_to_string(&shared).with_context(|| format!("read {}", shared.display()))?;
        settings.push_str(&identity(id, all, security.client_host(), &directory));
        settings.push_str(&security.broker_settings(tls)?);
        fs::write(directory.join("server.properties"), settings)?;
        Ok(Self { id, directory, process: None, log_begins: 0 })
    }

    /// Formats the storage, once in the life of the directory, with the users that SCRAM knows.
    pub(super) fn format(&self, cluster_id: &str, security: &Security) -> Result<()> {
        let mut tool = libs::java(128, "kafka.tools.StorageTool")?;
        tool.args(["format", "--cluster-id", cluster_id, "--config"]).arg(self.settings());
        for user in security.scram_users() {
            tool.arg("--add-scram").arg(user);
        }
        let output = tool.output().context("run java: is a JDK of version 17 or later installed?")?;
        if !output.status.success() {
            bail!("format broker {}: {}", self.id, String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Starts the process without waiting until it serves.
    pub(super) fn spawn(&mut self) -> Result<()> {
        if self.process.is_some() {
            bail!("broker {} runs already", self.id);
        }
        self.log_begins = fs::metadata(self.log()).map_or(0, |log| log.len());
        let mut java = libs::java(BROKER_HEAP_MIB, "kafka.Kafka")?;
        java.arg(self.settings());
        let name = format!("broker {}", self.id);
        self.process = Some(Process::start_owning(&name, &java, &self.log(), Some(&self.directory))?);
        Ok(())
    }

    /// Waits until the broker serves.
    pub(super) fn wait_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.log_of_this_run().contains(READY_LINE) {
            if let Some(status) = self.running()?.try_exit()? {
                bail!("broker {} ended with {status} while it started:\n{}", self.id, self.log_of_this_run());
            }
            if started.elapsed() > READY_LIMIT {
                bail!("broker {} does not serve after {READY_LIMIT:?}:\n{}", self.id, self.log_of_this_run());
            }
            std::thread::sleep(READY_POLL);
        }
        Ok(())
    }

    /// The running process.
    pub(super) fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().with_context(|| format!("broker {} does not run", self.id))
    }

    /// Takes the process away, to be ended.
    pub(super) fn take(&mut self) -> Result<Process> {
        self.process.take().with_context(|| format!("broker {} does not run", self.id))
    }

    /// What the present run has logged so far.
    pub(super) fn log_of_this_run(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let begins = usize::try_from(self.log_begins).unwrap_or(usize::MAX).min(log.len());
        String::from_utf8_lossy(&log[begins..]).into_owned()
    }

    fn settings(&self) -> PathBuf {
        self.directory.join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("broker.log")
    }
}

/// The settings that make a broker this one, in a cluster of this size.
fn identity(id: u16, all: &[Ports], client_host: &str, directory: &Path) -> String {
    let voters: Vec<String> = all
        .iter()
        .enumerate()
        .map(|(node, ports)| format!("{}@127.0.0.1:{}", node + 1, ports.controller))
        .collect();
    let Ports { client, internal, controller } = all[usize::from(id) - 1];
    let replicas = all.len();
    let replicas_in_sync = replicas.min(2);
    format!(
        "
node.id={id}
controller.quorum.voters={voters}
listeners=CLIENT://127.0.0.1:{client},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENT://{client_host}:{client},INTERNAL://127.0.0.1:{internal}
log.dirs={data}
default.replication.factor={replicas}
min.insync.replicas={replicas_in_sync}
offsets.topic.replication.factor={replicas}
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={replicas_in_sync}
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={replicas_in_sync}
",
        voters = voters.join(","),
        data = directory.join("data").display(),
    )
}
