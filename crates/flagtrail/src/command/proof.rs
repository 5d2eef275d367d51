//! `flagtrail proof`: that a record is in the log.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Context;
use crate::exit::{Exit, Stop};
use crate::print;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The record's id
    record: String,
    /// Write the proof to this file (.tlog-proof) instead of standard output
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Asks the server for the proof (C2SP tlog-proof; its extra data is the record's leaf). With --json everything that
/// it takes to check the record against the leaf comes along.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let id = utf8_percent_encode(&args.record, NON_ALPHANUMERIC);
    let answer = context.client()?.get(&format!("/v1/proofs/{id}")).await?;
    if context.json {
        return print::json(&answer);
    }
    let proof =
        answer["proof"].as_str().ok_or_else(|| Stop::error(Exit::Failed, "the server sent no proof"))?;
    match args.out {
        None => print::line(proof.trim_end()),
        Some(out) => {
            std::fs::write(&out, proof).with_context(|| format!("{} can't be written", out.display()))?;
            print::line(&format!("{} proves it", out.display()))
        }
    }
}
