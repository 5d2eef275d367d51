//! `flagtrail verify`: checks an export without a server.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use audit_verify::{Finding, FindingKind, Report};
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
        let finding = |f: &Finding| json!({"kind": f.kind.as_str(), "file": f.file, "problem": f.problem});
        let findings: Vec<_> = report.findings.iter().map(finding).collect();
        print::json(&json!({
            "passes": report.passes(), "findings": findings, "shown": report.shown, "asserted": report.asserted,
        }))?;
    } else {
        for finding in &report.findings {
            let prefix = match finding.kind {
                FindingKind::Damage => "WRONG",
                FindingKind::Gap => "MISSING",
            };
            print::line(&format!("{prefix:<8}  {}", print::visible(&finding.to_string())))?;
        }
        if !report.is_damaged() {
            report.shown.iter().try_for_each(|shown| print::line(&format!("shown     {shown}")))?;
        }
        report.asserted.iter().try_for_each(|asserted| print::line(&format!("asserted  {asserted}")))?;
    }
    verdict(&report)
}

/// An error that says in which way an export does not pass.
fn verdict(report: &Report) -> Result<()> {
    if report.passes() {
        return Ok(());
    }
    let problem = if report.is_damaged() {
        "the export is not what it was when it was written"
    } else {
        "the export is what it was when it was written, but not complete: the archive had stopped before the end of a partition"
    };
    Err(Stop::error(Exit::Failed, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_export_is_not_told_as_a_changed_one() {
        let finding = |kind| Finding { kind, file: "manifest.json".to_owned(), problem: "it is".to_owned() };
        let said = |kinds: &[FindingKind]| {
            let findings = kinds.iter().map(|kind| finding(*kind)).collect();
            verdict(&Report { findings, ..Report::default() }).map_err(|error| error.to_string())
        };
        assert_eq!(said(&[]), Ok(()));
        let incomplete = said(&[FindingKind::Gap]).unwrap_err();
        assert!(incomplete.contains("is what it was") && incomplete.contains("not complete"), "{incomplete}");
        let changed = said(&[FindingKind::Gap, FindingKind::Damage]).unwrap_err();
        assert!(changed.contains("is not what it was"), "{changed}");
    }
}
