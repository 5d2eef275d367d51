//! `flagtrail up`: everything in one process.

use anyhow::{Context as _, Result};
use audit_export::{ExportKey, SealKeys};

use super::Context;
use crate::cli::ListenArgs;
use crate::config::Config;
use crate::key_file;
use crate::keyring::MissingKey;
use crate::signal;
use crate::system::{Role, System};
use crate::token_file;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

/// Serves until told to stop. The first start makes the admin token and the secrets key.
pub(crate) async fn run(context: Context, _args: Args) -> Result<()> {
    let shutdown = signal::shutdown();
    ensure_admin_token(&context.config)?;
    ensure_keys(&context.config)?;
    let Some(system) = System::start(&context.config, Role::ALL, MissingKey::Make, shutdown).await? else {
        return Ok(());
    };
    system.run().await
}

/// The first start makes the keys that checkpoints and exports are signed with.
pub(crate) fn ensure_keys(config: &Config) -> Result<()> {
    let file = config.seal_key_file();
    if !file.exists() && config.seal.key_file.as_os_str().is_empty() {
        key_file::write(&file, &SealKeys::generate())?;
        tracing::info!(file = %file.display(), "the log's keys made; keep a copy elsewhere");
    }
    let file = config.export_key_file();
    if !file.exists() && config.seal.export_key_file.as_os_str().is_empty() {
        key_file::write_export(&file, &ExportKey::generate())?;
        tracing::info!(file = %file.display(), "the exports' key made");
    }
    Ok(())
}

/// The first start makes the admin token.
pub(crate) fn ensure_admin_token(config: &Config) -> Result<()> {
    let file = config.admin_token_file();
    if !file.exists() && config.admin.token_file.as_os_str().is_empty() {
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("data_dir {}", config.data_dir.display()))?;
        token_file::make(&file).with_context(|| format!("the admin token {}", file.display()))?;
        tracing::info!(file = %file.display(), "admin token made");
    }
    Ok(())
}
