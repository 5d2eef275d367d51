//! Who may have exports made again and again.

use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn a_schedule_takes_the_right_to_export_beside_that_to_change_settings() {
    let server = Server::start().await;
    let new = json!({
        "name": "weekly", "cron": "0 6 * * 1", "time_zone": "Europe/Berlin", "destination": "vault",
    });
    for (scopes, lacks) in [
        (&["settings:read", "settings:write", "records:read"][..], "exports"),
        (&["settings:read", "exports", "records:read"][..], "settings:write"),
    ] {
        let token = server.token(scopes, json!({})).await;
        let refused = server.call_as(&token, "POST", "/v1/schedules", &[], Some(new.clone())).await;
        let problem = refused.problem(403);
        assert!(problem["detail"].as_str().unwrap().ends_with(&format!("the scope {lacks}")), "{problem}");
    }
    let listed = server.call("GET", "/v1/schedules", None).await.expect(200);
    assert_eq!(listed["schedules"], json!([]));
    let token = server.token(&["settings:write", "exports"], json!({})).await;
    server.call_as(&token, "POST", "/v1/schedules", &[], Some(new)).await.expect(201);
    server.stop().await;
}
