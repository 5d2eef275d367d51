//! `flagtrail erase`: drops the bodies of the records that concern a person.

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};

use super::Context;
use crate::print;

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An id, a key or an e-mail address of the person; name every one that he was known by
    #[arg(long = "subject", required = true, value_name = "ID|EMAIL")]
    subjects: Vec<String>,
    /// Why; it stays on the log, so no personal data belongs in it
    #[arg(long)]
    reason: String,
    /// The legal basis, such as "GDPR Art. 17(1)(a)"
    #[arg(long)]
    legal_basis: Option<String>,
    /// Records of this source only: ids mean something within a platform
    #[arg(long)]
    source: Option<String>,
    /// Erase records too that only mention a name, in a sentence, a reason or an attribute
    #[arg(long)]
    mentions: bool,
    /// Only say what would be erased
    #[arg(long)]
    dry_run: bool,
}

/// Asks the server; every archive follows as it reads the log.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let body = json!({
        "subject": args.subjects, "reason": args.reason, "legal_basis": args.legal_basis, "source": args.source,
        "mentions": args.mentions, "dry_run": args.dry_run,
    });
    let answer = context.client()?.send(Method::POST, "/v1/erasures", &body).await?;
    if context.json {
        return print::json(&answer);
    }
    let row = |partition: &Value| {
        let runs = |runs: &Value| {
            let all = runs.as_array().into_iter().flatten();
            all.map(|run| run[1].as_u64().unwrap_or(0) - run[0].as_u64().unwrap_or(0))
                .sum::<u64>()
                .to_string()
        };
        vec![print::cell(&partition["partition"]), runs(&partition["leaves"]), runs(&partition["mentions"])]
    };
    let rows = answer["partitions"].as_array().into_iter().flatten().map(row).collect();
    print::table(&["partition", "concern", "mention only"], rows, "nothing that is left names the person")?;
    let (erased, mentioned) = (print::cell(&answer["erased"]), print::cell(&answer["mentioned"]));
    if answer["mentioned"] != json!(0) {
        print::line(&format!(
            "{mentioned} records only mention a name and keep their bodies: --mentions erases those too"
        ))?;
    }
    if answer["erased"] == json!(0) {
        return Ok(());
    }
    if args.dry_run {
        return print::line(&format!("{erased} bodies would be erased; nothing was changed"));
    }
    let here = if answer["followed"] == json!(true) {
        "this server's archive has dropped them, others do as they read the log"
    } else {
        "archives drop them as they read the log; this server's has not got there yet"
    };
    print::line(&format!("erasure {}: {erased} bodies; {here}", print::cell(&answer["id"])))?;
    print::line(
        "on the log they last as long as its retention keeps them; earlier exports, backups and deliveries are not undone",
    )
}
