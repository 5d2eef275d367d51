//! `flagtrail tail`: the log as records arrive.

use anyhow::{Context as _, Result, bail};
use http_body_util::BodyExt;
use serde_json::Value;

use super::Context;
use super::filter::{FilterArgs, Parameters};
use super::query;
use crate::print;

/// Longest line of the stream that is read, in bytes: a record's bound and its frame.
const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
}

/// Prints records until interrupted. With --json one record a line.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let mut parameters = Parameters::default();
    args.filter.parameters(&mut parameters);
    let mut body = context.client()?.stream(&format!("/v1/records/stream{}", parameters.as_str())).await?;
    let mut pending = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the stream broke off")?;
        pending.extend_from_slice(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            show(&context, &line)?;
        }
        if pending.len() > LINE_BYTES_MAX {
            bail!("the stream sent a line of more than {LINE_BYTES_MAX} bytes");
        }
    }
    bail!("the server ended the stream")
}

/// A line of server-sent events: only `data:` holds records; ids and comments are for the transport.
fn show(context: &Context, line: &[u8]) -> Result<()> {
    let Some(data) = line.strip_prefix(b"data:") else { return Ok(()) };
    let record: Value =
        serde_json::from_slice(data).context("the stream sent something that is no record")?;
    if context.json {
        return print::json(&record);
    }
    let row = query::row(&record);
    let [when, who, action, flag, project, _, log] = row.as_slice() else { return Ok(()) };
    print::line(&print::visible(&format!("{when}  {action:<26} {who:<24} {flag}  {project}  {log}")))
}
