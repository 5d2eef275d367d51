//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::client::ServerArgs;
use crate::command;
use crate::config::Overrides;

const EXITS: &str = "Exit codes: 0 done; 1 failed, or a check found something wrong; 64 wrong command line or \
configuration; 69 server or log not reachable; 77 not permitted.";

/// Flag and access-control changes as an audit log: into a Kafka topic, out to webhooks, archives and exports.
#[derive(Debug, Parser)]
#[command(name = "flagtrail", version, propagate_version = true, after_help = EXITS)]
pub(crate) struct Cli {
    /// Configuration file; ./flagtrail.toml or /etc/flagtrail/flagtrail.toml by default
    #[arg(long, env = "FLAGTRAIL_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where this machine's data lies
    #[arg(long, env = "FLAGTRAIL_DATA_DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Answer with JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The flags that stand over the configuration.
    pub(crate) fn overrides(&self) -> Overrides {
        let listen = match &self.command {
            Command::Up(args) => Some(&args.listen),
            Command::Serve(args) => Some(&args.listen),
            _ => None,
        };
        Overrides {
            data_dir: self.data_dir.clone(),
            kafka: listen.and_then(|listen| listen.kafka.clone()),
            hooks_listen: listen.and_then(|listen| listen.hooks_listen),
            admin_listen: listen.and_then(|listen| listen.admin_listen),
        }
    }
}

/// Flags of the commands that serve.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ListenArgs {
    /// Use Apache Kafka at these brokers (host:port,host:port) instead of the embedded log
    #[arg(long, value_name = "BROKERS")]
    pub(crate) kafka: Option<String>,
    /// Where platforms send their webhooks
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) hooks_listen: Option<SocketAddr>,
    /// Where ingest, settings, queries and metrics are served
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<SocketAddr>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process
    Up(command::up::Args),
    /// Run some roles of a system whose processes share one Kafka
    Serve(command::serve::Args),
    /// Show the whole thing at work on sample webhooks, with nothing installed
    Demo(command::demo::Args),
    /// Append audit records from a file or standard input
    Append(command::append::Args),
    /// Follow the log as records arrive
    Tail(command::tail::Args),
    /// Search the archive: who changed what, when
    Query(command::query::Args),
    /// Run one of the reports that auditors ask for
    Report(command::report::Args),
    /// Who had access to what, and when
    #[command(subcommand)]
    Access(command::access::Command),
    /// Write records to files with a manifest and checksums
    Export(command::export::Args),
    /// Check an export, an archive or a server: signatures, trees, and that what is in scope is there as the log has it
    Verify(command::verify::Args),
    /// Drop the bodies of the records that concern a person, from every archive; proofs stay valid
    Erase(command::erase::Args),
    /// Prove that a record is in the log, in a file that is checked offline
    Proof(command::proof::Args),
    /// The platforms that send changes
    #[command(subcommand)]
    Source(command::source::Command),
    /// The webhook endpoints that records are delivered to
    #[command(subcommand)]
    Endpoint(command::endpoint::Command),
    /// Exports that are made again and again
    #[command(subcommand)]
    Schedule(command::schedule::Command),
    /// Access tokens of the HTTP interface
    #[command(subcommand)]
    Token(command::token::Command),
    /// The keys that secrets are sealed with, and those that checkpoints of the log are signed with
    #[command(subcommand)]
    Keys(command::keys::Command),
    /// Requests that could not become records
    #[command(subcommand)]
    Rejected(command::rejected::Command),
    /// The SQLite archive on this machine
    #[command(subcommand)]
    Archive(command::archive::Command),
    /// The log itself
    #[command(subcommand)]
    Log(command::log::Command),
    /// Moving the log between its backends
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Journal(command::journal::Command),
    /// Preparing Apache Kafka
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Kafka(command::kafka::Command),
    /// The configuration
    #[command(subcommand)]
    Config(command::config::Command),
    /// Ask a running server whether it is ready; for container health checks
    Health(command::health::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn no_command_has_two_options_of_one_name() {
        Cli::command().debug_assert();
    }
}
