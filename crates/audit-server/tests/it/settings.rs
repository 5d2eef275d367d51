use serde_json::{Value, json};

use crate::client::send;
use crate::server::{ADMIN, Server, record};

fn new_source(name: &str) -> Value {
    json!({"name": name, "platform": "native", "organisation": {"key": "acme"}})
}

/// Our own records on the log, by action.
async fn told(server: &Server, action: &str) -> Vec<Value> {
    let messages = server.messages(audit_journal::Topic::Records).await;
    let records =
        messages.iter().map(|m| serde_json::from_slice::<Value>(m.value.as_ref().unwrap()).unwrap());
    records.filter(|record| record["action"] == action).collect()
}

#[tokio::test]
async fn a_source_is_made_read_changed_and_deleted_and_each_change_is_a_record() {
    let server = Server::start().await;
    let made = server.call("POST", "/v1/sources", Some(new_source("own"))).await;
    assert_eq!(made.headers["location"], "/v1/sources/own");
    let etag = made.etag();
    let made = made.expect(201);
    assert!(made["url"].as_str().unwrap().starts_with(&format!("http://{}/v1/hooks/own/", server.hooks)));
    let read = server.call("GET", "/v1/sources/own", None).await;
    assert_eq!(read.etag(), etag);
    assert!(read.expect(200).get("url").is_none());
    let patch = Some(json!({"environment": {"name": "Production"}, "secrets": ["s"], "description": "ours"}));
    let changed = server.call_as(ADMIN, "PATCH", "/v1/sources/own", &[("if-match", &etag)], patch).await;
    let newer = changed.etag();
    assert_ne!(newer, etag);
    let changed = changed.expect(200);
    assert_eq!(
        (&changed["secret_count"], &changed["environment"]["name"]),
        (&json!(1), &json!("Production"))
    );
    let removed = Some(json!({"environment": null}));
    let changed =
        server.call_as(ADMIN, "PATCH", "/v1/sources/own", &[("if-match", &newer)], removed).await.expect(200);
    assert_eq!((&changed["environment"], &changed["description"]), (&Value::Null, &json!("ours")));
    server.call_as(ADMIN, "DELETE", "/v1/sources/own", &[("if-match", "*")], None).await.expect(204);
    server.call("GET", "/v1/sources/own", None).await.problem(404);
    for (action, count) in [("created", 1), ("updated", 2), ("deleted", 1)] {
        let records = told(&server, &format!("flagtrail.source.{action}")).await;
        assert_eq!(records.len(), count, "{action}");
        let text = records[0].to_string();
        assert!(!text.contains("token_hash") && !text.contains("\"secrets\""), "{text}");
        assert_eq!(records[0]["author"]["type"], "api_key");
        assert_eq!(records[0]["related_object"]["name"], "own");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_change_names_the_version_it_changes_and_an_old_one_loses() {
    let server = Server::start().await;
    let etag = server.call("POST", "/v1/sources", Some(new_source("own"))).await.etag();
    let patch = || Some(json!({"enabled": false}));
    server.call("PATCH", "/v1/sources/own", patch()).await.problem(428);
    server.call_as(ADMIN, "PATCH", "/v1/sources/own", &[("if-match", &etag)], patch()).await.expect(200);
    server.call_as(ADMIN, "PATCH", "/v1/sources/own", &[("if-match", &etag)], patch()).await.problem(412);
    server.call_as(ADMIN, "DELETE", "/v1/sources/own", &[("if-match", &etag)], None).await.problem(412);
    server.call("POST", "/v1/sources", Some(new_source("own"))).await.problem(409);
    server.stop().await;
}

#[tokio::test]
async fn of_two_changes_at_once_one_wins_and_the_other_is_told() {
    let server = Server::start().await;
    let etag = server.call("POST", "/v1/sources", Some(new_source("own"))).await.etag();
    let headers = [("if-match", etag.as_str())];
    let change = |name: &str| {
        let patch = Some(json!({"description": name}));
        server.call_as(ADMIN, "PATCH", "/v1/sources/own", &headers, patch)
    };
    let (one, other) = tokio::join!(change("one"), change("other"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    // 412 when the first was seen already, 409 when it was not.
    assert!([409, 412].contains(&statuses[1]), "{statuses:?}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_source_is_named_by_field() {
    let server = Server::start().await;
    let cases = [
        (json!({"name": "A b"}), "name"),
        (json!({"platform": "jira"}), "platform"),
        (json!({"organisation": {}}), "organisation"),
        (json!({"organisation": {"key": "~flagtrail"}}), "organisation"),
        (json!({"project": {"id": ""}}), "project"),
        (json!({"secrets": [""]}), "secrets"),
    ];
    for (wrong, field) in cases {
        let mut body = new_source("own");
        for (name, value) in wrong.as_object().unwrap() {
            body[name] = value.clone();
        }
        let problem = server.call("POST", "/v1/sources", Some(body)).await.problem(400);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let mut unknown = new_source("own");
    unknown["colour"] = json!("red");
    let problem = server.call("POST", "/v1/sources", Some(unknown)).await;
    assert!(problem.text.contains("colour"), "{}", problem.text);
    assert!([400, 422].contains(&problem.status));
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_shown_once_works_within_its_scopes_and_stops_when_revoked() {
    let server = Server::start().await;
    let new = json!({"name": "ci", "scopes": ["records:write", "settings:read"]});
    let made = server.call("POST", "/v1/tokens", Some(new)).await.expect(201);
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let list = server.call("GET", "/v1/tokens", None).await;
    assert!(!list.text.contains(token) && !list.text.contains("hash"));
    assert_eq!(list.expect(200)["tokens"][0]["id"], id);
    assert_eq!(server.call("GET", &format!("/v1/tokens/{id}"), None).await.expect(200)["name"], "ci");
    server.call("GET", "/v1/tokens/0", None).await.problem(404);
    server.call_as(token, "POST", "/v1/records", &[], Some(record("a"))).await.expect(201);
    assert_eq!(server.records().await[0]["source"]["name"], "ci");
    server.call_as(token, "GET", "/v1/sources", &[], None).await.expect(200);
    server.call_as(token, "POST", "/v1/sources", &[], Some(new_source("x"))).await.problem(403);
    server
        .call_as(token, "POST", "/v1/tokens", &[], Some(json!({"name": "x", "scopes": ["admin"]})))
        .await
        .problem(403);
    let path = format!("/v1/tokens/{id}");
    server.call_as(ADMIN, "DELETE", &path, &[("if-match", "*")], None).await.expect(204);
    server.call_as(token, "POST", "/v1/records", &[], Some(record("a"))).await.problem(401);
    assert_eq!(told(&server, "flagtrail.token.created").await.len(), 1);
    assert_eq!(told(&server, "flagtrail.token.revoked").await.len(), 1);
    for message in server.messages(audit_journal::Topic::Control).await {
        assert!(!String::from_utf8_lossy(message.value.as_deref().unwrap()).contains(token));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_past_its_end_does_not_work() {
    let server = Server::start().await;
    let token = flagtrail_testkit::wait::some(crate::server::SOON, "a token is made", || async {
        let at = (chrono::Utc::now() + chrono::TimeDelta::seconds(1)).to_rfc3339();
        let new = json!({"name": "some", "scopes": ["records:write"], "expires_at": at});
        let made = server.call("POST", "/v1/tokens", Some(new)).await;
        // On a slow machine its end may have come by now, and it is refused.
        (made.status == 201).then(|| made.json()["token"].as_str().unwrap().to_owned())
    })
    .await;
    flagtrail_testkit::wait::until(crate::server::SOON, "the token expires", || async {
        server.call_as(&token, "POST", "/v1/records", &[], Some(record("a"))).await.status == 401
    })
    .await;
    let wrong = json!({"name": "x", "scopes": ["admin"], "expires_at": "2001-01-01T00:00:00Z"});
    server.call("POST", "/v1/tokens", Some(wrong)).await.problem(400);
    server.stop().await;
}

#[tokio::test]
async fn a_token_limited_to_projects_has_no_scope_that_reaches_all() {
    let server = Server::start().await;
    for scope in ["admin", "settings:read", "settings:write"] {
        let wrong = json!({"name": "x", "scopes": [scope], "projects": ["1"]});
        let problem = server.call("POST", "/v1/tokens", Some(wrong)).await.problem(400);
        assert_eq!(problem["errors"][0]["field"], "scopes");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_organisation_of_flagtrails_own_records_is_refused_in_sources_and_tokens() {
    let server = Server::start().await;
    let own = json!({"key": "~flagtrail"});
    let mut source = new_source("own");
    source["organisation"] = own.clone();
    let token = json!({"name": "ci", "scopes": ["records:write"], "organisation": own});
    for (path, body) in [("/v1/sources", source), ("/v1/tokens", token)] {
        let problem = server.call("POST", path, Some(body)).await.problem(400);
        assert_eq!(problem["errors"][0]["field"], "organisation");
        assert!(problem["detail"].as_str().unwrap().contains("reserved for Flagtrail's own"), "{problem}");
    }
    server.call("POST", "/v1/sources", Some(new_source("own"))).await.expect(201);
    let patch = Some(json!({"organisation": {"name": "~flagtrail"}}));
    server.call_as(ADMIN, "PATCH", "/v1/sources/own", &[("if-match", "*")], patch).await.problem(400);
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_made_changed_and_deleted_and_its_secret_is_shown_once() {
    let server = Server::start().await;
    let new = json!({"name": "cache", "url": "https://example.com/hook", "events": ["flag.*"], "start": "earliest"});
    let made = server.call("POST", "/v1/endpoints", Some(new.clone())).await;
    let etag = made.etag();
    let made = made.expect(201);
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
    assert!(!server.call("GET", &path, None).await.text.contains(secret));
    server.call("POST", "/v1/endpoints", Some(new)).await.problem(409);
    let wrong = json!({"name": "x", "url": "ftp://example.com", "events": ["Flag"]});
    let problem = server.call("POST", "/v1/endpoints", Some(wrong)).await.problem(400);
    assert!(problem["errors"].as_array().unwrap().len() >= 2, "{problem}");
    let patch = || Some(json!({"enabled": false}));
    server.call("PATCH", &path, patch()).await.problem(428);
    let changed = server.call_as(ADMIN, "PATCH", &path, &[("if-match", &etag)], patch()).await.expect(200);
    assert_eq!(changed["enabled"], false);
    server.call_as(ADMIN, "PATCH", &path, &[("if-match", &etag)], patch()).await.problem(412);
    let list = server.call("GET", "/v1/endpoints", None).await.expect(200);
    assert_eq!(list["endpoints"].as_array().unwrap().len(), 1);
    server.call_as(ADMIN, "DELETE", &path, &[("if-match", "*")], None).await.expect(204);
    server.call("GET", &path, None).await.problem(404);
    server.stop().await;
}

#[tokio::test]
async fn settings_survive_a_restart() {
    let server = Server::start().await;
    let url = server.source("own", "native", json!({})).await;
    let token = server.token(&["records:write"], json!({})).await;
    let dir = server.stop().await;
    let server = Server::start_in(dir, |_| {}).await;
    let path = url.split_once("/v1/").unwrap().1;
    let url = format!("http://{}/v1/{path}", server.hooks);
    send("POST", &url, &[("content-type", "application/json")], record("a").to_string()).await.expect(200);
    server.call_as(&token, "POST", "/v1/records", &[], Some(record("b"))).await.expect(201);
    server.stop().await;
}
