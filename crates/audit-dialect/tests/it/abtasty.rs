//! AB Tasty, inbound.
