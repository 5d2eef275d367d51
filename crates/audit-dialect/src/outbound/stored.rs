//! A record as it stands on the log, and as it reads.

use std::sync::OnceLock;

use audit_record::AuditRecord;
use bytes::Bytes;

use super::rendered::RenderError;

/// A record's bytes. They are read when a format or a filter first asks for more than the bytes, and then once,
/// however many endpoints and attempts there are.
#[derive(Debug)]
pub struct StoredRecord {
    bytes: Bytes,
    /// Boxed: most are never read, and a record is two KiB before it holds anything.
    read: OnceLock<Result<Box<AuditRecord>, RenderError>>,
}

impl StoredRecord {
    /// Over a record's value as it stands on the log.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), read: OnceLock::new() }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What they say, where this release can read it.
    pub fn record(&self) -> Result<&AuditRecord, RenderError> {
        let read = || {
            AuditRecord::from_json(&self.bytes)
                .map(Box::new)
                .map_err(|error| RenderError::NotARecord(error.to_string()))
        };
        self.read.get_or_init(read).as_deref().map_err(Clone::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::{RenderError, StoredRecord};
    use crate::outbound::sample_record;

    #[test]
    fn a_record_is_read_once() {
        let stored = StoredRecord::new(sample_record().canonical().to_vec());
        let first = stored.record().expect("a record");
        assert_eq!(first, &sample_record());
        assert!(std::ptr::eq(first, stored.record().expect("a record")));
    }

    #[test]
    fn what_is_no_record_is_an_error_each_time() {
        let stored = StoredRecord::new(&b"{}"[..]);
        for _ in 0..2 {
            assert!(matches!(stored.record(), Err(RenderError::NotARecord(_))));
        }
    }
}
