//! `flagtrail demo`: the whole thing at work, for someone who has never seen it.
//!
//! It is the product itself, not a model of it: the same process as `flagtrail up`, spoken to over HTTP. Only the
//! platforms and the receiver are played.

mod receiver;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use audit_record::Timestamp;
use chrono::Utc;
use hyper::Method;
use serde_json::{Value, json};

use self::receiver::Receiver;
use super::Context;
use crate::client::{Client, ServerArgs};
use crate::config::{Backend, Config};
use crate::keyring::MissingKey;
use crate::print;
use crate::sample;
use crate::signal;
use crate::system::{Role, System};

/// How long any one step may take.
const STEP_MAX: Duration = Duration::from_secs(30);

/// How many changes the samples tell of.
const EVENTS: usize = 6;

/// Pause between two looks at the archive.
const POLL: Duration = Duration::from_millis(20);

/// Flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave it running afterwards, to look around and connect a platform
    #[arg(long)]
    keep: bool,
}

/// Shows every step as it happens.
pub(crate) async fn run(context: Context, args: Args) -> Result<()> {
    let config = configured(context.config)?;
    let shutdown = signal::shutdown();
    super::up::ensure_admin_token(&config)?;
    super::up::ensure_keys(&config)?;
    step("start", "everything in one process, with an embedded log instead of Kafka")?;
    let Some(system) = System::start(&config, Role::ALL, MissingKey::Make, shutdown.clone()).await? else {
        return Ok(());
    };
    let token_file = config.admin_token_file();
    let hooks = system.hooks_url();
    let server = ServerArgs { server: system.admin_url(), token_file: Some(token_file.clone()), token: None };
    said(&format!("data directory {}, administration {}", config.data_dir.display(), server.server))?;
    let running = tokio::spawn(system.run());
    let client = Client::new(&server, token_file)?;
    let shown = tokio::select! {
        shown = show(&client, &config) => shown,
        () = shutdown.cancelled() => Ok(()),
    };
    let closing = shown.and_then(|()| next_steps(&config, &server, &hooks, args.keep));
    if closing.is_err() || !args.keep {
        shutdown.cancel();
    }
    running.await.context("the demo's server ended early")??;
    closing
}

/// A new data directory, the embedded log, a receiver on loopback allowed, and quiet logs: the demo tells
/// itself what happens.
fn configured(mut config: Config) -> Result<Config> {
    config.log.backend = Backend::Embedded;
    if config.data_dir == Path::new("flagtrail-data") {
        config.data_dir = PathBuf::from(format!("flagtrail-demo-{}", Utc::now().format("%Y%m%d-%H%M%S")));
    }
    ensure!(
        !config.data_dir.exists(),
        "{} exists already: the demo wants a new data directory",
        config.data_dir.display()
    );
    config.hooks.listen.set_port(free_or(config.hooks.listen.port(), config.hooks.listen.ip()));
    config.admin.listen.set_port(free_or(config.admin.listen.port(), config.admin.listen.ip()));
    config.egress.allow_networks.push("127.0.0.1".to_owned());
    config.archive.free_bytes_min = 0;
    Ok(config)
}

/// The usual port where it is free, any port where it is not.
fn free_or(port: u16, ip: std::net::IpAddr) -> u16 {
    if std::net::TcpListener::bind((ip, port)).is_ok() { port } else { 0 }
}

