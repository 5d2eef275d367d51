//! Who had access, over HTTP; and records that are appended in the name of a source.

use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::server::{SOON, Server};

/// A change of Ada's access to a project.
fn change(effect: &str, project: &str, role: &str, at: &str) -> Value {
    json!({
        "action": if effect == "granted" { "access.granted" } else { "access.removed" },
        "log": format!("Ada's access to {project} was {effect}"),
        "author": {"type": "user", "email": "grace@example.com"},
        "occurred_at": at, "project": {"id": project}, "related_object_type": "PROJECT_ACCESS", "ticket": "SHOP-1",
        "access": {
            "subject": {"type": "user", "id": "7", "email": "ada@example.com"},
            "scope": {"type": "project", "id": project}, "role": role, "effect": effect,
        },
    })
}

async fn with_records() -> Server {
    let server = Server::start_with(|wanted| wanted.archive = true).await;
    let records = json!([
        change("granted", "shop", "editor", "2026-01-01T00:00:00Z"),
        change("granted", "blog", "viewer", "2026-02-01T00:00:00Z"),
        change("removed", "shop", "editor", "2026-03-01T00:00:00Z"),
        change("removed", "shop", "editor", "2026-03-02T00:00:00Z"),
    ]);
    server.append("application/json", records.to_string()).await.expect(201);
    wait::until(SOON, "the archive has all", || async {
        let answer = server.call("GET", "/v1/records?author=grace%40example.com", None).await;
        answer.status == 200 && answer.json()["records"].as_array().is_some_and(|records| records.len() == 4)
    })
    .await;
    server
}

fn roles(page: &Value) -> Vec<String> {
    let rows = page["access"].as_array().unwrap().iter();
    let mut roles: Vec<String> = rows.map(|row| format!("{} {}", row["scope_id"], row["role"])).collect();
    roles.sort();
    roles
}

#[tokio::test]
async fn who_had_access_is_asked_for_a_moment_and_over_time() {
    let server = with_records().await;
    let get = async |path: &str| server.call("GET", path, None).await.expect(200);
    let page = get("/v1/access?at=2026-02-15&subject=ADA%40example.com").await;
    assert_eq!(page["at"], "2026-02-15T00:00:00.000000Z");
    assert_eq!(roles(&page), [r#""blog" "viewer""#, r#""shop" "editor""#]);
    let page = get("/v1/access?at=2026-02-15T00:00:00Z&project=shop").await;
    let row = &page["access"][0];
    assert_eq!(row["granted"]["by"]["email"], "grace@example.com");
    assert_eq!((&row["granted"]["ticket"], &row["baseline"]), (&json!("SHOP-1"), &json!(false)));
    assert_eq!(row["removed"]["at"], "2026-03-01T00:00:00.000000Z");
    assert_eq!(roles(&get("/v1/access").await), [r#""blog" "viewer""#]);
    assert_eq!(roles(&get("/v1/access?at=2025-12-31").await), [""; 0]);
    let first = get("/v1/access?at=2026-02-15&limit=1").await;
    let next = get(&format!("/v1/access?limit=5&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((roles(&first).len(), roles(&next).len()), (1, 1), "the moment is the first page's");
    let history = get("/v1/access/history?subject=7").await;
    assert_eq!(roles(&history).len(), 2);
    assert_eq!(history["findings"][0]["kind"], "removal_without_grant");
    for (path, named) in [
        ("/v1/access/history", "subject"),
        ("/v1/access?when=now", "when"),
        ("/v1/access?at=never", "at"),
        ("/v1/access?scope=planet", "scope"),
        ("/v1/access?role=", "role"),
    ] {
        let problem = server.call("GET", path, None).await.problem(400);
        assert!(problem.to_string().contains(named), "{path}: {problem}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_that_is_limited_to_projects_sees_their_access_alone() {
    let server = with_records().await;
    let token = server.token(&["records:read"], json!({"projects": ["blog"]})).await;
    let page = server.call_as(&token, "GET", "/v1/access?at=2026-02-15", &[], None).await.expect(200);
    assert_eq!(roles(&page), [r#""blog" "viewer""#]);
    let history = server.call_as(&token, "GET", "/v1/access/history?subject=7", &[], None).await.expect(200);
    assert_eq!((roles(&history).len(), &history["findings"]), (1, &json!([])));
    server.call_as(&token, "GET", "/v1/access?project=shop", &[], None).await.problem(403);
    server.stop().await;
}

#[tokio::test]
async fn only_an_admin_appends_in_the_name_of_a_source() {
    let server = Server::start().await;
    server.source("main", "flagsmith", json!({"organisation": {"id": "12"}})).await;
    let body = change("granted", "shop", "editor", "2026-01-01T00:00:00Z");
    let call = async |token: Option<&str>, path: &str| match token {
        Some(token) => server.call_as(token, "POST", path, &[], Some(body.clone())).await,
        None => server.call("POST", path, Some(body.clone())).await,
    };
    call(None, "/v1/records?source=main").await.expect(201);
    let stored = server.records().await;
    let last = stored.last().unwrap();
    assert_eq!((&last["source"]["name"], &last["source"]["system"]), (&json!("main"), &json!("native")));
    assert_eq!(last["organisation"], json!({"id": "12"}));
    let problem = call(None, "/v1/records?source=another").await.problem(400);
    assert!(problem.to_string().contains("another"), "{problem}");
    let writer = server.token(&["records:write"], json!({"source": "hr"})).await;
    call(Some(&writer), "/v1/records?source=main").await.problem(403);
    call(Some(&writer), "/v1/records?source=hr").await.expect(201);
    server.stop().await;
}
