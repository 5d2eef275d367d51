//! What a process answers before it can do anything: it has never seen the log, so it knows no source and no
//! token, and can only say so.

use axum::Router;
use axum::routing::get;

use crate::problem::{Kind, Problem};
use crate::routes::health::healthz;

/// After how many seconds it is worth asking again.
const RETRY_AFTER_S: u32 = 5;

/// `/healthz` is answered, everything else, `/readyz` too, with 503 and `detail`.
pub fn standby_router(detail: &'static str) -> Router {
    let refuse = async move || Problem::new(Kind::Unavailable, detail).retry_after_s(RETRY_AFTER_S);
    Router::new().route("/healthz", get(healthz)).fallback(refuse)
}
