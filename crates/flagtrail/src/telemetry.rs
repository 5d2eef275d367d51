//! Tracing: for people on a terminal, JSON lines otherwise. Payloads, tokens and secrets are never logged.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Telemetry};
use crate::exit::{Exit, Stop};

/// Starts logging to standard error.
pub(crate) fn start(config: &Telemetry) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| {
        Stop::error(Exit::Usage, format!("telemetry.filter {:?} is no filter: {error}", config.filter))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let human = match config.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    // A second start (the demo inside a test) keeps the first subscriber.
    let _ = if human {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    Ok(())
}
