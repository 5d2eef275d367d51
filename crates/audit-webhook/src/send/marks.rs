//! What a delivery says of itself in headers, besides what signs it.

use audit_journal::{Offset, Partition};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// `partition:offset` of the record. Within a partition positions rise, with holes: a receiver of an ordered
/// endpoint drops what is not after the last one of the same project.
const POSITION: HeaderName = HeaderName::from_static("x-flagtrail-position");

/// The position of the record of the same project before it that this endpoint was sent, on ordered endpoints.
/// Absent where none is known: for the first, and for a project that was quiet for long.
const PREVIOUS: HeaderName = HeaderName::from_static("x-flagtrail-previous");

/// The id of the replay that it is of.
const REPLAY: HeaderName = HeaderName::from_static("x-flagtrail-replay");

/// The latest checkpoint of the record's partition that is known: a C2SP signed note, in base64. It need not reach to the record.
pub(crate) const CHECKPOINT: HeaderName = HeaderName::from_static("x-flagtrail-checkpoint");

/// The marks of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The record's partition.
    pub(crate) partition: Partition,
    /// Where it stands there.
    pub(crate) offset: Offset,
    /// What preceded it, of ordered endpoints.
    pub(crate) previous: Option<Offset>,
    /// The replay that it is of.
    pub(crate) replay: Option<String>,
    /// The latest checkpoint of the partition, in base64.
    pub(crate) checkpoint: Option<HeaderValue>,
    /// It stands for a burst: in Standard Webhooks its type is `flag.changed`, whatever the record's action. Any other
    /// format tells of the record as it is.
    pub(crate) collapsed: bool,
}

impl Marks {
    /// Adds them to a request's headers.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        let position = |offset: Offset| HeaderValue::try_from(format!("{}:{offset}", self.partition));
        let mut add = |name: HeaderName, value: Result<HeaderValue, _>| {
            // Digits, a colon and ids of our own making are header values.
            if let Ok(value) = value {
                headers.insert(name, value);
            }
        };
        add(POSITION, position(self.offset));
        if let Some(previous) = self.previous {
            add(PREVIOUS, position(previous));
        }
        if let Some(replay) = &self.replay {
            add(REPLAY, HeaderValue::try_from(replay.as_str()));
        }
        if let Some(checkpoint) = &self.checkpoint {
            add(CHECKPOINT, Ok(checkpoint.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};

    use super::Marks;

    #[test]
    fn what_is_not_known_is_not_said() {
        let mut headers = HeaderMap::new();
        let marks = Marks {
            partition: 3,
            offset: 1742,
            previous: None,
            replay: None,
            checkpoint: None,
            collapsed: false,
        };
        marks.add_to(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-flagtrail-position"], "3:1742");
        let checkpoint = Some(HeaderValue::from_static("YQo="));
        Marks { previous: Some(12), replay: Some("rp_1".to_owned()), checkpoint, ..marks }
            .add_to(&mut headers);
        assert_eq!(headers["x-flagtrail-previous"], "3:12");
        assert_eq!(headers["x-flagtrail-replay"], "rp_1");
        assert_eq!(headers["x-flagtrail-checkpoint"], "YQo=");
    }
}
