//! `flagtrail token`: who may use the HTTP interface.

use anyhow::Result;
use hyper::Method;
use serde_json::{Value, json};

use super::Context;
use crate::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a token and print it; it is not shown again
    Create(Create),
    /// List tokens
    List,
    /// Make a token stop working
    Revoke {
        /// Its id
        id: String,
    },
}

/// A new token.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What people call it
    name: String,
    /// What it may do: records:write, records:read, settings:read, settings:write, exports, admin
    #[arg(long, required = true, value_delimiter = ',')]
    scopes: Vec<String>,
    /// The organisation of records that it appends; that of the token in use by default
    #[arg(long)]
    organisation: Option<String>,
    /// Projects that it may see and append to; all when absent
    #[arg(long)]
    project: Vec<String>,
    /// When it stops working (RFC 3339)
    #[arg(long)]
    expires_at: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    let client = context.client()?;
    match command {
        Command::Create(create) => {
            let mut body = json!({
                "name": create.name, "scopes": create.scopes,
            });
            if let Some(organisation) = create.organisation {
                body["organisation"] = json!({"key": organisation});
            }
            if !create.project.is_empty() {
                body["projects"] = json!(create.project);
            }
            if let Some(at) = create.expires_at {
                body["expires_at"] = json!(at);
            }
            let made = client.send(Method::POST, "/v1/tokens", &body).await?;
            if context.json { print::json(&made) } else { print::line(&print::cell(&made["token"])) }
        }
        Command::List => list(&context, &client.get("/v1/tokens").await?),
        Command::Revoke { id } => {
            client.replace(Method::DELETE, &format!("/v1/tokens/{id}"), None, "*").await?;
            print::line(&format!("token {id} is revoked"))
        }
    }
}

fn list(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    let row = |token: &Value| {
        let scopes: Vec<_> = token["scopes"].as_array().into_iter().flatten().map(print::cell).collect();
        vec![
            print::cell(&token["id"]),
            print::cell(&token["name"]),
            scopes.join(","),
            print::cell(&token["expires_at"]),
        ]
    };
    let rows = answer["tokens"].as_array().into_iter().flatten().map(row).collect();
    print::table(&["id", "name", "scopes", "expires"], rows, "no tokens")
}
