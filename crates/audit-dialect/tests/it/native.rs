//! Our own record, inbound.
