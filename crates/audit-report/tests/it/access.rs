//! The reports about access, each with what is planted and nothing else.

use audit_record::{AuditRecord, Period};
use audit_report::{Cell, Question};
use serde_json::{Value, json};

use crate::harness::{Bench, at, cell, column, own, question, record, total};

/// What became of somebody's access to a project, or to the account.
fn access(
    id: &str,
    when: &str,
    who: &str,
    place: &str,
    effect: &str,
    role: &str,
    over: Value,
) -> AuditRecord {
    let is_account = place == "account";
    let scope =
        if is_account { json!({"type": "account"}) } else { json!({"type": "project", "key": place}) };
    let mut fields = json!({
        "occurred_at": when, "flag": null, "environment": null,
        "action": match effect { "granted" => "access.granted", "removed" => "access.removed", _ => "access.snapshot" },
        "project": if is_account { Value::Null } else { json!({"key": place}) },
        "related_object_type": if is_account { "ACCOUNT_ACCESS" } else { "PROJECT_ACCESS" },
        "author": {"type": "user", "id": "1", "email": "lead@example.com"},
        "access": {
            "subject": {"type": "user", "id": format!("id-{who}"), "email": format!("{who}@example.com"), "name": who},
            "scope": scope, "effect": effect,
        },
    });
    if !role.is_empty() {
        fields["access"]["role"] = json!(role);
    }
    fields.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
    record(id, fields)
}

/// Somebody's change of a flag.
fn act(id: &str, when: &str, who: &str) -> AuditRecord {
    record(
        id,
        json!({"occurred_at": when, "author": {"type": "user", "email": format!("{who}@example.com")}}),
    )
}

fn at_moment(moment: &str) -> Question {
    Question { at: at(moment), ..question() }
}

