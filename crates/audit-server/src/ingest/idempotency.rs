//! `Idempotency-Key`: a repeated request is the same records.

use axum::http::HeaderMap;
use uuid::Uuid;

use crate::problem::Problem;

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

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

    /// The id of the record at `index`: the same for the same token, key and index.
    pub(crate) fn record_id(&self, namespace: &Uuid, token_id: &str, index: usize) -> String {
        // Each part but the last ends with a byte that no part holds.
        let name = format!("idempotency-key\0{token_id}\0{}\0{index}", self.0);
        Uuid::new_v5(namespace, name.as_bytes()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_by_deployment_token_key_and_index_and_by_nothing_else() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let key = IdempotencyKey("a".to_owned());
        let id = key.record_id(&one, "t", 0);
        assert_eq!(id, key.record_id(&one, "t", 0));
        let others = [
            key.record_id(&other, "t", 0),
            key.record_id(&one, "u", 0),
            key.record_id(&one, "t", 1),
            IdempotencyKey("b".to_owned()).record_id(&one, "t", 0),
        ];
        assert!(!others.contains(&id));
    }
}
