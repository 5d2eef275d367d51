//! Unleash, inbound.

mod recorded;
mod shapes;
