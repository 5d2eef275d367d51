//! `flagtrail endpoint`: the webhook endpoints that records are delivered to.

mod attempts;
mod form;
mod preview;
mod replay;
mod show;

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};

use self::form::{Choices, Create};
use super::Context;
use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::print;

/// What the ids of endpoints begin with; whatever else is given is a name.
const ID_PREFIX: &str = "ep_";

/// What to do. An endpoint is named by its id or its name.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make an endpoint and print the secret that its deliveries are signed with
    #[command(after_help = form::EXAMPLES)]
    Create(Box<Create>),
    /// List endpoints, with how each stands over all processes
    List,
    /// Show one: its settings, how it stands, and its replays
    Show {
        /// The endpoint
        endpoint: String,
    },
    /// Change what is given; what is left out stays
    #[command(after_help = form::UPDATE_EXAMPLES)]
    Update {
        /// The endpoint
        endpoint: String,
        /// Where to deliver from now on
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        choices: Box<Choices>,
    },
    /// Show the exact request by which a record would be delivered, without sending it
    #[command(after_help = preview::EXAMPLES)]
    Preview(Box<preview::Preview>),
    /// Send one signed delivery of type webhook.test, which is in no log, and show what came back
    Test {
        /// The endpoint
        endpoint: String,
    },
    /// Deliver nothing more for now; what comes meanwhile is delivered after `resume`
    Pause {
        /// The endpoint
        endpoint: String,
    },
    /// Go on where it was paused or disabled
    Resume {
        /// The endpoint
        endpoint: String,
    },
    /// Make a new signing secret and print it; for a while deliveries are signed with the old one, too
    #[command(after_help = "Example:\n  flagtrail endpoint rotate-secret cache --grace 48h")]
    RotateSecret {
        /// The endpoint
        endpoint: String,
        /// How long the old secret signs beside the new one
        #[arg(long, default_value = "24h", value_name = "DURATION")]
        grace: String,
    },
    /// Show attempts, the latest first
    #[command(after_help = attempts::EXAMPLES)]
    Deliveries(attempts::Deliveries),
    /// Show deliveries that were given up and have not been made since
    DeadLetters(attempts::DeadLetters),
    /// Deliver a period again, beside everything else and marked by the header x-flagtrail-replay
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::Replay),
    /// List replays, and how far each is
    Replays {
        /// The endpoint
        endpoint: String,
    },
    /// End a replay where it is
    CancelReplay {
        /// The endpoint
        endpoint: String,
        /// The replay's id
        replay: String,
    },
    /// Deliver again what was given up: some records, or all
    #[command(
        after_help = "Examples:\n  flagtrail endpoint redrive cache 019a8f…\n  flagtrail endpoint redrive cache --all --wait"
    )]
    Redrive(replay::Redrive),
    /// Remove an endpoint
    Delete {
        /// The endpoint
        endpoint: String,
    },
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    let client = context.client()?;
    match command {
        Command::Create(create) => form::create(&context, &client, &create).await,
        Command::List => show::list(&context, &client.get("/v1/endpoints").await?),
        Command::Show { endpoint } => show::one(&context, &client, &path(&client, &endpoint).await?).await,
        Command::Update { endpoint, url, choices } => {
            let path = path(&client, &endpoint).await?;
            let mut change = choices.to_json()?;
            if let Some(url) = url {
                change["url"] = json!(url);
            }
            let changed = client.replace(Method::PATCH, &path, Some(&change), "*").await?;
            said(&context, &changed, &format!("endpoint {endpoint} is changed"))
        }
        Command::Preview(asked) => preview::run(&context, &client, &asked).await,
        Command::Test { endpoint } => {
            let answer = act(&client, &endpoint, "test", json!({})).await?;
            show::test(&context, &answer)
        }
        Command::Pause { endpoint } => {
            let changed = act(&client, &endpoint, "pause", json!({})).await?;
            said(&context, &changed, &format!("endpoint {endpoint} is paused; it keeps its place"))
        }
        Command::Resume { endpoint } => {
            let changed = act(&client, &endpoint, "resume", json!({})).await?;
            said(&context, &changed, &format!("endpoint {endpoint} goes on where it stood"))
        }
        Command::RotateSecret { endpoint, grace } => {
            let rotated = act(&client, &endpoint, "rotate-secret", json!({"grace": grace})).await?;
            show::rotated(&context, &rotated)
        }
        Command::Deliveries(asked) => attempts::deliveries(&context, &client, &asked).await,
        Command::DeadLetters(asked) => attempts::dead_letters(&context, &client, &asked).await,
        Command::Replay(asked) => replay::replay(&context, &client, &asked).await,
        Command::Replays { endpoint } => {
            let path = path(&client, &endpoint).await?;
            replay::list(&context, &client.get(&format!("{path}/replays")).await?)
        }
        Command::CancelReplay { endpoint, replay } => {
            let path = path(&client, &endpoint).await?;
            client.replace(Method::DELETE, &format!("{path}/replays/{replay}"), None, "*").await?;
            said(&context, &Value::Null, &format!("replay {replay} goes no further"))
        }
        Command::Redrive(asked) => replay::redrive(&context, &client, &asked).await,
        Command::Delete { endpoint } => {
            client.replace(Method::DELETE, &path(&client, &endpoint).await?, None, "*").await?;
            said(&context, &Value::Null, &format!("endpoint {endpoint} is gone"))
        }
    }
}

/// Asks an endpoint to do something.
async fn act(client: &Client, endpoint: &str, action: &str, body: Value) -> Result<Value> {
    let path = path(client, endpoint).await?;
    client.send(Method::POST, &format!("{path}/{action}"), &body).await
}

/// Where an endpoint is, given its id or its name.
async fn path(client: &Client, endpoint: &str) -> Result<String> {
    let id =
        if endpoint.starts_with(ID_PREFIX) { endpoint.to_owned() } else { id_of(client, endpoint).await? };
    Ok(format!("/v1/endpoints/{id}"))
}

/// The id of the endpoint of that name.
async fn id_of(client: &Client, name: &str) -> Result<String> {
    let answer = client.get("/v1/endpoints?status=false").await?;
    let named =
        answer["endpoints"].as_array().into_iter().flatten().find(|endpoint| endpoint["name"] == name);
    let id = named.and_then(|endpoint| endpoint["id"].as_str()).map(str::to_owned);
    id.ok_or_else(|| {
        let problem =
            format!("there is no endpoint {name:?}; `flagtrail endpoint list` shows those there are");
        Stop::error(Exit::Failed, problem)
    })
}

/// The answer for programs, a sentence for people.
fn said(context: &Context, answer: &Value, sentence: &str) -> Result<()> {
    if context.json { print::json(answer) } else { print::line(sentence) }
}
