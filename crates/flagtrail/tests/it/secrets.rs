//! Secrets of a whole system: nowhere in clear, in force when their files change, and what a start without the key says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flagtrail_testkit::receiver::{Answer, Receiver};
use flagtrail_testkit::wait;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{ADMIN_TOKEN, Node, SECRETS_KEY, flagtrail, http};

/// Files are looked at every five seconds.
const RELOADED_WITHIN: Duration = Duration::from_secs(180);

/// What is planted, and must be found nowhere but where it was put.
const SIGNING: &str = "planted-signing-secret";
const HEADER: &str = "Bearer planted-header-value";
const API_KEY: &str = "planted-environment-key";

/// The token of a source in the configuration, and another admin token.
const SOURCE_TOKEN: &str = "a-token-of-a-source-for-tests-only-01234567";
const OTHER_ADMIN_TOKEN: &str = "another-admin-token-for-tests-0123456789";

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

fn flag_updated() -> String {
    let state = json!({
        "enabled": true, "environment": {"id": 23, "name": "Production", "api_key": API_KEY},
        "feature": {"id": 7, "name": "checkout", "project": {"id": 1, "name": "Main"}, "type": "STANDARD"},
        "feature_segment": null, "feature_state_value": null, "identity": null,
    });
    json!({
        "data": {"changed_by": "ada@example.com", "timestamp": "2026-11-21T07:50:26.595298Z", "new_state": state},
        "event_type": "FLAG_UPDATED",
    })
    .to_string()
}

async fn admin(node: &Node, path: &str) -> String {
    let answer = http().get(format!("{}{path}", node.admin)).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
    answer.text().await.unwrap()
}

/// Makes a source that signs with what is planted, and returns its URL.
fn signed_source(node: &Node, secret_file: &Path) -> String {
    std::fs::write(secret_file, SIGNING).unwrap();
    let secret_file = secret_file.to_str().unwrap();
    let create = ["source", "create", "fs", "--platform", "flagsmith", "--organisation", "acme"];
    let made = node.json(&[&create[..], &["--secret-file", secret_file]].concat());
    made["url"].as_str().unwrap().to_owned()
}

/// Every file under a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_whole_run_is_in_its_log_its_answers_or_its_files() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "[telemetry]\nfilter = \"trace\"\n");
    node.start();
    node.ready().await;
    let receiver = Receiver::start().unwrap();
    receiver.answer(Answer::status(500).body("no"));
    let secret_file = root.path().join("signing");
    let url = signed_source(&node, &secret_file);
    let token = url.rsplit('/').next().unwrap().to_owned();
    let endpoint = json!({
        "name": "cache", "url": receiver.url("/hook"), "headers": {"authorization": HEADER}, "events": ["flag.*"],
    });
    let answer = http()
        .post(format!("{}/v1/endpoints", node.admin))
        .bearer_auth(ADMIN_TOKEN)
        .json(&endpoint)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    let made: Value = answer.json().await.unwrap();
    let (id, whsec) = (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned());
    for secret in [SIGNING, "another"] {
        let body = flag_updated();
        let sent = http().post(&url).header("content-type", "application/json");
        let sent = sent.header("x-flagsmith-signature", signature(secret, &body)).body(body);
        let status = sent.send().await.unwrap().status();
        let is_right = secret == SIGNING;
        assert!(if is_right { status.is_success() } else { status == 401 }, "{status}");
    }
    node.drained().await;
    let received = receiver.wait_for(1, RELOADED_WITHIN).await.remove(0);
    assert_eq!(received.header("authorization"), Some(HEADER), "the receiver is meant to get it");
    let deliveries = format!("/v1/endpoints/{id}/deliveries");
    wait::until(RELOADED_WITHIN, "the attempt is written down", || async {
        admin(&node, &deliveries).await.contains("\"outcome\"")
            || admin(&node, &deliveries).await.contains("500")
    })
    .await;
    node.command(&["keys", "reseal"]);
    let mut shown = String::new();
    for path in [
        "/metrics",
        "/v1/sources",
        "/v1/endpoints",
        "/v1/tokens",
        "/v1/keys",
        "/v1/rejected",
        "/v1/rejected/0-0",
        "/v1/records",
        "/openapi.json",
        &deliveries,
        &format!("/v1/endpoints/{id}"),
    ] {
        shown.push_str(&admin(&node, path).await);
    }
    for command in
        [&["config", "show"][..], &["source", "list"], &["endpoint", "list"], &["rejected", "show", "0-0"]]
    {
        let config = node.dir.join("flagtrail.toml");
        shown.push_str(&node.command(&[&["--config", config.to_str().unwrap()], command].concat()));
    }
    assert!(shown.contains("checkout") && shown.contains("[REDACTED]"), "{shown}");
    node.stop();
    let key = SECRETS_KEY.trim_end_matches('=');
    let planted = [SIGNING, &HEADER[7..], API_KEY, &whsec[6..], &token, ADMIN_TOKEN, key];
    let mut places = vec![("what was shown".to_owned(), shown.into_bytes())];
    for file in files(&node.dir) {
        let is_where_it_was_put = ["admin.token", "flagtrail.toml"].iter().any(|name| file.ends_with(name));
        if !is_where_it_was_put {
            places.push((file.display().to_string(), std::fs::read(&file).unwrap()));
        }
    }
    assert!(places.iter().any(|(name, bytes)| name.contains("journal.sqlite") && bytes.len() > 4096));
    assert!(places.iter().any(|(name, bytes)| name.contains("process.log") && bytes.len() > 4096));
    for (place, bytes) in &places {
        for secret in planted {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {place}");
        }
    }
}

