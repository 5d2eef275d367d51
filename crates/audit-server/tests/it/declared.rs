//! Settings that stand in a configuration.

use audit_journal::Control;
use audit_server::{App, Declaration, Named, Parts, ServerConfig};
use audit_webhook::{Egress, Endpoints};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::client::send;
use crate::server::{ADMIN, Server, keyring, record};

const FILE: &str = "/etc/flagtrail/flagtrail.toml";
const URL_TOKEN: &str = "shop-url-token-0123456789abcdef";
const CI_TOKEN: &str = "ci-client-token-0123456789abcdef";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn declaration(prune: bool, tables: Value) -> Declaration {
    let mut all = tables;
    all["file"] = FILE.into();
    all["prune"] = prune.into();
    all["organisation"] = json!({"key": "acme"});
    serde_json::from_value(all).unwrap()
}

fn source() -> Value {
    json!({
        "name": "shop", "platform": "native", "organisation": {"key": "acme"}, "token": URL_TOKEN,
    })
}

fn token() -> Value {
    json!({"name": "ci", "scopes": ["records:write"], "token": CI_TOKEN})
}

fn endpoint() -> Value {
    json!({"name": "cache", "url": "https://example.com/hook", "events": ["flag.*"], "secrets": [SECRET]})
}

fn everything() -> Value {
    json!({"source": [source()], "token": [token()], "endpoint": [endpoint()]})
}

/// The version of every setting, by kind and name.
async fn versions(server: &Server) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for kind in ["sources", "endpoints", "tokens"] {
        let list = server.call("GET", &format!("/v1/{kind}"), None).await.expect(200);
        for setting in list[kind].as_array().unwrap() {
            let name = format!("{kind} {}", setting["name"].as_str().unwrap());
            found.push((name, setting["version"].as_u64().unwrap()));
        }
    }
    found
}

async fn only(server: &Server, kind: &str) -> Value {
    server.call("GET", &format!("/v1/{kind}"), None).await.expect(200)[kind][0].clone()
}

#[tokio::test]
async fn what_is_declared_is_there_works_and_stays_as_it_is_on_the_next_start() {
    let server = Server::start().await;
    server.app.reconcile(&declaration(false, everything())).await.unwrap();
    let hook = format!("http://{}/v1/hooks/shop/{URL_TOKEN}", server.hooks);
    let mut described = source();
    described["description"] = "the shop".into();
    let mut tables = everything();
    tables["source"] = json!([described]);
    server.app.reconcile(&declaration(false, tables.clone())).await.unwrap();
    send("POST", &hook, &[("content-type", "application/json")], record("a").to_string()).await.expect(200);
    server.call_as(CI_TOKEN, "POST", "/v1/records", &[], Some(record("b"))).await.expect(201);
    server.call_as(CI_TOKEN, "GET", "/v1/sources", &[], None).await.problem(403);
    server.app.reconcile(&declaration(false, tables)).await.unwrap();
    let expected = [("sources shop", 2), ("endpoints cache", 1), ("tokens ci", 1)];
    assert_eq!(versions(&server).await, expected.map(|(name, version)| (name.to_owned(), version)));
    server.stop().await;
}

