//! Everything over HTTP: ingest, hooks, settings, queries, metrics.
//!
//! Two routers: what platforms call, which may face the internet, and the administration. Nothing here knows
//! how the log stores, how a webhook is delivered or how an archive is laid out.

mod app;
mod auth;
mod body;
mod bounds;
mod clock;
mod config;
mod headers;
mod hooks;
mod ingest;
mod metrics;
mod problem;
mod query;
mod readings;
mod routes;
mod serve;
mod settings;
mod silence;
mod stall;
mod tail;
mod tls;
mod trace;

pub use app::{App, Parts};
pub use config::{
    AdminToken, HOOK_BODY_BYTES_MAX, INGEST_BODY_BYTES_MAX, INGEST_RECORDS_MAX, Limits,
    SETTINGS_BODY_BYTES_MAX, ServerConfig,
};
pub use routes::standby_router;
pub use serve::serve;
pub use settings::declared::{Declaration, DeclarationError, ReconcileError};
pub use settings::named::Named;
pub use settings::source::Source;
pub use settings::token::{Scope, Token};
pub use tls::{Certificate, CertificateError, ServerTls};
