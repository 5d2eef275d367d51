//! `flagtrail config`: what is in force, and the commented defaults.

use anyhow::Result;

use super::Context;
use crate::config::DEFAULT;
use crate::print;

/// What to show.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print the configuration in force, secrets masked
    Show,
    /// Print every setting with its default and what it means
    Default,
}

/// Prints the commented defaults; needs no configuration.
pub(crate) fn print_default() -> Result<()> {
    print::line(DEFAULT.trim_end())
}

/// Runs the command.
pub(crate) fn run(context: Context, command: Command) -> Result<()> {
    match command {
        Command::Show => print::line(&serde_json::to_string_pretty(&context.config)?),
        Command::Default => print_default(),
    }
}
