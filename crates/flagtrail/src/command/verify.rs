//! `flagtrail verify`: checks an export without a server.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Context;
use crate::exit::{Exit, Stop};
use crate::print;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the export
    export: PathBuf,
}

/// Checks and says what is shown, what is asserted, and what is wrong.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let export = args.export.clone();
    let report = tokio::task::spawn_blocking(move || audit_verify::verify_export(&export)).await?;
    let report = report.with_context(|| format!("{} can't be checked", args.export.display()))?;
    if context.json {
        let findings: Vec<_> =
            report.findings.iter().map(|f| json!({"file": f.file, "problem": f.problem})).collect();
        print::json(&json!({
            "passes": report.passes(), "findings": findings, "shown": report.shown, "asserted": report.asserted,
        }))?;
    } else {
        for finding in &report.findings {
            print::line(&format!("WRONG     {}", print::visible(&finding.to_string())))?;
        }
        if report.passes() {
            report.shown.iter().try_for_each(|shown| print::line(&format!("shown     {shown}")))?;
        }
        report.asserted.iter().try_for_each(|asserted| print::line(&format!("asserted  {asserted}")))?;
    }
    if report.passes() {
        Ok(())
    } else {
        Err(Stop::error(Exit::Failed, "the export is not what it was when it was written"))
    }
}