#[tokio::test]
async fn the_api_refuses_to_change_what_is_declared_by_the_files_name_but_switches_it_on_and_off() {
    let server = Server::start().await;
    server.app.reconcile(&declaration(false, everything())).await.unwrap();
    let endpoint = format!("/v1/endpoints/{}", only(&server, "endpoints").await["id"].as_str().unwrap());
    let token = format!("/v1/tokens/{}", only(&server, "tokens").await["id"].as_str().unwrap());
    let any = [("if-match", "*")];
    let change = |method: &'static str, path: String, body: Option<Value>| {
        let server = &server;
        async move { server.call_as(ADMIN, method, &path, &any, body).await }
    };
    let described = || Some(json!({"description": "ours"}));
    for (method, path, body) in [
        ("PATCH", "/v1/sources/shop".to_owned(), described()),
        ("POST", "/v1/sources/shop/rotate".to_owned(), None),
        ("DELETE", "/v1/sources/shop".to_owned(), None),
        ("PATCH", endpoint.clone(), described()),
        ("DELETE", endpoint.clone(), None),
        ("DELETE", token, None),
    ] {
        let problem = change(method, path, body).await.problem(409);
        assert!(problem["detail"].as_str().unwrap().contains(FILE), "{problem}");
    }
    for path in ["/v1/sources/shop".to_owned(), endpoint] {
        change("PATCH", path, Some(json!({"enabled": false}))).await.expect(200);
    }
    // And a start does not undo that.
    server.app.reconcile(&declaration(false, everything())).await.unwrap();
    assert_eq!(only(&server, "sources").await["enabled"], false);
    assert_eq!(only(&server, "endpoints").await["enabled"], false);
    server.stop().await;
}

#[tokio::test]
async fn what_is_taken_out_of_the_file_is_released_and_with_prune_it_is_deleted() {
    let server = Server::start().await;
    let by_hand = json!({"name": "own", "platform": "native", "organisation": {"key": "acme"}});
    server.call("POST", "/v1/sources", Some(by_hand)).await.expect(201);
    server.app.reconcile(&declaration(false, everything())).await.unwrap();
    server.app.reconcile(&declaration(false, json!({}))).await.unwrap();
    assert_eq!(versions(&server).await.len(), 4, "all of them stay");
    let patch = Some(json!({"description": "ours now"}));
    server.call_as(ADMIN, "PATCH", "/v1/sources/shop", &[("if-match", "*")], patch).await.expect(200);
    // Declared again, it is as the file says.
    server.app.reconcile(&declaration(false, everything())).await.unwrap();
    server.call_as(ADMIN, "DELETE", "/v1/sources/shop", &[("if-match", "*")], None).await.problem(409);
    server.app.reconcile(&declaration(true, json!({}))).await.unwrap();
    assert_eq!(versions(&server).await, [("sources own".to_owned(), 1)]);
    server.call_as(CI_TOKEN, "POST", "/v1/records", &[], Some(record("b"))).await.problem(401);
    // An endpoint that is declared again begins a new life.
    server.app.reconcile(&declaration(true, everything())).await.unwrap();
    assert_eq!(versions(&server).await.len(), 4);
    server.stop().await;
}

