//! Where a record came from.

use crate::Map;
use crate::fields::{Field, Fields};
use crate::reader::Reader;
use crate::timestamp::Timestamp;

use super::{drop_blank, words::words};

words! {
    /// How the request that told of the change was authenticated.
    Authenticated {
        /// By a signature over the body.
        Signature = "signature",
        /// By a secret token in the URL or a header.
        Token = "token",
        /// Not at all.
        None = "none",
    }
}

/// Where a record came from. Whoever takes a request in makes it, also for a native record.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The name of the source: one installation of a platform. It is part of the routing key.
    pub name: String,
    /// The platform: `flagsmith`, `zenmanage`, `abtasty`, `mozhno`, `unleash`, `native`, …
    pub system: String,
    /// What the platform calls the event.
    pub event: String,
    /// The platform's id of the delivery.
    pub delivery_id: Option<String>,
    /// When the request came in.
    pub received_at: Timestamp,
    /// How it was authenticated; absent on the wire means not at all.
    pub authenticated: Authenticated,
    /// Unknown fields.
    pub extra: Map,
}

impl Source {
    /// `None` where the one field without a stand-in is missing, which is a problem of its own.
    pub(crate) fn read(mut reader: Reader<'_>) -> Option<Self> {
        let name = reader.require_string("name", "the name of the source");
        let system = reader.require_string("system", "the platform");
        let event = reader.require_string("event", "what the platform calls the event");
        let received_at = reader.require_time("received_at", "when the request came in, RFC 3339");
        let authenticated = reader.take_word("authenticated", Authenticated::WORDS, Authenticated::parse);
        Some(Self {
            name,
            system,
            event,
            delivery_id: reader.take_string("delivery_id"),
            received_at: received_at?,
            authenticated: authenticated.unwrap_or(Authenticated::None),
            extra: reader.rest(),
        })
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::new(
            &self.extra,
            [
                ("name", Field::text(&self.name)),
                ("system", Field::text(&self.system)),
                ("event", Field::text(&self.event)),
                ("delivery_id", Field::maybe(self.delivery_id.as_ref())),
                ("received_at", Field::Time(self.received_at)),
                ("authenticated", Field::text(self.authenticated.as_str())),
            ],
        )
    }

    pub(crate) fn tidy(&mut self) {
        drop_blank([&mut self.delivery_id]);
    }
}
