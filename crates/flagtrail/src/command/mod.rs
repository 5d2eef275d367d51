//! The subcommands, one a file: its flags and what it does.

pub(crate) mod access;
pub(crate) mod append;
pub(crate) mod archive;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod endpoint;
pub(crate) mod erase;
pub(crate) mod export;
mod filter;
pub(crate) mod health;
#[cfg(feature = "kafka")]
pub(crate) mod journal;
#[cfg(feature = "kafka")]
pub(crate) mod kafka;
pub(crate) mod keys;
pub(crate) mod log;
pub(crate) mod log_keys;
pub(crate) mod proof;
pub(crate) mod query;
pub(crate) mod rejected;
pub(crate) mod report;
pub(crate) mod schedule;
pub(crate) mod serve;
pub(crate) mod source;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod up;
pub(crate) mod verify;

use anyhow::Result;

use crate::cli::{Cli, Command};
use crate::client::Client;
use crate::config::Config;
use crate::telemetry;

/// What every command gets.
pub(crate) struct Context {
    /// The configuration in force.
    pub(crate) config: Config,
    /// Whether to answer with JSON.
    pub(crate) json: bool,
    server: crate::client::ServerArgs,
}

impl Context {
    /// A client of the running server.
    pub(crate) fn client(&self) -> Result<Client> {
        Client::new(&self.server, self.config.admin_token_file())
    }

    /// A client of the server at a URL, with the same token.
    pub(crate) fn client_of(&self, url: &str) -> Result<Client> {
        let server = crate::client::ServerArgs { server: url.to_owned(), ..self.server.clone() };
        Client::new(&server, self.config.admin_token_file())
    }
}

/// Runs the command that was asked for.
pub(crate) async fn run(cli: Cli) -> Result<()> {
    if let Command::Config(config::Command::Default) = cli.command {
        return config::print_default();
    }
    let mut config = Config::load(cli.config.as_deref(), cli.overrides())?;
    if matches!(cli.command, Command::Demo(_)) {
        // The demo tells what happens itself.
        "warn".clone_into(&mut config.telemetry.filter);
    }
    telemetry::start(&config.telemetry)?;
    let context = Context { config, json: cli.json, server: cli.server };
    match cli.command {
        Command::Up(args) => up::run(context, args).await,
        Command::Serve(args) => serve::run(context, args).await,
        Command::Demo(args) => demo::run(context, args).await,
        Command::Append(args) => append::run(context, args).await,
        Command::Tail(args) => tail::run(context, args).await,
        Command::Query(args) => query::run(context, args).await,
        Command::Report(args) => report::run(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Verify(args) => verify::run(context, args).await,
        Command::Access(command) => access::run(context, command).await,
        Command::Source(command) => source::run(context, command).await,
        Command::Endpoint(command) => endpoint::run(context, command).await,
        Command::Token(command) => token::run(context, command).await,
        Command::Schedule(command) => schedule::run(context, command).await,
        Command::Rejected(command) => rejected::run(context, command).await,
        Command::Keys(command) => keys::run(context, command).await,
        Command::Archive(command) => archive::run(context, command).await,
        Command::Erase(args) => erase::run(context, args).await,
        Command::Proof(args) => proof::run(context, args).await,
        Command::Log(command) => log::run(context, command).await,
        #[cfg(feature = "kafka")]
        Command::Journal(command) => journal::run(context, command).await,
        #[cfg(feature = "kafka")]
        Command::Kafka(command) => kafka::run(context, command).await,
        Command::Config(command) => config::run(context, command).await,
        Command::Health(args) => health::run(context, args).await,
    }
}
