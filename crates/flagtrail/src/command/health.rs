//! `flagtrail health`: for container health checks, which have no HTTP client of their own.

use anyhow::Result;

use super::Context;
use crate::client::Client;
use crate::print;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask about this role only (deliver, archive, seal); about taking changes in by default
    #[arg(long)]
    role: Option<String>,
}

/// Fails unless the server is ready.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let client = Client::anonymous(&context.server);
    let role = args.role.map(|role| format!("?role={role}")).unwrap_or_default();
    client.probe(&format!("/readyz{role}")).await?;
    print::line("ready")
}
