//! Records about endpoints themselves: changed, disabled, a delivery given up, a gap. They stand on the
//! same log as everything else.

use audit_record::{AuditRecord, Authenticated, Author, Map, OwnRecord, Ref, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::endpoint::{Endpoint, EndpointId, EndpointView};
use crate::limit::FAILING_AFTER_MS;

/// Actions of records that tell how deliveries go. What becomes of a delivery of such a record is told by no
/// other one: that would go round in circles.
const OPERATIONAL: [&str; 5] =
    ["webhook.dead_lettered", "webhook.disabled", "webhook.failing", "webhook.gap", "webhook.recovered"];

/// The action of the record that tells that an endpoint was made.
const CREATED: &str = "flagtrail.endpoint.created";

/// The present time.
pub(crate) fn now() -> Timestamp {
    Timestamp::try_new(chrono::Utc::now()).expect("the clock stands between 1970 and 9999")
}

/// Whether `action` tells how deliveries go.
pub(crate) fn is_operational(action: &str) -> bool {
    OPERATIONAL.contains(&action)
}

/// Whether a record of this action is never sent to the endpoint that it tells of. How its own deliveries go
/// would only make more of them; and that it was made is no news to an endpoint that begins with what comes
/// after.
pub(crate) fn is_about_itself(action: &str) -> bool {
    is_operational(action) || action == CREATED
}

/// The settings change `created`, `updated`, `replayed` or `deleted`.
pub(crate) fn endpoint_changed(endpoint: &Endpoint, what: &str, author: Author) -> AuditRecord {
    let view = serde_json::to_value(EndpointView::new(endpoint, 0)).unwrap_or_default();
    let mut attributes = Map::new();
    if let Value::Object(mut view) = view {
        view.remove("version");
        attributes.insert("endpoint".to_owned(), Value::Object(view));
    }
    let action = format!("flagtrail.endpoint.{what}");
    let log = format!("Endpoint {:?} {what}", endpoint.name);
    record(Uuid::now_v7(), &action, log, endpoint, author, attributes)
}

/// What a test delivers: a record like any other, which stands on no log.
pub(crate) fn test(endpoint: &Endpoint) -> AuditRecord {
    let log = format!("A test of endpoint {:?}", endpoint.name);
    record(Uuid::now_v7(), "webhook.test", log, endpoint, Author::own(), Map::new())
}

/// Every delivery to the endpoint has failed since `since_ms`.
pub(crate) fn failing(namespace: Uuid, endpoint: &Endpoint, since_ms: i64, detail: Value) -> AuditRecord {
    let id = id_of_failure(namespace, "webhook.failing", &endpoint.id, since_ms);
    let log = format!("Deliveries to endpoint {:?} are failing", endpoint.name);
    record(id, "webhook.failing", log, endpoint, Author::own(), object(detail))
}

/// A delivery to the endpoint arrived, after it was told that it is failing since `since_ms`.
pub(crate) fn recovered(namespace: Uuid, endpoint: &Endpoint, since_ms: i64) -> AuditRecord {
    let id = id_of_failure(namespace, "webhook.recovered", &endpoint.id, since_ms);
    let log = format!("Deliveries to endpoint {:?} arrive again", endpoint.name);
    record(id, "webhook.recovered", log, endpoint, Author::own(), Map::new())
}

/// The id of a record that tells of a time of failure. Each process that delivers tells of it, by what it saw itself:
/// where they saw it begin within one [`FAILING_AFTER_MS`] of the clock, their records have one id, and readers
/// see it once. Two times of failure never share it: the first lasts that long before it is told of.
fn id_of_failure(namespace: Uuid, action: &str, endpoint: &EndpointId, since_ms: i64) -> Uuid {
    let begun = since_ms.div_euclid(FAILING_AFTER_MS);
    Uuid::new_v5(&namespace, format!("{action}/{endpoint}/{begun}").as_bytes())
}

/// The endpoint was disabled: its receiver answered 410, or every delivery has failed for too long.
pub(crate) fn disabled(endpoint: &Endpoint, because: &str) -> AuditRecord {
    let attributes = object(json!({ "because": because }));
    let log = format!("Endpoint {:?} disabled: {because}", endpoint.name);
    record(Uuid::now_v7(), "webhook.disabled", log, endpoint, Author::own(), attributes)
}

/// A delivery was given up at the end of its schedule. `name` makes the id the same however often the
/// same delivery is given up (a commit whose answer was lost), so that readers see it once.
pub(crate) fn dead_lettered(namespace: Uuid, name: &str, endpoint: &Endpoint, detail: Value) -> AuditRecord {
    let id = Uuid::new_v5(&namespace, format!("webhook.dead_lettered/{name}").as_bytes());
    let log = format!("A delivery to endpoint {:?} was given up", endpoint.name);
    record(id, "webhook.dead_lettered", log, endpoint, Author::own(), object(detail))
}

/// Retention removed records before they were delivered.
pub(crate) fn gap(namespace: Uuid, name: &str, endpoint: &Endpoint, detail: Value) -> AuditRecord {
    let id = Uuid::new_v5(&namespace, format!("webhook.gap/{name}").as_bytes());
    let log = format!("Retention removed records before they were delivered to endpoint {:?}", endpoint.name);
    record(id, "webhook.gap", log, endpoint, Author::own(), object(detail))
}

fn object(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn record(
    id: Uuid,
    action: &str,
    log: String,
    endpoint: &Endpoint,
    author: Author,
    attributes: Map,
) -> AuditRecord {
    let told = OwnRecord {
        id: id.to_string(),
        action,
        log,
        at: now(),
        author,
        // How whoever changes settings was authenticated is not known here.
        authenticated: Authenticated::None,
        object_type: "FLAGTRAIL_ENDPOINT",
        object: Ref::by_id(endpoint.id.as_str()).named(endpoint.name.clone()),
        attributes,
    };
    AuditRecord::try_new(told.into_draft())
        .expect("every required field is set, and an endpoint is far below the bound")
}

#[cfg(test)]
mod tests {
    use super::{EndpointId, FAILING_AFTER_MS, Uuid, id_of_failure};

    #[test]
    fn processes_that_saw_a_failure_begin_in_one_minute_tell_of_it_under_one_id() {
        let of = |action: &str, endpoint: &str, since_ms: i64| {
            id_of_failure(Uuid::nil(), action, &EndpointId::from(endpoint), since_ms)
        };
        let began = 1_000 * FAILING_AFTER_MS;
        let one = of("webhook.failing", "ep_a", began);
        assert_eq!(of("webhook.failing", "ep_a", began + FAILING_AFTER_MS - 1), one);
        let others = [
            of("webhook.failing", "ep_a", began + FAILING_AFTER_MS),
            of("webhook.failing", "ep_b", began),
            of("webhook.recovered", "ep_a", began),
        ];
        assert!(!others.contains(&one));
    }
}
