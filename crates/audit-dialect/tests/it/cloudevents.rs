//! CloudEvents, inbound.
