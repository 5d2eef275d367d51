//! `flagtrail verify`: checks an export without a server, segments of the log, an archive, or what a server serves.

mod archive;
mod rows;
mod server;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use audit_verify::{Report, Trust};

use super::Context;
use crate::exit::{Exit, Stop};
use crate::print;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of an export, of an archive or of segments (the one that holds segments/), or the URL of a running server
    /// (http://…)
    #[arg(value_name = "EXPORT|SEGMENTS|ARCHIVE|URL")]
    what: PathBuf,
    /// Verifier keys that the operator published, one a line; without, the copies in the export are used; segments hold
    /// none
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// A checkpoint kept from earlier: whatever was changed before it since then is found
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// Of a server: fetch all leaves, and grow the trees from them again
    #[arg(long)]
    leaves: bool,
}

/// Checks and says what is proven, what is asserted, what is not covered, and what is wrong.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let trust = Trust::read(&args.key, &args.against).map_err(|problem| Stop::error(Exit::Usage, problem))?;
    let url = args.what.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://"));
    let report = match url {
        Some(url) => server::check(&context.client_of(url)?, &trust, args.leaves).await?,
        None => {
            let what = args.what.clone();
            let checked = tokio::task::spawn_blocking(move || on_disk(&what, &trust)).await?;
            checked.with_context(|| format!("{} can't be checked", args.what.display()))?
        }
    };
    if context.json {
        print::json(&report.to_json())?;
    } else {
        report.sentences().iter().try_for_each(|sentence| print::line(sentence))?;
    }
    verdict(&report)
}

/// Checks what a directory holds.
fn on_disk(dir: &Path, trust: &Trust) -> Result<Report> {
    if !dir.join("manifest.json").exists() && archive::is_one(dir) {
        return archive::check(dir, trust);
    }
    Ok(audit_verify::verify_directory(dir, trust, Some(&rows::ParquetRows))?)
}

/// An error that says in which way what was checked does not pass.
fn verdict(report: &Report) -> Result<()> {
    if report.passes() {
        return Ok(());
    }
    let problem = if report.is_damaged() {
        "what was checked is not what it was when it was written"
    } else {
        "what was checked is what it was when it was written, but it is not complete: MISSING says what it lacks"
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
