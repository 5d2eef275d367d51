//! `flagtrail verify`: checks an export without a server.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use audit_verify::{Report, Trust};

use super::Context;
use crate::exit::{Exit, Stop};
use crate::print;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the export
    export: PathBuf,
    /// Verifier keys that the operator published, one a line; without, the copies in the export are used
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// A checkpoint kept from earlier: whatever was changed before it since then is found
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
}

/// Checks and says what is proven, what is asserted, what is not covered, and what is wrong.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let trust = Trust::read(&args.key, &args.against).map_err(|problem| Stop::error(Exit::Usage, problem))?;
    let export = args.export.clone();
    let report =
        tokio::task::spawn_blocking(move || audit_verify::verify_export_with(&export, &trust)).await?;
    let report = report.with_context(|| format!("{} can't be checked", args.export.display()))?;
    if context.json {
        print::json(&report.to_json())?;
    } else {
        report.sentences().iter().try_for_each(|sentence| print::line(sentence))?;
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
    use audit_verify::{Finding, FindingKind};

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