#[test]
fn the_first_start_makes_a_key_that_only_its_owner_reads_and_without_it_there_is_no_second() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let up = || {
        let mut command = flagtrail();
        command.current_dir(root.path()).arg("--data-dir").arg(&data).args([
            "up",
            "--hooks-listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ]);
        command
    };
    let log = root.path().join("process.log");
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    let listening = || {
        let line =
            text().lines().find(|line| line.contains("\"admin\"") && line.contains("listening"))?.to_owned();
        Some(serde_json::from_str::<Value>(&line).ok()?["address"].as_str()?.to_owned())
    };
    let mut running = flagtrail_testkit::process::Process::start("one", &up(), &log).unwrap();
    wait::blocking(RELOADED_WITHIN, "it listens", || listening().is_some());
    assert!(text().contains("secrets.key"), "its path is told:\n{}", text());
    let key = data.join("secrets.key");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let server = format!("http://{}", listening().unwrap());
    let secret = root.path().join("signing");
    std::fs::write(&secret, SIGNING).unwrap();
    let mut create = flagtrail();
    create.arg("--data-dir").arg(&data).args(["--server", &server, "source", "create", "fs"]);
    create.args(["--platform", "flagsmith", "--organisation", "acme", "--secret-file"]).arg(&secret);
    let created = create.output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let stopped = running.stop().unwrap();
    assert!(stopped.success(), "{}", text());

    std::fs::rename(&key, root.path().join("kept.key")).unwrap();
    let refused = up().output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    for word in ["source fs", "secrets.key_file", "flagtrail keys new"] {
        assert!(said.contains(word), "{word:?} is missing in {said}");
    }
    assert!(!key.exists(), "no other key is made in its place");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::copy(root.path().join("kept.key"), &key).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = up().output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(64));
        assert!(said.contains("secrets.key") && said.contains("chmod"), "{said}");
    }
}

/// A certificate for 127.0.0.1 and its key, as PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A client that trusts this certificate alone.
fn trusting(certificate: &str) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]);
    client.timeout(RELOADED_WITHIN / 3).build().unwrap()
}

/// Whether a client that trusts this certificate alone is answered.
async fn is_shown(address: &str, certificate: &str) -> bool {
    trusting(certificate).get(format!("https://{address}/healthz")).send().await.is_ok()
}

