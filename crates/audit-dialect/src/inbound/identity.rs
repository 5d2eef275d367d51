//! The ids of records that a platform's own id, or a self-dating body, stands behind.
//!
//! An id that is derived is the same whenever the same thing comes again: on a retry, on a second webhook
//! into the same source, when a refused request is driven again. What neither has an own id nor dates
//! itself gets none here; the caller makes a fresh one and looks for a repeat.

use audit_digest::Sha256;
use uuid::Uuid;

/// The id of what the platform calls `platform_id`; `kind` keeps the platform's series of ids apart.
pub(crate) fn from_platform_id(namespace: Uuid, source: &str, kind: &str, platform_id: &str) -> String {
    derive(namespace, &[source, kind, platform_id])
}

/// The id of a body that dates itself (see [`super::json::is_subsecond_time`]): two bodies are one
/// record if and only if their bytes are the same. SHA-256 first, because UUIDv5 alone is SHA-1.
pub(crate) fn from_body(namespace: Uuid, source: &str, body: &[u8]) -> String {
    derive(namespace, &[source, "body", &hex::encode(Sha256::digest(body))])
}

/// UUIDv5 over length-prefixed parts, so that no two lists of parts run together.
fn derive(namespace: Uuid, parts: &[&str]) -> String {
    let mut name = Vec::new();
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&namespace, &name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMESPACE: Uuid = Uuid::from_u128(7);

    #[test]
    fn an_id_depends_on_namespace_source_kind_and_platform_id() {
        let id = from_platform_id(NAMESPACE, "main", "audit", "1");
        assert_eq!(id, from_platform_id(NAMESPACE, "main", "audit", "1"));
        for other in [
            from_platform_id(Uuid::from_u128(8), "main", "audit", "1"),
            from_platform_id(NAMESPACE, "other", "audit", "1"),
            from_platform_id(NAMESPACE, "main", "version", "1"),
            from_platform_id(NAMESPACE, "main", "audit", "2"),
            from_platform_id(NAMESPACE, "mainaudit", "", "1"),
            from_body(NAMESPACE, "main", b"1"),
        ] {
            assert_ne!(id, other);
        }
    }

    #[test]
    fn a_body_has_the_same_id_only_byte_for_byte() {
        assert_eq!(from_body(NAMESPACE, "s", b"{}"), from_body(NAMESPACE, "s", b"{}"));
        assert_ne!(from_body(NAMESPACE, "s", b"{}"), from_body(NAMESPACE, "s", b"{ }"));
    }
}
