//! Everything goes in: webhooks one after the other at each source, records a thousand a request.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use flagtrail_testkit::company::{Company, Door, Platform, Request, Tag, begin, native_id, rfc3339};
use flagtrail_testkit::receiver::{Answer, Receiver};
use flagtrail_testkit::wait;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{ADMIN_TOKEN, Node, http};

/// How long the archive may take for all of it, on a machine busy with other tests.
pub(super) const ARCHIVED_WITHIN: Duration = Duration::from_secs(300);

/// Lines of one request of NDJSON.
const LINES: usize = 1_000;

/// What Flagsmith signs with.
const SIGNING: &str = "brightwater-signs-with-this";

/// What the endpoint that takes nothing answers.
pub(super) const REFUSED: &str = "422";

/// The ways in.
pub(super) struct Doors {
    hooks: BTreeMap<Platform, String>,
    tokens: BTreeMap<Platform, String>,
    admin: String,
    baseline: std::path::PathBuf,
    /// What listens behind the endpoint that takes nothing.
    _refusing: Receiver,
}

/// Which record each request became.
pub(super) struct Fed {
    ids: BTreeMap<Tag, String>,
}

impl Doors {
    /// Makes a source of each platform, and a token for what the company's own programs append in its name.
    pub(super) async fn open(root: &Path, node: &Node) -> Self {
        let secret = root.join("flagsmith.secret");
        std::fs::write(&secret, SIGNING).unwrap();
        let refusing = Receiver::start().unwrap();
        refusing.answer(Answer::status(REFUSED.parse().unwrap()));
        // What is older than a second is not tried again: one failure is a dead letter.
        let choices = ["--name", "refusing", "--events", "user.deleted", "--max-age", "1s"];
        node.json(&[["endpoint", "create", &refusing.url("/hook")].as_slice(), &choices].concat());
        let (mut hooks, mut tokens) = (BTreeMap::new(), BTreeMap::new());
        for platform in Platform::ALL {
            let mut words = vec!["source", "create", platform.source(), "--platform", platform.name()];
            words.extend(["--organisation", "brightwater"]);
            if platform == Platform::Flagsmith {
                words.extend(["--secret-file", secret.to_str().unwrap()]);
            }
            hooks.insert(platform, node.json(&words)["url"].as_str().unwrap().to_owned());
            let token = json!({
                "name": format!("bridge-{}", platform.name()), "scopes": ["records:write"], "source": platform.source(),
                "organisation": {"key": "brightwater"},
            });
            let made = http().post(format!("{}/v1/tokens", node.admin)).bearer_auth(ADMIN_TOKEN).json(&token);
            let made: Value = made.send().await.unwrap().json().await.unwrap();
            tokens.insert(platform, made["token"].as_str().unwrap().to_owned());
        }
        Self {
            hooks,
            tokens,
            admin: node.admin.clone(),
            baseline: root.join("baseline.csv"),
            _refusing: refusing,
        }
    }

    /// Sends the whole year.
    pub(super) async fn feed(&self, company: &Company, node: &Node) -> Fed {
        std::fs::write(&self.baseline, company.planted.baseline_csv()).unwrap();
        let (list, as_of) = (self.baseline.to_str().unwrap(), rfc3339(begin()));
        let source = Platform::Flagsmith.source();
        node.command(&["access", "import", "--source", source, "--as-of", &as_of, list]);
        let mut by_door: BTreeMap<Door, Vec<&Request>> = BTreeMap::new();
        for request in &company.requests {
            by_door.entry(request.door).or_default().push(request);
        }
        let client = http();
        let streams = by_door.into_iter().map(|(door, requests)| {
            let client = client.clone();
            async move {
                match door {
                    Door::Hook(platform) => self.hooks(&client, platform, &requests).await,
                    Door::Records(platform) => self.records(&client, platform, &requests).await,
                }
            }
        });
        let ids = futures_util::future::join_all(streams).await.into_iter().flatten().collect();
        Fed { ids }
    }

    async fn hooks(&self, client: &Client, platform: Platform, requests: &[&Request]) -> Vec<(Tag, String)> {
        let mut ids = Vec::new();
        for request in requests {
            let mut sent = client.post(&self.hooks[&platform]).body(request.body.clone());
            if platform == Platform::Flagsmith {
                let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING.as_bytes()).unwrap();
                mac.update(request.body.as_bytes());
                sent = sent.header("x-flagsmith-signature", hex::encode(mac.finalize().into_bytes()));
            }
            let answer = sent.header("content-type", "application/json").send().await.unwrap();
            let (status, body) = (answer.status(), answer.text().await.unwrap());
            assert!(matches!(status.as_u16(), 200 | 202), "{status} {body} to {}", request.body);
            let answer: Value = serde_json::from_str(&body).unwrap();
            let [record] = answer["records"].as_array().unwrap().as_slice() else { panic!("{answer}") };
            ids.push((request.tag, record["id"].as_str().unwrap().to_owned()));
        }
        ids
    }

    async fn records(
        &self,
        client: &Client,
        platform: Platform,
        requests: &[&Request],
    ) -> Vec<(Tag, String)> {
        for lines in requests.chunks(LINES) {
            let body = lines.iter().map(|request| request.body.as_str()).collect::<Vec<_>>().join("\n");
            let sent = client.post(format!("{}/v1/records", self.admin)).bearer_auth(&self.tokens[&platform]);
            let answer = sent.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
            let status = answer.status();
            assert_eq!(status, 201, "{}", answer.text().await.unwrap());
        }
        requests.iter().map(|request| (request.tag, native_id(request.tag))).collect()
    }
}

impl Fed {
    /// The record that came of a request.
    pub(super) fn id(&self, tag: Tag) -> &str {
        &self.ids[&tag]
    }

    /// Waits until the archive has all of the log.
    pub(super) async fn archived(&self, node: &Node) {
        node.drained().await;
        wait::until(ARCHIVED_WITHIN, "the archive has the year", || async {
            let figures =
                http().get(format!("{}/metrics", node.admin)).send().await.unwrap().text().await.unwrap();
            let lag = figures.lines().find_map(|line| line.strip_prefix("flagtrail_archive_lag_messages "));
            lag.and_then(|lag| lag.trim().parse::<u64>().ok()) == Some(0)
        })
        .await;
    }
}
