use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::server::{SOON, Server, record};

async fn archived() -> Server {
    Server::start_with(|wanted| wanted.archive = true).await
}

/// Asks until the archive has so many.
async fn ask(server: &Server, path: &str, count: usize) -> Value {
    wait::some(SOON, "the records in the archive", || async {
        let answer = server.call("GET", path, None).await;
        let page = (answer.status == 200).then(|| answer.json())?;
        (page["records"].as_array()?.len() == count).then_some(page)
    })
    .await
}

async fn append(server: &Server, flags: &[&str]) -> Vec<String> {
    let lines: String = flags.iter().map(|flag| format!("{}\n", record(flag))).collect();
    let answer = server.append("application/x-ndjson", lines).await.expect(201);
    answer["records"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn records_are_found_by_flag_author_action_and_period() {
    let server = archived().await;
    append(&server, &["checkout", "search"]).await;
    for path in [
        "/v1/records?flag=checkout",
        "/v1/records?flag=checkout&author=ada%40example.com&action=flag.*&from=7d",
        "/v1/records?flag=checkout&flag=nothing&project=Main&source=admin&related_object_type=FEATURE",
    ] {
        let page = ask(&server, path, 1).await;
        assert_eq!(page["records"][0]["flag"]["key"], "checkout", "{path}");
        assert!(page["positions"][0]["offset"].is_u64());
    }
    ask(&server, "/v1/records?flag=checkout&to=7d", 0).await;
    server.stop().await;
}

#[tokio::test]
async fn pages_go_on_by_their_cursor_and_a_cursor_of_another_query_is_refused() {
    let server = archived().await;
    append(&server, &["a", "b", "c", "d", "e"]).await;
    ask(&server, "/v1/records?project=1&order=oldest", 5).await;
    let mut seen = Vec::new();
    let mut path = "/v1/records?project=1&order=oldest&limit=2".to_owned();
    let mut cursor = String::new();
    loop {
        let page = server.call("GET", &path, None).await.expect(200);
        seen.extend(page["records"].as_array().unwrap().iter().map(|r| r["flag"]["key"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = next.to_owned();
        path = format!("/v1/records?project=1&order=oldest&limit=2&cursor={next}");
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    server.call("GET", &format!("/v1/records?project=2&cursor={cursor}"), None).await.problem(400);
    server.stop().await;
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let server = archived().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("from=yesterday", "from"),
        ("order=up", "order"),
        ("action=Flag", "action"),
        ("colour=red", "colour"),
        ("flag=", "flag"),
    ] {
        let problem = server.call("GET", &format!("/v1/records?{query}"), None).await.problem(400);
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    server.stop().await;
}

#[tokio::test]
async fn one_record_is_read_by_its_id_byte_for_byte() {
    let server = archived().await;
    let id = append(&server, &["checkout"]).await.remove(0);
    ask(&server, "/v1/records?flag=checkout", 1).await;
    let answer = server.call("GET", &format!("/v1/records/{id}"), None).await;
    let message = server.messages(audit_journal::Topic::Records).await.remove(0);
    assert!(answer.text.contains(std::str::from_utf8(message.value.as_deref().unwrap()).unwrap()));
    assert_eq!(answer.expect(200)["record"]["id"], id);
    server.call("GET", "/v1/records/nothing", None).await.problem(404);
    server.stop().await;
}

#[tokio::test]
async fn a_token_limited_to_projects_reads_only_those() {
    let server = archived().await;
    let mut other = record("theirs");
    other["project"] = json!({"id": "2", "key": "two"});
    let answer =
        server.append("application/json", json!([record("ours"), other]).to_string()).await.expect(201);
    let theirs = answer["records"][1]["id"].as_str().unwrap().to_owned();
    ask(&server, "/v1/records?action=flag.*", 2).await;
    let token = server.token(&["records:read"], json!({"projects": ["1"]})).await;
    let page = server.call_as(&token, "GET", "/v1/records", &[], None).await.expect(200);
    assert_eq!(page["records"].as_array().unwrap().len(), 1);
    assert_eq!(page["records"][0]["flag"]["key"], "ours");
    server.call_as(&token, "GET", "/v1/records?project=two", &[], None).await.problem(403);
    server.call_as(&token, "GET", &format!("/v1/records/{theirs}"), &[], None).await.problem(404);
    server.stop().await;
}

#[tokio::test]
async fn an_export_is_asked_for_waited_for_and_fetched() {
    let server = archived().await;
    append(&server, &["a", "b"]).await;
    let new = json!({"query": {"filter": {"flag": ["a"]}, "from": "7d"}, "format": "ndjson"});
    let asked = server.call("POST", "/v1/exports", Some(new)).await;
    assert_eq!(
        asked.headers["location"].to_str().unwrap(),
        format!("/v1/exports/{}", asked.json()["id"].as_str().unwrap())
    );
    let id = asked.expect(202)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/exports/{id}");
    let job = wait::some(SOON, "the export is done", || async {
        let job = server.call("GET", &path, None).await.expect(200);
        assert_ne!(job["state"], "failed", "{job}");
        (job["state"] == "done").then_some(job)
    })
    .await;
    assert_eq!(job["manifest"]["records"], 1);
    let file = job["manifest"]["files"][0]["path"].as_str().unwrap();
    let payload = server.call("GET", &format!("{path}/files/{file}"), None).await;
    assert_eq!(payload.status, 200);
    assert_eq!(payload.text.lines().count(), 1);
    server.call("GET", &format!("{path}/files/../job.json"), None).await.problem(404);
    server.call("GET", &format!("{path}/files/%2e%2e/job.json"), None).await.problem(404);
    server.call("GET", &format!("{path}/files//etc/passwd"), None).await.problem(404);
    let list = server.call("GET", "/v1/exports", None).await.expect(200);
    assert_eq!(list["exports"].as_array().unwrap().len(), 1);
    let limited = server.token(&["exports"], json!({"projects": ["2"]})).await;
    server.call_as(&limited, "GET", &path, &[], None).await.problem(404);
    server.call("DELETE", &path, None).await.expect(204);
    server.call("GET", &path, None).await.problem(404);
    server.stop().await;
}

#[tokio::test]
async fn exports_are_listed_page_by_page_without_their_files() {
    let server = archived().await;
    append(&server, &["a", "b"]).await;
    for _ in 0..3 {
        server.call("POST", "/v1/exports", Some(json!({}))).await.expect(202);
    }
    let exports = wait::some(SOON, "the exports are done", || async {
        let list = server.call("GET", "/v1/exports", None).await.expect(200);
        let exports = list["exports"].as_array().unwrap().clone();
        exports.iter().all(|export| export["state"] == "done").then_some(exports)
    })
    .await;
    assert_eq!(exports.len(), 3);
    assert!(exports[0]["records"].as_u64().unwrap() >= 2, "{exports:?}");
    assert_eq!((&exports[0]["incomplete"], &exports[0]["manifest"]), (&json!([]), &Value::Null));
    let page = server.call("GET", "/v1/exports?limit=2", None).await.expect(200);
    assert_eq!(page["exports"], json!(exports[..2]));
    let path = format!("/v1/exports?limit=2&before={}", page["before"].as_str().unwrap());
    let last = server.call("GET", &path, None).await.expect(200);
    assert_eq!(last, json!({"exports": exports[2..]}));
    server.stop().await;
}

#[tokio::test]
async fn without_an_archive_queries_and_exports_say_so() {
    let server = Server::start().await;
    server.call("GET", "/v1/records", None).await.problem(503);
    server.call("GET", "/v1/exports", None).await.problem(503);
    server.call("GET", "/readyz?role=archive", None).await.problem(503);
    server.stop().await;
}
