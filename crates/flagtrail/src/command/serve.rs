//! `flagtrail serve`: some roles of a system whose processes share one Kafka.

use anyhow::Result;

use super::Context;
use crate::cli::ListenArgs;
use crate::config::Backend;
use crate::exit::{Exit, Stop};
use crate::keyring::MissingKey;
use crate::signal;
use crate::system::{Role, System};

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What this process does
    #[arg(long, value_delimiter = ',', default_value = "ingest,deliver,archive,query", value_name = "ROLES")]
    pub(crate) roles: Vec<Role>,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

/// Serves until told to stop.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    // Sealing may be left out.
    let all = Role::ALL.iter().all(|role| *role == Role::Seal || args.roles.contains(role));
    if context.config.log.backend == Backend::Embedded && !all {
        return Err(Stop::error(
            Exit::Usage,
            "the embedded log is for one process, which needs every role: use `flagtrail up`, or Kafka",
        ));
    }
    let shutdown = signal::shutdown();
    let Some(system) = System::start(&context.config, &args.roles, MissingKey::GoWithout, shutdown).await?
    else {
        return Ok(());
    };
    system.run().await
}