async fn show(client: &Client, config: &Config) -> Result<()> {
    let mut receiver = Receiver::start().await?;
    step("deliver", "a webhook endpoint for every change; its receiver is built into this demo")?;
    let endpoint = json!({
        "name": "demo-receiver", "url": format!("http://{}/changes", receiver.address), "events": ["flag.*", "access.*"],
    });
    let made = client.send(Method::POST, "/v1/endpoints", &endpoint).await?;
    receiver.trust(made["secret"].as_str().or(made["secrets"][0].as_str()).unwrap_or_default());
    said(&format!(
        "endpoint {} → http://{}/changes, events flag.* and access.*",
        text(&made["id"]),
        receiver.address
    ))?;

    step("connect", "four platforms, each with a URL of its own")?;
    let mut urls = std::collections::BTreeMap::new();
    for name in ["flagsmith", "zenmanage", "abtasty", "mozhno"] {
        let mut source =
            json!({"name": name, "platform": name, "organisation": {"key": "acme", "name": "Acme"}});
        if name == "flagsmith" {
            source["secrets"] = json!([sample::FLAGSMITH_SECRET]);
        }
        let made = client.send(Method::POST, "/v1/sources", &source).await?;
        let url = made["url"].as_str().context("the new source has no URL")?.to_owned();
        said(&format!("{name:<10} POST {}/…", url.rsplit_once('/').map_or(url.as_str(), |(head, _)| head)))?;
        urls.insert(name, url);
    }

    step("receive", "the platforms send what happened in a day")?;
    for sample in sample::day_at_work(Utc::now()) {
        let answer = client.hook(&urls[sample.source], &sample).await?;
        let signed = if sample.signature.is_some() { ", signature checked" } else { "" };
        for record in answer["records"].as_array().into_iter().flatten() {
            said(&format!("{:<10} → {}{signed}", sample.source, text(&record["id"])))?;
        }
    }

    let received = tokio::time::timeout(STEP_MAX, receiver.wait_for(EVENTS))
        .await
        .context("the deliveries took too long")??;
    step(
        "delivered",
        &format!("{} deliveries, each signature verified by the receiver", received.ids.len()),
    )?;
    ensure!(received.bad_signatures == 0, "{} deliveries had a wrong signature", received.bad_signatures);
    received.lines.iter().try_for_each(|line| said(line))?;

    step("ask", "three questions, answered from the archive")?;
    archived(client, EVENTS).await?;
    ask(
        client,
        "who changed the flag checkout?",
        "flagtrail query --flag checkout --from 7d",
        &format!("flag=checkout&from={}", since("7d")?),
    )
    .await?;
    ask(
        client,
        "what happened in the project Shop today?",
        "flagtrail query --project Shop --from 24h",
        &format!("project=Shop&from={}", since("24h")?),
    )
    .await?;
    ask(client, "who was granted access?", "flagtrail query --action 'access.*'", "action=access.*").await?;

    step("export", "for the auditor: records, manifest and checksums")?;
    let destination = config.data_dir.join("export");
    let id = super::export::ask(client, &json!({})).await?;
    let manifest = super::export::receive(client, &id, &destination).await?;
    said(&format!(
        "{} records in {} ({} file)",
        manifest["records"],
        destination.display(),
        manifest["files"].as_array().map_or(0, Vec::len)
    ))?;
    let checked = tokio::task::spawn_blocking(move || audit_verify::verify_export(&destination)).await??;
    ensure!(checked.passes(), "the export does not pass its own check: {:?}", checked.findings);
    checked.proven.iter().try_for_each(|proven| said(&format!("proven       {proven}")))?;
    checked.asserted.iter().try_for_each(|asserted| said(&format!("asserted     {asserted}")))?;
    checked.not_covered.iter().try_for_each(|left| said(&format!("not covered  {left}")))
}

/// Waits until the archive has what the platforms sent.
async fn archived(client: &Client, count: usize) -> Result<()> {
    let wait = async {
        loop {
            let page = client.get("/v1/records?organisation=acme").await?;
            if page["records"].as_array().is_some_and(|records| records.len() >= count) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(STEP_MAX, wait).await.context("the archive took too long")?
}

/// One question: as asked at home, and the answer.
async fn ask(client: &Client, question: &str, command: &str, parameters: &str) -> Result<()> {
    let page = client.get(&format!("/v1/records?{parameters}")).await?;
    said(&format!("{question}   ($ {command})"))?;
    let rows = page["records"].as_array().into_iter().flatten().map(super::query::row).collect();
    print::table(super::query::HEADER, rows, "  nobody")?;
    print::line("")
}

/// The beginning of a period, as of now.
fn since(text: &str) -> Result<Timestamp> {
    super::filter::moment(text).map_err(anyhow::Error::msg)
}

/// What to do next: the data directory, the token's path, and the commands that connect a real platform, as they
/// can be typed here.
fn next_steps(config: &Config, server: &ServerArgs, hooks: &str, keep: bool) -> Result<()> {
    let data = config.data_dir.display();
    print::line("")?;
    print::line(&format!("data directory   {data}"))?;
    print::line(&format!("admin token      {}", config.admin_token_file().display()))?;
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("flagtrail"));
    let program = program.display();
    let (start, at, urls) = if keep {
        let running =
            format!("still running    administration {}, hooks {hooks}; stop it with Ctrl-C", server.server);
        print::line(&running)?;
        (None, format!(" --data-dir {data} --server {}", server.server), "first")
    } else {
        (Some(format!("  {program} up")), String::new(), "second")
    };
    print::line("\nconnect a real platform (in another terminal, in this folder):")?;
    start.iter().try_for_each(|start| print::line(start))?;
    print::line(&format!("  {program}{at} source create my-flags --platform flagsmith --organisation acme"))?;
    print::line(&format!("  {program}{at} tail"))?;
    print::line(&format!("the {urls} prints the URL to paste, the last shows changes as they arrive"))
}

fn step(name: &str, what: &str) -> Result<()> {
    print::line(&format!("\n● {name:<10} {what}"))
}

fn said(what: &str) -> Result<()> {
    print::line(&format!("  {}", print::visible(what)))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
