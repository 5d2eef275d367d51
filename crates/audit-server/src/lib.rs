//! Everything over HTTP: ingest, hooks, settings, queries, metrics.
//!
//! Two routers: what platforms call, which may face the internet, and the administration. Nothing here knows
//! how the log stores, how a webhook is delivered or how an archive is laid out.

mod app;
mod config;
mod serve;
mod stall;

pub use app::{App, BootstrapError, Parts};
pub use config::{
    HOOK_BODY_BYTES_MAX, INGEST_BODY_BYTES_MAX, INGEST_RECORDS_MAX, Limits, SETTINGS_BODY_BYTES_MAX,
    ServerConfig,
};
pub use serve::serve;
