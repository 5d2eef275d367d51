//! `flagtrail erase`: drops the bodies of the records that concern a person.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};

use super::Context;
use crate::client::Client;
use crate::exit::{self, Exit};
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

/// How often, and after which pause, an archive is asked again that is behind: it drops what the request before found.
const BEHIND_TRIES_MAX: u32 = 30;
const BEHIND_PAUSE: Duration = Duration::from_secs(10);

/// What the requests of one erasure came to, together.
#[derive(Default)]
struct Whole {
    id: Option<String>,
    erased: u64,
    mentioned: u64,
    partitions: Vec<Value>,
    records: Vec<Value>,
    /// Requests that had something erased, and of those the ones that this server's archive has followed.
    orders: (u64, u64),
}

impl Whole {
    /// Takes in one more answer; returns where to go on.
    fn take(&mut self, answer: &Value) -> Option<String> {
        let list = |field: &str| answer[field].as_array().cloned().unwrap_or_default();
        let number = |field: &str| answer[field].as_u64().unwrap_or(0);
        self.erased += number("erased");
        self.mentioned += number("mentioned");
        self.partitions.extend(list("partitions"));
        self.records.extend(list("records"));
        if let Some(id) = answer["id"].as_str() {
            self.id.get_or_insert_with(|| id.to_owned());
            self.orders.0 += 1;
            self.orders.1 += u64::from(answer["followed"] == json!(true));
        }
        answer["next"].as_str().map(str::to_owned)
    }

    fn is_followed(&self) -> bool {
        self.orders.0 > 0 && self.orders.0 == self.orders.1
    }

    fn as_json(&self) -> Value {
        json!({
            "id": self.id, "erased": self.erased, "mentioned": self.mentioned, "partitions": self.partitions,
            "records": self.records, "followed": self.is_followed(),
        })
    }

    /// A row for each partition: what concerns the person there, and what only mentions him.
    fn rows(&self) -> Vec<Vec<String>> {
        let count = |runs: &Value| {
            let all = runs.as_array().into_iter().flatten();
            all.map(|run| run[1].as_u64().unwrap_or(0).saturating_sub(run[0].as_u64().unwrap_or(0)))
                .sum::<u64>()
        };
        let mut rows: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for partition in &self.partitions {
            let row = rows.entry(partition["partition"].as_u64().unwrap_or(0)).or_default();
            row.0 += count(&partition["leaves"]);
            row.1 += count(&partition["mentions"]);
        }
        let row = |(partition, (concern, mention)): (u64, (u64, u64))| {
            [partition, concern, mention].map(|number| number.to_string()).to_vec()
        };
        rows.into_iter().map(row).collect()
    }
}

/// Asks the server until everything was read; every archive follows as it reads the log.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let mut body = json!({
        "subject": args.subjects, "reason": args.reason, "legal_basis": args.legal_basis, "source": args.source,
        "mentions": args.mentions, "dry_run": args.dry_run,
    });
    let client = context.client()?;
    let mut whole = Whole::default();
    loop {
        let answer = ask(&client, &body).await.map_err(|error| match not_complete(&whole) {
            Some(how_far) => error.context(how_far),
            None => error,
        })?;
        let Some(next) = whole.take(&answer) else { break };
        if !context.json {
            print::line(&format!("so far {} records; there is more to read", whole.erased))?;
        }
        body["cursor"] = Value::String(next);
    }
    if context.json {
        return print::json(&whole.as_json());
    }
    tell(&whole, args.dry_run)
}

/// Asks once; in the middle of an erasure again, while the archive is behind.
async fn ask(client: &Client, body: &Value) -> Result<Value> {
    let mut tries = 0;
    loop {
        match client.send(Method::POST, "/v1/erasures", body).await {
            Err(error)
                if body["cursor"].is_string()
                    && exit::of(&error) == Exit::Unavailable
                    && tries < BEHIND_TRIES_MAX =>
            {
                tries += 1;
                tokio::time::sleep(BEHIND_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// How far an erasure is that broke off; `None` where nothing is known to be erased.
fn not_complete(whole: &Whole) -> Option<String> {
    let (id, erased) = (whole.id.as_ref()?, whole.erased);
    Some(format!(
        "erasure {id} is not complete: {erased} bodies so far; run the same command again, which passes over those"
    ))
}

fn tell(whole: &Whole, is_dry_run: bool) -> Result<()> {
    let Whole { erased, mentioned, .. } = whole;
    print::table(
        &["partition", "concern", "mention only"],
        whole.rows(),
        "nothing that is left names the person",
    )?;
    if *mentioned > 0 {
        print::line(&format!(
            "{mentioned} records only mention a name and keep their bodies: --mentions erases those too"
        ))?;
    }
    if *erased == 0 {
        return Ok(());
    }
    if is_dry_run {
        return print::line(&format!("{erased} bodies would be erased; nothing was changed"));
    }
    let here = if whole.is_followed() {
        "this server's archive has dropped them, others do as they read the log"
    } else {
        "archives drop them as they read the log; this server's has not got there yet"
    };
    let id = whole.id.as_deref().unwrap_or_default();
    print::line(&format!("erasure {id}: {erased} bodies; {here}"))?;
    print::line(
        "on the log they last as long as its retention keeps them; earlier exports, backups and deliveries are not undone",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Whole, not_complete};

    fn answer(partition: u64, leaves: &Value, over: &Value) -> Value {
        let mut answer = json!({
            "erased": 3, "mentioned": 1, "records": [], "followed": false,
            "partitions": [{"partition": partition, "leaves": leaves, "mentions": [[9, 10]]}],
        });
        if let (Value::Object(answer), Value::Object(over)) = (&mut answer, over) {
            answer.extend(over.clone());
        }
        answer
    }

    #[test]
    fn the_answers_of_one_erasure_are_told_as_one() {
        let mut whole = Whole::default();
        assert_eq!(not_complete(&whole), None);
        let ordered = |id: &str, followed: bool| json!({"id": "e", "records": [id], "followed": followed, "next": "on"});
        let first = answer(2, &json!([[4, 6], [7, 8]]), &ordered("one", true));
        assert_eq!(whole.take(&first).as_deref(), Some("on"));
        assert!(whole.is_followed());
        assert_eq!(whole.take(&answer(2, &json!([[11, 14]]), &ordered("two", false))).as_deref(), Some("on"));
        assert!(!whole.is_followed(), "not all of it");
        let how_far = not_complete(&whole).expect("something was erased");
        assert!(how_far.contains("erasure e is not complete: 6 bodies"), "{how_far}");
        let nothing =
            json!({"erased": 0, "mentioned": 0, "partitions": [], "records": [], "followed": false});
        assert_eq!(whole.take(&nothing), None);
        assert_eq!(whole.rows(), [["2", "6", "2"]]);
        let told = whole.as_json();
        assert_eq!((&told["id"], &told["erased"], &told["mentioned"]), (&json!("e"), &json!(6), &json!(2)));
        assert_eq!(told["records"], json!(["one", "two"]));
    }

    #[test]
    fn a_dry_run_has_no_name_and_nothing_to_follow() {
        let mut whole = Whole::default();
        whole.take(&answer(0, &json!([[0, 3]]), &json!({})));
        assert_eq!((&whole.as_json()["id"], whole.is_followed()), (&Value::Null, false));
    }
}
