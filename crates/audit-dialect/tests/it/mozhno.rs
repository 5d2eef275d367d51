//! можно, inbound.
