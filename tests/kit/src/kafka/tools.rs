//! Kafka's own command line tools, run by their classes. Each starts a JVM: two seconds, and independent of our own client code.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{cluster::Cluster, libs};

/// Memory of a tool's heap.
const TOOL_HEAP_MIB: u32 = 128;

/// The class behind `kafka-topics.sh`.
const TOPIC_COMMAND: &str = "org.apache.kafka.tools.TopicCommand";

/// Kafka's own.
const GROUP_COMMAND: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// How long new partitions may take until each has a leader, on a machine busy with other tests.
const LED_LIMIT: Duration = Duration::from_secs(120);

impl Cluster {
    /// Runs a command line class of Kafka's with `--bootstrap-server` set, and returns what it wrote to standard output.
    ///
    /// # Errors
    /// When it fails; the error holds what it wrote to standard error.
    pub fn run_tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        self.run_tool_with_input(class, arguments, "")
    }

    /// As [`run_tool`](Self::run_tool), with text on standard input: what `ConsoleProducer` sends, line by line.
    ///
    /// # Errors
    /// When it fails; the error holds what it wrote to standard error.
    pub fn run_tool_with_input(&self, class: &str, arguments: &[&str], input: &str) -> Result<String> {
        let bootstrap = self.internal_bootstrap();
        let arguments: Vec<&str> =
            ["--bootstrap-server", &bootstrap].iter().chain(arguments).copied().collect();
        run(class, &arguments, input)
    }

    /// Creates a topic, replicated to every broker up to three, and waits until it is there for clients. `settings` are `name=value`.
    ///
    /// # Errors
    /// When Kafka refuses, say because it exists.
    pub fn create_topic(&self, topic: &str, partitions: u32, settings: &[&str]) -> Result<()> {
        let count = partitions.to_string();
        let mut arguments = vec!["--create", "--topic", topic, "--partitions", &count];
        for setting in settings {
            arguments.extend(["--config", setting]);
        }
        self.run_tool(TOPIC_COMMAND, &arguments)?;
        self.wait_led(topic, partitions)
    }

    /// Raises a topic's number of partitions to `partitions`, as an operator might behind our back, and waits until they are there for
    /// clients.
    ///
    /// # Errors
    /// When Kafka refuses, say because the topic has as many already.
    pub fn add_partitions(&self, topic: &str, partitions: u32) -> Result<()> {
        let arguments = ["--alter", "--topic", topic, "--partitions", &partitions.to_string()];
        self.run_tool(TOPIC_COMMAND, &arguments)?;
        self.wait_led(topic, partitions)
    }

    /// Waits until a broker that is asked names a leader of each partition: it hears of what the controller has made a moment later.
    fn wait_led(&self, topic: &str, partitions: u32) -> Result<()> {
        let began = Instant::now();
        loop {
            let described = self.run_tool(TOPIC_COMMAND, &["--describe", "--topic", topic]);
            let is_led = |described: &String| {
                (0..partitions).all(|partition| leader_in(described, partition).is_some())
            };
            if described.as_ref().is_ok_and(is_led) {
                return Ok(());
            }
            if began.elapsed() > LED_LIMIT {
                bail!("no leaders of {topic} within {LED_LIMIT:?}: {described:?}");
            }
        }
    }

    /// Deletes a topic. It is gone for clients at once or a moment later; its files go later.
    ///
    /// # Errors
    /// When Kafka refuses, say because there is no such topic.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        self.run_tool(TOPIC_COMMAND, &["--delete", "--topic", topic]).map(drop)
    }

    /// The broker that leads a partition.
    ///
    /// # Errors
    /// When there is no such partition, or no leader at the moment.
    pub fn leader_of(&self, topic: &str, partition: u32) -> Result<u16> {
        let described = self.run_tool(TOPIC_COMMAND, &["--describe", "--topic", topic])?;
        leader_in(&described, partition)
            .with_context(|| format!("no leader of {topic} partition {partition} in:\n{described}"))
    }

    /// The broker that coordinates a group.
    ///
    /// # Errors
    /// When there is no such group, or no coordinator at the moment.
    pub fn coordinator_of(&self, group: &str) -> Result<u16> {
        let described = self.run_tool(GROUP_COMMAND, &["--describe", "--group", group, "--state"])?;
        // `… 127.0.0.1:9092 (2) …`, below a heading with `(ID)`.
        let in_brackets =
            described.split('(').filter_map(|rest| rest.split_once(')')).map(|(inside, _)| inside);
        in_brackets
            .filter_map(|inside| inside.parse().ok())
            .next()
            .with_context(|| format!("no coordinator of {group} in:\n{described}"))
    }
}

/// Runs a command line class of Kafka's that is told by `arguments` where to connect, so also through the client listener, and returns
/// what it wrote to standard output.
///
/// # Errors
/// When it fails; the error holds what it wrote to standard error.
pub fn run(class: &str, arguments: &[&str], input: &str) -> Result<String> {
    let mut tool: Command = libs::java(TOOL_HEAP_MIB, class)?;
    tool.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().context("run java: is a JDK of version 17 or later installed?")?;
    tool.stdin.take().context("the tool has no standard input")?.write_all(input.as_bytes())?;
    let output = tool.wait_with_output()?;
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{class} {arguments:?}: {written}{complaints}");
    }
    Ok(written)
}

/// Reads `… Partition: 0 ⇥ Leader: 2 ⇥ …`.
fn leader_in(described: &str, partition: u32) -> Option<u16> {
    let value = |line: &str, name: &str| -> Option<String> {
        line.split('\t').find_map(|column| Some(column.trim().strip_prefix(name)?.trim().to_owned()))
    };
    let wanted = partition.to_string();
    let line =
        described.lines().find(|line| value(line, "Partition:").is_some_and(|found| found == wanted))?;
    value(line, "Leader:")?.parse().ok()
}
