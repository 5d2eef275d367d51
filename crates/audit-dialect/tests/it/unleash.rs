//! Unleash, inbound.
