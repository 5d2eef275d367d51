//! Flagsmith, inbound.
