//! `flagtrail kafka`: what a cluster needs before Flagtrail may run on it.

use anyhow::Result;

use super::Context;
use crate::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print the topics and least-privilege ACLs as commands, for those who may not create topics themselves
    Plan {
        /// How many brokers the cluster has: decides the replication factor
        #[arg(long, default_value_t = 3)]
        brokers: usize,
    },
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    match command {
        Command::Plan { brokers } => {
            let mut config = context.config.kafka_config()?;
            if config.brokers.is_empty() {
                "BROKER:9092".clone_into(&mut config.brokers);
            }
            print::line(&audit_journal::kafka_plan(&config, brokers))
        }
    }
}
