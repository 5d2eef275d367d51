//! Keys of scopes: what is disclosed can't be taken back, so it is what was meant, and on the record.

use audit_journal::Topic;
use flagtrail_testkit::wait;
use serde_json::{Value, json};

use crate::server::{SOON, Server, record};

/// Two platforms, each of which has a project 1.
async fn archived() -> Server {
    let server = Server::start_with(|wanted| wanted.archive = true).await;
    server.append("application/json", record("checkout").to_string()).await.expect(201);
    let writer = server.token(&["records:write"], json!({"source": "billing"})).await;
    let mut other = record("raise");
    other["project"] = json!({"id": "1", "name": "Payroll"});
    server.call_as(&writer, "POST", "/v1/records", &[], Some(other)).await.expect(201);
    wait::until(SOON, "both records are archived", || async {
        let answer = server.call("GET", "/v1/records?action=flag.*", None).await;
        answer.status == 200 && answer.json()["records"].as_array().map(Vec::len) == Some(2)
    })
    .await;
    server
}

/// The scopes whose keys an answer has.
fn scopes(answer: &Value) -> Vec<&str> {
    answer.as_array().unwrap().iter().map(|one| one["scope"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_word_for_several_projects_discloses_none_until_it_is_said_which() {
    let server = archived().await;
    let disclose = async |body: Value| server.call("POST", "/v1/keys/scopes", Some(body)).await;
    let on_record = async || {
        let messages = server.messages(Topic::Records).await;
        let is_one = |value: &[u8]| {
            serde_json::from_slice::<Value>(value).unwrap()["action"] == "flagtrail.key.disclosed"
        };
        messages.iter().filter(|message| is_one(message.value.as_deref().unwrap())).count()
    };
    // Another project with the same number is not meant by this one's name.
    let found = disclose(json!({"project": ["Main"]})).await.expect(200);
    assert_eq!(scopes(&found), ["acme/admin/1"]);
    assert_eq!(on_record().await, 1);

    let problem = disclose(json!({"project": ["1"]})).await.problem(409);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("acme/admin/1, acme/billing/1"), "{problem}");
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(2), "{problem}");
    disclose(json!({"project": ["1"], "scope": ["acme/admin/2"]})).await.problem(404);
    disclose(json!({"project": ["Main", "Payroll"]})).await.problem(409);
    assert_eq!(on_record().await, 1, "nothing was disclosed");

    for (more, wanted) in [
        (json!({"source": ["billing"]}), vec!["acme/billing/1"]),
        (json!({"scope": ["acme/billing/1"]}), vec!["acme/billing/1"]),
        (json!({"all": true}), vec!["acme/admin/1", "acme/billing/1"]),
    ] {
        let mut body = json!({"project": ["1"]});
        for (field, value) in more.as_object().unwrap() {
            body[field] = value.clone();
        }
        let found = disclose(body).await.expect(200);
        assert_eq!(scopes(&found), wanted, "{more}");
    }
    assert_eq!(on_record().await, 5);
    server.stop().await;
}
