//! A record as a CloudEvents 1.0 message in binary mode (CloudEvents Kafka binding): the value is the
//! record's JSON, the attributes are message headers.

use crate::{AuditRecord, RoutingKey};

/// The version of CloudEvents that the headers follow.
pub const CE_SPECVERSION: &str = "1.0";

/// The `source` attribute: a URI path made from the routing key, so that (`source`, `id`) is unique.
pub fn ce_source(key: &RoutingKey) -> String {
    format!("/{}", key.as_str().replace('~', "%7E"))
}

/// The headers of a record's message, but for `salt` and `tags`, which the log adds.
pub fn ce_headers(record: &AuditRecord) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("ce_specversion", CE_SPECVERSION.to_owned()),
        ("ce_id", record.id().to_owned()),
        ("ce_type", record.action().to_string()),
        ("ce_source", ce_source(&record.routing_key())),
        ("ce_time", record.occurred_at().to_string()),
        ("content-type", "application/json".to_owned()),
    ];
    if let Some(flag) = record.draft().flag.as_ref().and_then(|flag| flag.handle()) {
        headers.push(("ce_subject", without_controls(flag)));
    }
    headers
}

/// CloudEvents forbids control characters in attributes; in a flag's name they are percent-encoded. The
/// record has the name as it is.
fn without_controls(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            let mut utf8 = [0; 4];
            c.encode_utf8(&mut utf8).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
        } else {
            out.push(c);
        }
    }
    out
}
