//! `flagtrail keys`: the keys that secrets are sealed with; [`super::log_keys`] has those that sign.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use audit_secret::SecretKey;
use hyper::Method;
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, Stop};
use crate::{print, secret_file};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key and write it to a new file that only you can read
    New {
        /// The file
        file: PathBuf,
    },
    /// List the keys that the server has or its settings need, by name
    List,
    /// Seal every secret among the settings with the current key
    ///
    /// Those that are sealed with it already stay as they are, so it may be stopped and run again. After it the former keys are
    /// needed only to try again what was rejected while they were current.
    Reseal,
    /// Disclose the keys under which a project's tags are made, for those who audit the project
    ///
    /// With it they tell which leaves of the log are of the project, and count that none is missing. It is put on the record, and
    /// can't be taken back. Where the words lead to more than one scope, nothing is disclosed and they are named.
    Scope {
        /// The project, by id, key or name; may be given several times
        #[arg(long, required = true)]
        project: Vec<String>,
        /// Of this source only
        #[arg(long)]
        source: Vec<String>,
        /// Of this organisation only
        #[arg(long)]
        organisation: Vec<String>,
        /// Of the scopes that the words lead to, this one only; may be given several times
        #[arg(long)]
        scope: Vec<String>,
        /// All scopes that the words lead to
        #[arg(long)]
        all: bool,
    },
    /// The keys that checkpoints of the log are signed with
    #[command(flatten)]
    Log(super::log_keys::Command),
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    match command {
        Command::New { file } => new(&context, &file),
        Command::List => list(&context, &context.client()?.get("/v1/keys").await?),
        Command::Reseal => reseal(&context).await,
        Command::Scope { project, source, organisation, scope, all } => {
            let body = json!({
                "project": project, "source": source, "organisation": organisation, "scope": scope, "all": all,
            });
            let answer = context.client()?.send(Method::POST, "/v1/keys/scopes", &body).await?;
            if context.json {
                return print::json(&answer);
            }
            let row =
                |scope: &Value| ["scope", "tag", "key"].map(|field| print::cell(&scope[field])).to_vec();
            let rows = answer.as_array().into_iter().flatten().map(row).collect();
            print::table(&["scope", "tag", "key"], rows, "no scope")
        }
        Command::Log(command) => super::log_keys::run(&context, command).await,
    }
}

fn new(context: &Context, file: &std::path::Path) -> Result<()> {
    if file.exists() {
        let problem = format!(
            "{} is there already: a key that something is sealed with must not be lost",
            file.display()
        );
        return Err(Stop::error(Exit::Usage, problem));
    }
    let key = SecretKey::generate();
    secret_file::write(file, &key.to_text())
        .with_context(|| format!("{} can't be written", file.display()))?;
    if context.json {
        return print::json(&json!({"key": key.id(), "file": file}));
    }
    print::line(&format!("key {} is in {}; keep a copy of it elsewhere", key.id(), file.display()))
}

fn list(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    let row = |key: &Value| {
        let settings = key["settings"].as_array().map_or(0, Vec::len);
        vec![print::cell(&key["key"]), print::cell(&key["role"]), settings.to_string()]
    };
    let rows = answer["keys"].as_array().into_iter().flatten().map(row).collect();
    print::table(&["key", "role", "settings"], rows, "there is no key, and no need of one yet")?;
    let outdated = answer["outdated"].as_array().map_or(0, Vec::len);
    if outdated > 0 {
        print::line(&format!(
            "{outdated} settings have secrets that are not sealed with the current key: flagtrail keys reseal"
        ))?;
    }
    Ok(())
}

async fn reseal(context: &Context) -> Result<()> {
    let client = context.client()?;
    let mut resealed = Vec::new();
    // A request seals some; what it leaves is asked for again, as long as that gets on.
    let (key, failed) = loop {
        let answer = client.send(Method::POST, "/v1/keys/reseal", &json!({})).await?;
        let done: Vec<Value> = answer["resealed"].as_array().cloned().unwrap_or_default();
        if !context.json {
            done.iter().try_for_each(|setting| print::line(&format!("sealed  {}", print::cell(setting))))?;
        }
        let gets_on = !done.is_empty() && answer["remaining"] != json!(0);
        resealed.extend(done);
        if !gets_on {
            break (answer["key"].clone(), answer["failed"].as_array().cloned().unwrap_or_default());
        }
    };
    if context.json {
        print::json(&json!({"key": key, "resealed": resealed, "failed": failed}))?;
    } else {
        for one in &failed {
            print::line(&format!(
                "failed  {}: {}",
                print::cell(&one["setting"]),
                print::cell(&one["problem"])
            ))?;
        }
        print::line(&format!("{} settings are sealed with key {} now", resealed.len(), print::cell(&key)))?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Stop::error(Exit::Failed, format!("{} settings could not be sealed anew", failed.len())))
}
