//! `Idempotency-Key`: a repeated request is the same records. What was sent is part of their ids, so a key that is
//! used again for something else hides nothing: that becomes records of its own.

use audit_digest::Sha256;
use axum::http::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

use crate::problem::Problem;

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// The SHA-256 of what a client sent for a record, before anything is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Given([u8; 32]);

impl Given {
    /// Of a record's JSON: white space and the order of fields do not count.
    pub(crate) fn record(value: &Value) -> Self {
        Self::bytes(value.to_string().as_bytes())
    }

    /// Of a body as it came.
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes))
    }
}

/// A client's key for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The header's; `None` where there is none.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
        match value.to_str() {
            Ok(key) if !key.is_empty() && key.len() <= KEY_BYTES_MAX => Ok(Some(Self(key.to_owned()))),
            _ => Err(Problem::field(
                "Idempotency-Key",
                format!("must have 1 to {KEY_BYTES_MAX} visible ASCII characters"),
            )),
        }
    }

    /// The id of the record at `index`: the same for the same token, key, index and content.
    pub(crate) fn record_id(&self, namespace: &Uuid, token_id: &str, index: usize, given: &Given) -> String {
        // Each part but the last, whose length is fixed, ends with a byte that no other part holds.
        let mut name = format!("idempotency-key\0{token_id}\0{}\0{index}\0", self.0).into_bytes();
        name.extend_from_slice(&given.0);
        Uuid::new_v5(namespace, &name).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_deployment_token_key_index_and_content_and_by_nothing_else() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let given = |json: &str| Given::record(&serde_json::from_str(json).unwrap());
        let record = given(r#"{"action": "a", "log": "b"}"#);
        let key = IdempotencyKey("a".to_owned());
        let id = key.record_id(&one, "t", 0, &record);
        assert_eq!(id, key.record_id(&one, "t", 0, &given(r#"{"log":"b","action":"a"}"#)));
        let others = [
            key.record_id(&other, "t", 0, &record),
            key.record_id(&one, "u", 0, &record),
            key.record_id(&one, "t", 1, &record),
            key.record_id(&one, "t", 0, &given(r#"{"action": "a", "log": "c"}"#)),
            IdempotencyKey("b".to_owned()).record_id(&one, "t", 0, &record),
        ];
        assert!(!others.contains(&id));
    }
}