#[tokio::test]
async fn a_token_whose_text_is_replaced_in_the_file_works_by_the_new_text_alone() {
    let server = Server::start().await;
    server.app.reconcile(&declaration(false, json!({"token": [token()]}))).await.unwrap();
    let mut other = token();
    other["token"] = "another-client-token-0123456789abcdef".into();
    server.app.reconcile(&declaration(false, json!({"token": [other]}))).await.unwrap();
    server.call_as(CI_TOKEN, "POST", "/v1/records", &[], Some(record("a"))).await.problem(401);
    let new = "another-client-token-0123456789abcdef";
    server.call_as(new, "POST", "/v1/records", &[], Some(record("a"))).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn of_processes_that_start_together_with_one_file_one_makes_each_setting() {
    let server = Server::start().await;
    let mut apps = vec![server.app.clone()];
    for _ in 0..3 {
        // Settings of its own: another process as far as the log can tell.
        let control = Control::open(server.journal.clone()).await.unwrap();
        let parts = Parts {
            journal: server.journal.clone(),
            control: control.clone(),
            keyring: keyring(),
            spool: Some(server.spool.clone()),
            endpoints: Endpoints::new(server.journal.clone(), control, Egress::default(), keyring()),
            deliverer: None,
            archive: None,
            exports: None,
            sealing: None,
        };
        apps.push(App::new(parts, ServerConfig::default(), CancellationToken::new()));
    }
    let declaration = declaration(false, everything());
    let starts: Vec<_> = apps
        .into_iter()
        .map(|app| {
            let declaration = declaration.clone();
            tokio::spawn(async move { app.reconcile(&declaration).await })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    let expected = [("sources shop", 1), ("endpoints cache", 1), ("tokens ci", 1)];
    assert_eq!(versions(&server).await, expected.map(|(name, version)| (name.to_owned(), version)));
    server.stop().await;
}

#[tokio::test]
async fn the_difference_is_shown_by_field_without_any_secret_and_nothing_is_done() {
    let server = Server::start().await;
    server.app.reconcile(&declaration(false, everything())).await.unwrap();
    let before = versions(&server).await;
    let mut changed = source();
    changed["description"] = "the shop".into();
    changed["secrets"] = json!(["hunter2"]);
    changed["token"] = "shop-other-token-0123456789abcdef".into();
    let mut new = endpoint();
    new["name"] = "mirror".into();
    let wanted = declaration(false, json!({"source": [changed], "endpoint": [endpoint(), new]}));
    let body = Some(serde_json::to_value(&wanted).unwrap());
    let answer = server.call("POST", "/v1/settings/diff", body).await;
    for secret in ["hunter2", URL_TOKEN, "shop-other-token", SECRET, CI_TOKEN] {
        assert!(!answer.text.contains(secret), "{}", answer.text);
    }
    let changes = answer.expect(200)["changes"].as_array().unwrap().clone();
    let told: Vec<(&str, &str, &str)> = changes
        .iter()
        .map(|c| ["kind", "name", "change"].map(|field| c[field].as_str().unwrap()).into())
        .collect();
    assert_eq!(
        told,
        [("source", "shop", "changed"), ("token", "ci", "released"), ("endpoint", "mirror", "created")]
    );
    let fields: Vec<&str> =
        changes[0]["fields"].as_array().unwrap().iter().map(|f| f["field"].as_str().unwrap()).collect();
    assert!(["description", "secrets", "token"].iter().all(|field| fields.contains(field)), "{fields:?}");
    assert_eq!(versions(&server).await, before);
    let reader = server.token(&["settings:read"], json!({})).await;
    let body = Some(serde_json::to_value(&wanted).unwrap());
    server.call_as(&reader, "POST", "/v1/settings/diff", &[], body).await.problem(403);
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_declared_setting_is_said_by_table_and_name() {
    let cases = [
        (json!({"source": [source(), source()]}), "\"shop\": stands there twice"),
        (json!({"source": [{"platform": "native"}]}), "[[source]] number 1"),
        (
            json!({"token": [token(), {"name": "other", "scopes": ["exports"], "token": CI_TOKEN}]}),
            "same as another",
        ),
        (json!({"endpoint": [{"name": "x", "url": "https://example.com"}]}), "[[endpoint]] \"x\": secrets"),
        (
            json!({"endpoint": [{"name": "x", "url": "https://example.com", "paused": true}]}),
            "paused is no configuration",
        ),
        (
            json!({"endpoint": [{"name": "x", "url": "https://example.com", "secrets": SECRET}]}),
            "a text, expected",
        ),
    ];
    for (tables, named) in cases {
        let error = declaration(false, tables).check().unwrap_err().to_string();
        assert!(error.contains(named) && !error.contains(SECRET), "{error}");
    }
    let server = Server::start().await;
    let local = json!({"name": "x", "url": "http://127.0.0.1:1/x", "secrets": [SECRET]});
    let error = server.app.reconcile(&declaration(false, json!({"endpoint": [local]}))).await.unwrap_err();
    assert!(error.to_string().contains(FILE) && error.to_string().contains("url"), "{error}");
    let organisation = Named::by_key("~flagtrail");
    let own = Declaration { organisation, ..declaration(false, json!({"token": [token()]})) };
    assert!(own.check().unwrap_err().to_string().contains("organisation"));
    server.stop().await;
}