fn year(from: &str, to: &str) -> Question {
    Question { period: Period { from: Some(at(from)), to: Some(at(to)) }, ..question() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_lists_who_holds_what_at_the_moment_with_use_and_decision() {
    let bench = Bench::new().await;
    let decision = own(
        "decided",
        "flagtrail.review.decided",
        "FLAGTRAIL_REVIEW",
        json!({
            "occurred_at": "2026-10-02T09:00:00Z",
            "attributes": {
                "report": "user_access_review", "email": "ada@example.com", "project": "shop", "role": "Admin",
                "reviewer": "carol", "decision": "revoke", "decision_at": "2026-10-02T09:00:00Z", "rationale": "moved on",
            },
        }),
    );
    // On access that is called the same, and was given by another record.
    let of_another = own(
        "of-another",
        "flagtrail.review.decided",
        "FLAGTRAIL_REVIEW",
        json!({
            "occurred_at": "2026-10-02T09:00:00Z",
            "attributes": {
                "report": "user_access_review", "email": "cyd@example.com", "project": "shop", "role": "viewer",
                "grant_record_id": "elsewhere", "reviewer": "carol", "decision": "keep",
                "decision_at": "2026-10-02T09:00:00Z",
            },
        }),
    );
    bench
        .append(&[
            access("g-ada", "2026-01-01T00:00:00Z", "ada", "shop", "granted", "Admin", json!({"ticket": "IT-1"})),
            access("g-bob", "2026-02-01T00:00:00Z", "bob", "shop", "granted", "viewer", json!({})),
            access("r-bob", "2026-09-29T00:00:00Z", "bob", "shop", "removed", "", json!({})),
            access("g-account", "2026-03-01T00:00:00Z", "ada", "account", "granted", "Member", json!({})),
            access("s-cyd", "2026-09-15T00:00:00Z", "cyd", "shop", "snapshot", "viewer", json!({})),
            access("g-dan", "2026-05-01T00:00:00Z", "dan", "blog", "granted", "viewer", json!({})),
            record(
                "complete",
                json!({
                    "action": "access.snapshot.completed", "occurred_at": "2026-09-15T00:00:00Z", "flag": null,
                    "environment": null, "project": null, "related_object_type": "ACCOUNT_ACCESS",
                }),
            ),
            access("r-ada", "2026-10-03T00:00:00Z", "ada", "shop", "removed", "Admin", json!({})),
            access("later", "2026-10-04T00:00:00Z", "eve", "shop", "granted", "Admin", json!({})),
            act("change", "2026-09-20T00:00:00Z", "ada"),
            record(
                "elsewhere",
                json!({
                    "occurred_at": "2026-09-25T00:00:00Z", "project": {"key": "blog"},
                    "author": {"type": "user", "email": "ada@example.com"},
                }),
            ),
            decision,
            of_another,
        ])
        .await;
    let report = bench.ask("user_access_review", &at_moment("2026-09-30T00:00:00Z")).unwrap();
    assert_eq!(
        column(&report, "email"),
        ["ada@example.com", "ada@example.com", "cyd@example.com", "dan@example.com"]
    );
    assert_eq!(column(&report, "project"), ["", "shop", "shop", "blog"]);
    assert_eq!(column(&report, "role"), ["Member", "Admin", "viewer", "viewer"]);
    assert_eq!(column(&report, "privileged"), ["no", "yes", "no", "no"]);
    // Ada and Dan are not on the list of 15 September.
    assert_eq!(
        column(&report, "status"),
        ["missing_from_snapshot", "missing_from_snapshot", "active", "missing_from_snapshot"]
    );
    assert_eq!(column(&report, "org_role"), ["Member", "Member", "", ""]);
    assert_eq!(
        column(&report, "granted_by"),
        ["lead@example.com", "lead@example.com", "", "lead@example.com"]
    );
    assert_eq!(column(&report, "approval_ref"), ["", "IT-1", "", ""]);
    assert_eq!(column(&report, "days_inactive"), ["5", "5", "", ""]);
    assert_eq!(column(&report, "decision"), ["", "revoke", "", ""]);
    assert_eq!(column(&report, "remediation_record_id"), ["", "r-ada", "", ""]);
    assert_eq!((total(&report, "subjects"), total(&report, "privileged")), (3, 1));
    assert!(report.sql.iter().any(|sql| sql.text.contains("FROM access")), "{:?}", report.sql);

    let shop = Question { projects: vec!["shop".to_owned()], ..at_moment("2026-09-30T00:00:00Z") };
    let report = bench.ask("user_access_review", &shop).unwrap();
    assert_eq!(column(&report, "email"), ["ada@example.com", "cyd@example.com"]);
    assert_eq!(column(&report, "org_role"), ["Member", ""], "known from the account");
    assert_eq!(column(&report, "decision"), ["revoke", ""], "the decision's record is of no project");
    let limited = Question { limited: true, ..shop };
    let report = bench.ask("user_access_review", &limited).unwrap();
    assert_eq!(column(&report, "org_role"), ["", ""]);
    assert_eq!(column(&report, "days_inactive"), ["10", ""], "what she did in another project is not told");
    assert_eq!(column(&report, "decision"), ["revoke", ""]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn privileged_changes_are_those_of_privileged_roles_with_who_did_them() {
    let bench = Bench::new().await;
    let own_hand = json!({"author": {"type": "user", "id": "id-bob", "email": "bob@example.com"}});
    let approved = json!({
        "approval": {"approvers": [{"type": "user", "email": "carol@example.com"}], "change_request_id": "CR-7"},
        "request": {"ip": "203.0.113.9"},
    });
    let lead = json!({"access": {
        "subject": {"type": "user", "id": "1"}, "scope": {"type": "project", "key": "shop"}, "effect": "granted", "role": "owner",
    }});
    bench
        .append(&[
            access("lead", "2025-12-01T00:00:00Z", "lead", "shop", "granted", "owner", lead),
            access("plain", "2026-01-01T00:00:00Z", "ada", "shop", "granted", "viewer", json!({})),
            access("up", "2026-02-01T00:00:00Z", "ada", "shop", "granted", "Admin", approved),
            access("all", "2026-03-01T00:00:00Z", "ada", "shop", "removed", "", json!({})),
            access("self", "2026-04-01T00:00:00Z", "bob", "shop", "granted", "Admin", own_hand),
            access("twice", "2026-05-01T00:00:00Z", "bob", "shop", "granted", "Admin", json!({})),
            access("list", "2026-06-01T00:00:00Z", "cyd", "shop", "snapshot", "Admin", json!({})),
        ])
        .await;
    let question = year("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    let report = bench.ask("privileged_access_changes", &question).unwrap();
    assert_eq!(column(&report, "record_id"), ["up", "all", "self", "twice"]);
    assert_eq!(column(&report, "action"), ["elevate", "revoke", "grant", "grant"]);
    assert_eq!(column(&report, "role"), ["Admin"; 4]);
    assert_eq!(column(&report, "self_grant"), ["no", "no", "yes", "no"]);
    assert_eq!(
        column(&report, "actor_role_at_time"),
        ["owner in shop", "owner in shop", "", "owner in shop"]
    );
    assert_eq!(column(&report, "approver"), ["carol@example.com", "", "", ""]);
    assert_eq!(column(&report, "ticket"), ["CR-7", "", "", ""]);
    assert_eq!(column(&report, "source_ip")[0], "203.0.113.9");
    assert_eq!(column(&report, "finding"), ["", "", "", "granted_again"]);
    assert_eq!(total(&report, "by the target's own hand"), 1);
    let other = Question { projects: vec!["blog".to_owned()], ..question };
    assert!(bench.ask("privileged_access_changes", &other).unwrap().rows.is_empty());
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_privileged_role_that_another_takes_the_place_of_is_revoked() {
    let bench = Bench::new().await;
    let instead = |effect: &str, who: &str, role: &str| {
        json!({"access": {
            "subject": {"type": "user", "id": format!("id-{who}"), "email": format!("{who}@example.com"), "name": who},
            "scope": {"type": "project", "key": "shop"}, "effect": effect, "role": role, "replaces": true,
        }})
    };
    let granted = |id: &str, when: &str, who: &str, role: &str, over: Value| {
        access(id, when, who, "shop", "granted", role, over)
    };
    bench
        .append(&[
            granted("g-ada", "2026-01-01T00:00:00Z", "ada", "Admin", json!({})),
            granted("down", "2026-02-01T00:00:00Z", "ada", "viewer", instead("granted", "ada", "viewer")),
            granted("g-bob", "2026-03-01T00:00:00Z", "bob", "Admin", json!({})),
            granted("over", "2026-04-01T00:00:00Z", "bob", "owner", instead("granted", "bob", "owner")),
            granted("g-cyd", "2026-05-01T00:00:00Z", "cyd", "Admin", json!({})),
            access(
                "list",
                "2026-06-01T00:00:00Z",
                "cyd",
                "shop",
                "snapshot",
                "viewer",
                instead("snapshot", "cyd", "viewer"),
            ),
        ])
        .await;
    let question = year("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    let report = bench.ask("privileged_access_changes", &question).unwrap();
    assert_eq!(column(&report, "record_id"), ["g-ada", "down", "g-bob", "over", "over", "g-cyd", "list"]);
    let actions = ["grant", "revoke", "grant", "revoke", "elevate", "grant", "revoke"];
    assert_eq!(column(&report, "action"), actions);
    assert_eq!(column(&report, "role"), ["Admin", "Admin", "Admin", "Admin", "owner", "Admin", "Admin"]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leavers_are_held_against_the_list_and_what_is_left_is_named() {
    let bench = Bench::new().await;
    let grant = |id: &str, who: &str, place: &str| {
        access(id, "2026-01-01T00:00:00Z", who, place, "granted", "viewer", json!({}))
    };
    let remove =
        |id: &str, when: &str, who: &str, place: &str| access(id, when, who, place, "removed", "", json!({}));
    bench
        .append(&[
            grant("g1", "in-time", "shop"),
            remove("r1", "2026-03-01T05:00:00Z", "in-time", "shop"),
            grant("g2", "late", "shop"),
            remove("r2", "2026-03-03T00:00:00Z", "late", "shop"),
            grant("g3", "half", "shop"),
            grant("g4", "half", "blog"),
            remove("r3", "2026-03-01T01:00:00Z", "half", "shop"),
            grant("g5", "before", "shop"),
            remove("r5", "2026-02-20T00:00:00Z", "before", "shop"),
            grant("g6", "deleted", "shop"),
            access(
                "r6",
                "2026-03-01T02:00:00Z",
                "deleted",
                "account",
                "removed",
                "",
                json!({"action": "user.deleted", "related_object_type": "USER"}),
            ),
            grant("g7", "stays", "shop"),
        ])
        .await;
    let names = ["in-time", "late", "half", "before", "deleted", "nobody"];
    let lines: String =
        names.iter().map(|name| format!("{name}@example.com,2026-03-01T00:00:00Z\n")).collect();
    let list = Some(format!("email,terminated_at\n{lines}"));
    let report = bench.ask("leavers", &Question { list, ..at_moment("2026-04-01T00:00:00Z") }).unwrap();
    let users: Vec<String> =
        column(&report, "user").iter().map(|user| user.replace("@example.com", "")).collect();
    assert_eq!(users, ["before", "deleted", "half", "in-time", "late", "nobody"]);
    assert_eq!(column(&report, "within_sla"), ["", "yes", "no", "yes", "no", ""]);
    assert_eq!(column(&report, "lag_hours"), ["", "2", "744", "5", "48", ""]);
    assert_eq!(column(&report, "residual_access"), ["", "", "viewer in blog", "", "", ""]);
    assert_eq!(column(&report, "known"), ["yes", "yes", "yes", "yes", "yes", "no"]);
    assert_eq!(cell(&report, 2, "access_removed_at"), &Cell::None);
    assert_eq!(
        (total(&report, "with access left"), total(&report, "whom no record of access names")),
        (1, 1)
    );
    let none = bench.ask("leavers", &at_moment("2026-04-01T00:00:00Z"));
    assert!(none.err().unwrap().to_string().contains("terminated_at"), "the list is asked for");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joiners_had_nothing_before_and_movers_something_else() {
    let bench = Bench::new().await;
    let approved = |when: &str| json!({"approval": {"approved_at": when}});
    bench
        .append(&[
            access("old", "2025-01-01T00:00:00Z", "mover", "shop", "granted", "viewer", json!({})),
            access("same", "2025-01-01T00:00:00Z", "stays", "shop", "granted", "viewer", json!({})),
            access(
                "new",
                "2026-02-01T00:00:00Z",
                "joiner",
                "shop",
                "granted",
                "viewer",
                approved("2026-01-31T00:00:00Z"),
            ),
            access(
                "new2",
                "2026-02-02T00:00:00Z",
                "hasty",
                "shop",
                "granted",
                "viewer",
                approved("2026-02-03T00:00:00Z"),
            ),
            access("out", "2026-03-01T00:00:00Z", "mover", "shop", "removed", "viewer", json!({})),
            access("in", "2026-03-01T00:01:00Z", "mover", "blog", "granted", "editor", json!({})),
            access("gone", "2026-03-02T00:00:00Z", "stays", "shop", "removed", "", json!({})),
        ])
        .await;
    let report = bench.ask("joiners_movers", &year("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")).unwrap();
    assert_eq!(column(&report, "user"), ["joiner@example.com", "hasty@example.com", "mover@example.com"]);
    assert_eq!(column(&report, "kind"), ["joiner", "joiner", "mover"]);
    assert_eq!(column(&report, "approved_before_grant"), ["yes", "no", "no"]);
    assert_eq!(column(&report, "roles_added"), ["viewer in shop", "viewer in shop", "editor in blog"]);
    assert_eq!(column(&report, "roles_removed"), ["", "", "viewer in shop"]);
    assert_eq!(column(&report, "first_grant")[2], "2025-01-01T00:00:00.000000Z");
    assert_eq!((total(&report, "joiners"), total(&report, "movers")), (2, 1));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_that_nobody_uses_and_keys_that_are_old_are_found() {
    let bench = Bench::new().await;
    let key = |id: &str, action: &str, when: &str, name: &str| {
        record(
            id,
            json!({
                "action": action, "occurred_at": when, "flag": null, "environment": null, "project": null,
                "related_object_type": "API_KEY", "related_object": {"id": name, "name": format!("key {name}")},
            }),
        )
    };
    bench
        .append(&[
            access("g1", "2026-01-01T00:00:00Z", "active", "shop", "granted", "viewer", json!({})),
            access("g2", "2026-01-01T00:00:00Z", "dormant", "shop", "granted", "Admin", json!({})),
            access("g3", "2026-01-01T00:00:00Z", "never", "shop", "granted", "viewer", json!({})),
            access("g4", "2026-09-20T00:00:00Z", "fresh", "shop", "granted", "viewer", json!({})),
            access("g5", "2026-01-01T00:00:00Z", "orphan", "shop", "granted", "viewer", json!({})),
            access("g6", "2026-01-01T00:00:00Z", "orphan", "account", "granted", "Member", json!({})),
            access("r6", "2026-09-01T00:00:00Z", "orphan", "account", "removed", "", json!({})),
            act("a1", "2026-09-29T00:00:00Z", "active"),
            act("a2", "2026-05-01T00:00:00Z", "dormant"),
            act("a5", "2026-09-29T00:00:00Z", "orphan"),
            key("k1", "api_key.created", "2025-01-01T00:00:00Z", "one"),
            key("k2", "api_key.created", "2025-01-01T00:00:00Z", "two"),
            key("k3", "api_key.updated", "2026-09-01T00:00:00Z", "two"),
            key("k4", "api_key.created", "2025-06-01T00:00:00Z", "three"),
            key("k5", "api_key.deleted", "2026-06-01T00:00:00Z", "three"),
            record(
                "use",
                json!({"occurred_at": "2026-07-01T00:00:00Z", "author": {"type": "api_key", "id": "one"}}),
            ),
        ])
        .await;
    let question = at_moment("2026-09-30T00:00:00Z");
    let report = bench.ask("dormant_accounts", &question).unwrap();
    let found: Vec<_> = column(&report, "user").into_iter().zip(column(&report, "state")).collect();
    let expected = [("dormant", "dormant"), ("never", "never_active"), ("orphan", "orphan")];
    assert_eq!(found, expected.map(|(user, state)| (format!("{user}@example.com"), state.to_owned())));
    assert_eq!(column(&report, "days_inactive"), ["152", "272", "1"]);
    assert_eq!(column(&report, "privileged"), ["yes", "no", "no"]);

    let report = bench.ask("credentials", &question).unwrap();
    assert_eq!(column(&report, "key_id"), ["one", "two", "three"]);
    assert_eq!(column(&report, "old"), ["yes", "no", "no"]);
    assert_eq!(column(&report, "age_days"), ["637", "29", "365"]);
    assert_eq!(column(&report, "last_used"), ["2026-07-01T00:00:00.000000Z", "", ""]);
    assert_eq!(column(&report, "owner")[0], "ada@example.com");
    assert_eq!(total(&report, "working"), 2);
    bench.end().await;
}
