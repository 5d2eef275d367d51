//! The request behind a change.

use crate::Map;
use crate::fields::{Field, Fields};
use crate::reader::Reader;

use super::drop_blank;

/// The request behind a change, where the platform tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestInfo {
    /// The address it came from.
    pub ip: Option<String>,
    /// The client.
    pub user_agent: Option<String>,
    /// The platform's id of it.
    pub request_id: Option<String>,
    /// Unknown fields.
    pub extra: Map,
}

impl RequestInfo {
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self {
            ip: reader.take_string("ip"),
            user_agent: reader.take_string("user_agent"),
            request_id: reader.take_string("request_id"),
            extra: reader.rest(),
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::new(
            &self.extra,
            [
                ("ip", Field::maybe(self.ip.as_ref())),
                ("user_agent", Field::maybe(self.user_agent.as_ref())),
                ("request_id", Field::maybe(self.request_id.as_ref())),
            ],
        )
    }

    pub(crate) fn tidy(&mut self) {
        drop_blank([&mut self.ip, &mut self.user_agent, &mut self.request_id]);
    }
}
