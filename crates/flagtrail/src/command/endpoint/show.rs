//! Endpoints as tables and pages.

use anyhow::Result;
use serde_json::Value;

use super::super::Context;
use super::replay;
use crate::client::Client;
use crate::print;

/// Every endpoint in a line.
pub(super) fn list(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    let row = |endpoint: &Value| {
        let status = &endpoint["status"];
        vec![
            print::cell(&endpoint["name"]),
            state(status),
            print::cell(&status["pending"]),
            rate(&status["window"]),
            print::cell(&status["window"]["p99_ms"]),
            failure(&status["last_error"]),
            print::cell(&endpoint["url"]),
            print::cell(&endpoint["id"]),
        ]
    };
    let rows = answer["endpoints"].as_array().into_iter().flatten().map(row).collect();
    print::table(
        &["name", "state", "pending", "success", "p99 ms", "last error", "url", "id"],
        rows,
        "no endpoints; make one with `flagtrail endpoint create`",
    )
}

/// One endpoint, whole.
pub(super) async fn one(context: &Context, client: &Client, path: &str) -> Result<()> {
    let mut endpoint = client.get(path).await?;
    let replays = client.get(&format!("{path}/replays")).await?;
    if context.json {
        endpoint["replays"] = replays["replays"].clone();
        return print::json(&endpoint);
    }
    let status = endpoint["status"].take();
    let mut rows = vec![("state".to_owned(), state(&status))];
    let mut tell = |name: &str, value: String| rows.push((name.to_owned(), value));
    if status["scope"] == "process" {
        tell("as told by", "the process that answered alone: it has no archive".to_owned());
    } else if let Some(age) = status["age_seconds"].as_u64().filter(|age| *age > 0) {
        tell("as of", format!("{age} s ago"));
    }
    tell("pending", pending(&status));
    if status["failing_since"].is_string() {
        tell("failing since", print::cell(&status["failing_since"]));
    }
    if status["in_flight"].is_u64() {
        tell("in flight here", in_flight(&status));
    }
    if status["skipped"].as_u64().is_some_and(|skipped| skipped > 0) {
        tell("skipped", format!("{}: its format has no word for them", print::cell(&status["skipped"])));
    }
    tell("attempts", attempts(&status["window"]));
    tell("last error", failure(&status["last_error"]));
    tell("last success", print::cell(&status["last_success_at"]));
    let settings = endpoint.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    for (name, value) in settings.filter(|(_, value)| *value != "") {
        tell(name, print::cell(value));
    }
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    for (name, value) in rows {
        print::line(&format!("{name:<width$}  {}", print::visible(&value)))?;
    }
    if replays["replays"].as_array().is_some_and(|replays| !replays.is_empty()) {
        print::line("")?;
        replay::list(context, &replays)?;
    }
    Ok(())
}

/// What came of a test.
pub(super) fn test(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    let outcome = match (answer["delivered"].as_bool(), answer["error"].as_str()) {
        (Some(true), _) => "delivered".to_owned(),
        (_, Some(error)) => format!("failed ({error})"),
        _ => "failed".to_owned(),
    };
    print::line(&format!(
        "{outcome}: status {}, {} ms, webhook-id {}",
        print::cell(&answer["status"]),
        print::cell(&answer["duration_ms"]),
        print::cell(&answer["webhook_id"])
    ))?;
    match answer["excerpt"].as_str().filter(|excerpt| !excerpt.is_empty()) {
        Some(excerpt) => print::line(&print::visible(excerpt)),
        None => Ok(()),
    }
}

/// The new secret, this once.
pub(super) fn rotated(context: &Context, answer: &Value) -> Result<()> {
    if context.json {
        return print::json(answer);
    }
    print::line("deliveries are signed with this secret from now on; it is not shown again:")?;
    print::line(&print::cell(&answer["secret"]))?;
    match answer["retiring"].as_array().filter(|retiring| !retiring.is_empty()) {
        None => Ok(()),
        Some(retiring) => retiring.iter().try_for_each(|old| {
            print::line(&format!(
                "{} signs beside it until {}",
                print::cell(&old["secret"]),
                print::cell(&old["until"])
            ))
        }),
    }
}

/// The state in words.
fn state(status: &Value) -> String {
    let state = status["state"].as_str().unwrap_or("–");
    let behind = &status["behind"];
    match state {
        "catching_up" if behind.is_object() => {
            let (records, seconds) =
                (print::cell(&behind["records"]), behind["seconds"].as_u64().unwrap_or(0));
            format!("catching up: {records} records, {} behind", duration(seconds))
        }
        "circuit_open" => format!("circuit open until {}", print::cell(&status["circuit_open_until"])),
        "disabled" if status["because"].is_string() => {
            format!("disabled: {}", print::cell(&status["because"]))
        }
        other => other.replace('_', " "),
    }
}

fn duration(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

fn pending(status: &Value) -> String {
    let count = print::cell(&status["pending"]);
    match status["next_due"].as_str() {
        Some(due) => format!("{count}, the next due {due}"),
        None => count,
    }
}

/// What is under way in the process that answered, and its share of the endpoint's limits.
fn in_flight(status: &Value) -> String {
    let limits = &status["limits"];
    let of =
        |what: &str, limit: &Value| if limit.is_null() { String::new() } else { format!("{what}{limit}") };
    let (most, rate) = (of(" of ", &limits["in_flight"]), of(", a second at most ", &limits["per_second"]));
    format!("{}{most}{rate}", print::cell(&status["in_flight"]))
}

fn attempts(window: &Value) -> String {
    let Some(seconds) = window["seconds"].as_u64() else { return "–".to_owned() };
    let latest = if window["complete"] == false { ", the latest looked at" } else { "" };
    let count = print::cell(&window["attempts"]);
    let percentiles = ["p50_ms", "p95_ms", "p99_ms"].map(|field| print::cell(&window[field])).join("/");
    format!(
        "{count} in the last {}{latest}: {} delivered, p50/p95/p99 {percentiles} ms",
        duration(seconds),
        rate(window)
    )
}

fn rate(window: &Value) -> String {
    window["success_rate"].as_f64().map_or_else(|| "–".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
}

/// An error in a few words.
fn failure(error: &Value) -> String {
    match (error["class"].as_str(), error["status"].as_u64()) {
        (Some(_), Some(status)) => format!("status {status} at {}", print::cell(&error["at"])),
        (Some(class), None) => format!("{class} at {}", print::cell(&error["at"])),
        (None, _) => "–".to_owned(),
    }
}
