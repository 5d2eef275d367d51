//! Zenmanage, inbound.