fn write_private(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_secrets_and_token_are_in_force_when_their_files_change_and_a_broken_one_leaves_the_old()
{
    let root = tempfile::tempdir().unwrap();
    let (chain, key) = (root.path().join("hooks.pem"), root.path().join("hooks.key"));
    let first = certificate();
    std::fs::write(&chain, &first.0).unwrap();
    write_private(&key, &first.1);
    let (token, signing) = (root.path().join("source.token"), root.path().join("signing"));
    std::fs::write(&token, SOURCE_TOKEN).unwrap();
    std::fs::write(&signing, "the secret before").unwrap();
    let settings = format!(
        "[hooks.tls]\ncert_file = {chain:?}\nkey_file = {key:?}\n[[source]]\nname = \"fs\"\nplatform = \"flagsmith\"\n\
         organisation = {{ key = \"acme\" }}\ntoken_file = {token:?}\nsecret_files = [{signing:?}]\n"
    );
    let mut node = Node::new(root.path(), "one", &["up"], &settings);
    node.start();
    node.ready().await;
    let made = node.json(&["source", "create", "zen", "--platform", "zenmanage", "--organisation", "acme"]);
    let address = made["url"].as_str().unwrap().strip_prefix("https://").expect("the URL says https");
    let address = address.split('/').next().unwrap().to_owned();
    assert!(is_shown(&address, &first.0).await);

    std::fs::write(&chain, "no certificate").unwrap();
    wait::until(RELOADED_WITHIN, "the broken file is warned about", || async {
        let log = node.log();
        log.contains("hooks.tls") && log.contains("what was in force stays")
    })
    .await;
    assert!(is_shown(&address, &first.0).await);

    let second = certificate();
    std::fs::write(&chain, &second.0).unwrap();
    write_private(&key, &second.1);
    wait::until(RELOADED_WITHIN, "the second certificate is shown", || is_shown(&address, &second.0)).await;
    assert!(!is_shown(&address, &first.0).await);

    std::fs::write(&signing, SIGNING).unwrap();
    let client = trusting(&second.0);
    wait::until(RELOADED_WITHIN, "the declared source has the other secret", || async {
        let url = format!("https://{address}/v1/hooks/fs/{SOURCE_TOKEN}");
        let sent = client.post(url).header("content-type", "application/json");
        let sent = sent.header("x-flagsmith-signature", signature(SIGNING, &flag_updated()));
        sent.body(flag_updated()).send().await.unwrap().status().is_success()
    })
    .await;

    std::fs::write(node.dir.join("admin.token"), OTHER_ADMIN_TOKEN).unwrap();
    wait::until(RELOADED_WITHIN, "the other token works", || async {
        let asked = http().get(format!("{}/v1/sources", node.admin)).bearer_auth(OTHER_ADMIN_TOKEN);
        asked.send().await.unwrap().status() == 200
    })
    .await;
    let asked = http().get(format!("{}/v1/sources", node.admin)).bearer_auth(ADMIN_TOKEN);
    assert_eq!(asked.send().await.unwrap().status(), 401);
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_rotated_while_the_process_runs() {
    let root = tempfile::tempdir().unwrap();
    let (current, former) = (root.path().join("current.key"), root.path().join("former.key"));
    let new_key = |file: &Path| {
        let made = flagtrail().args(["--json", "keys", "new"]).arg(file).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        serde_json::from_slice::<Value>(&made.stdout).unwrap()["key"].as_str().unwrap().to_owned()
    };
    let old = new_key(&current);
    std::fs::copy(&current, &former).unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    let config = node.dir.join("flagtrail.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let inline = format!("key = {SECRETS_KEY:?}");
    assert!(text.contains(&inline));
    let by_file = format!("key_file = {current:?}\nformer_key_files = [{former:?}]");
    std::fs::write(&config, text.replace(&inline, &by_file)).unwrap();
    node.start();
    node.ready().await;
    let secret = root.path().join("signing");
    let url = signed_source(&node, &secret);
    std::fs::remove_file(&current).unwrap();
    let new = new_key(&current);
    let roles = || {
        let keys = node.json(&["keys", "list"])["keys"].clone();
        let role =
            |key: &Value| (key["key"].as_str().unwrap().to_owned(), key["role"].as_str().unwrap().to_owned());
        keys.as_array().unwrap().iter().map(role).collect::<Vec<_>>()
    };
    wait::blocking(RELOADED_WITHIN, "the new key is in force", || {
        roles() == [(new.clone(), "current".to_owned()), (old.clone(), "former".to_owned())]
    });
    let resealed = node.json(&["keys", "reseal"]);
    assert_eq!((&resealed["key"], &resealed["resealed"]), (&json!(new), &json!(["source fs"])));
    assert_eq!(node.json(&["keys", "reseal"])["resealed"], json!([]));
    let body = flag_updated();
    let sent = http().post(&url).header("content-type", "application/json");
    let sent = sent.header("x-flagsmith-signature", signature(SIGNING, &body)).body(body);
    assert!(sent.send().await.unwrap().status().is_success());
    node.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_logs_keys_is_told_to_wait_for_the_next_start() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "one", &["up"], "");
    node.start();
    node.ready().await;
    let config = node.dir.join("flagtrail.toml");
    node.command(&["--config", config.to_str().unwrap(), "keys", "rotate"]);
    wait::until(RELOADED_WITHIN, "the change is told of", || async {
        let log = node.log_tail();
        log.contains("seal.key_file") && log.contains("when the process is started again")
    })
    .await;
    node.stop();
}
