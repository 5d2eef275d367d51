//! A webhook request, held whole.

use audit_dialect::HookRequest;
use audit_record::Timestamp;
use bytes::Bytes;

use crate::problem::Problem;
use crate::query;

/// What came in, but for the path: that holds the token.
#[derive(Clone, Debug)]
pub(crate) struct HeldRequest {
    /// The method.
    pub(crate) method: String,
    /// The query string as it came.
    pub(crate) query: Option<String>,
    /// The headers.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub(crate) body: Bytes,
    /// When it came in.
    pub(crate) received_at: Timestamp,
}

impl HeldRequest {
    /// The decoded query, or what is wrong with it.
    pub(crate) fn query_pairs(&self) -> Result<Vec<(String, String)>, Problem> {
        query::pairs(self.query.as_deref())
    }

    /// As dialects take it.
    pub(crate) fn as_hook<'a>(&'a self, query: &'a [(String, String)]) -> HookRequest<'a> {
        HookRequest {
            method: &self.method,
            query,
            headers: &self.headers,
            body: &self.body,
            received_at: self.received_at,
        }
    }
}
