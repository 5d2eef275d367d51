//! Where one request of an erasure was left off, as an opaque text by which the next one goes on.

use std::fmt;

use audit_archive::LeftOff;
use audit_digest::Sha256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ErasureRequest;
use crate::problem::Problem;

/// The version of cursors that this release makes and takes.
const VERSION: u32 = 1;

/// Longest cursor read, in bytes: ours have a few hundred.
const CURSOR_BYTES_MAX: usize = 4096;

/// How far an erasure is. It holds no name, and grants nothing: whoever sends it may begin an erasure, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    v: u32,
    /// Which request it belongs to.
    q: String,
    /// What the erasure is called.
    pub(super) id: Uuid,
    /// How many records order it so far.
    pub(super) parts: usize,
    /// Where the reading goes on; absent at the beginning.
    pub(super) left_off: Option<LeftOff>,
}

impl Cursor {
    /// Where a request begins: where its own cursor says, or at the beginning of an erasure with a new name.
    pub(super) fn of(request: &ErasureRequest) -> Result<Self, Problem> {
        let Some(text) = &request.cursor else {
            return Ok(Self {
                v: VERSION,
                q: question(request),
                id: Uuid::now_v7(),
                parts: 0,
                left_off: None,
            });
        };
        let bytes = Some(text).filter(|text| text.len() <= CURSOR_BYTES_MAX);
        let bytes = bytes.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let cursor = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let cursor = cursor.filter(|cursor| cursor.v == VERSION).ok_or_else(|| {
            Problem::field("cursor", "is not one of this release: ask again without it, which begins anew")
        })?;
        if cursor.q != question(request) {
            return Err(Problem::field(
                "cursor",
                "belongs to another request: repeat all else as it was, or ask without it, which begins anew",
            ));
        }
        Ok(cursor)
    }

    /// The same erasure, further on.
    pub(super) fn after(&self, parts: usize, left_off: LeftOff) -> Self {
        Self { parts: self.parts.saturating_add(parts), left_off: Some(left_off), ..self.clone() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

/// Names a request: all of it but the cursor. A dry run's cursor must not lead past what is to be erased.
fn question(request: &ErasureRequest) -> String {
    let ErasureRequest { subject, reason, legal_basis, source, mentions, dry_run, cursor: _ } = request;
    let text = serde_json::to_string(&(subject, reason, legal_basis, source, mentions, dry_run))
        .expect("texts and booleans");
    hex::encode(&Sha256::digest(text)[..16])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Cursor, ErasureRequest, LeftOff};

    fn request(over: Value) -> ErasureRequest {
        let mut fields = json!({"subject": ["ada@example.com"], "reason": "request 12"});
        if let (Value::Object(fields), Value::Object(over)) = (&mut fields, over) {
            fields.extend(over);
        }
        serde_json::from_value(fields).expect("a request")
    }

    fn refusal(over: Value) -> String {
        Cursor::of(&request(over)).expect_err("refused").detail().to_owned()
    }

    #[test]
    fn a_cursor_goes_on_with_its_own_request_alone() {
        let root = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=".to_owned();
        let left_off = LeftOff { partition: 3, size: 40, root: root.try_into().expect("a hash"), leaf: 17 };
        let begun = Cursor::of(&request(json!({}))).expect("the beginning");
        let after = begun.after(2, left_off.clone()).after(1, left_off.clone());
        assert_eq!((after.id, after.parts, &after.left_off), (begun.id, 3, &Some(left_off)));
        let text = after.to_string();
        assert!(!text.contains("ada"), "{text}");
        assert_eq!(Cursor::of(&request(json!({"cursor": text}))).expect("our own"), after);
        for over in [
            json!({"cursor": text, "subject": ["bob@example.com"]}),
            json!({"cursor": text, "source": "shop"}),
            json!({"cursor": text, "mentions": true}),
            json!({"cursor": text, "dry_run": true}),
        ] {
            assert!(refusal(over).contains("another request"));
        }
        for text in ["", "x", "e30", "A".repeat(5_000).as_str()] {
            assert!(refusal(json!({"cursor": text})).contains("not one of this release"), "{text}");
        }
    }
}
