//! How a change was approved.

use crate::Map;
use crate::fields::{Field, Fields};
use crate::reader::Reader;
use crate::timestamp::Timestamp;

use super::{Author, drop_blank};

/// How a change was approved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Approval {
    /// The platform's change request.
    pub change_request_id: Option<String>,
    /// Whether approval was required.
    pub required: Option<bool>,
    /// Who approved.
    pub approvers: Vec<Author>,
    /// When.
    pub approved_at: Option<Timestamp>,
    /// Whether approval was bypassed.
    pub bypassed: Option<bool>,
    /// Unknown fields.
    pub extra: Map,
}

impl Approval {
    pub(crate) fn read(mut reader: Reader<'_>) -> Self {
        Self {
            change_request_id: reader.take_string("change_request_id"),
            required: reader.take_bool("required"),
            approvers: reader.take_list("approvers", Author::read),
            approved_at: reader.take_time("approved_at"),
            bypassed: reader.take_bool("bypassed"),
            extra: reader.rest(),
        }
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        let approvers = match self.approvers.as_slice() {
            [] => Field::Absent,
            some => Field::Parts(some.iter().map(Author::fields).collect()),
        };
        Fields::new(
            &self.extra,
            [
                ("change_request_id", Field::maybe(self.change_request_id.as_ref())),
                ("required", Field::given(self.required, Field::Bool)),
                ("approvers", approvers),
                ("approved_at", Field::given(self.approved_at, Field::Time)),
                ("bypassed", Field::given(self.bypassed, Field::Bool)),
            ],
        )
    }

    pub(crate) fn tidy(&mut self) {
        drop_blank([&mut self.change_request_id]);
        self.approvers.iter_mut().for_each(Author::tidy);
    }
}
