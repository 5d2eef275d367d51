//! Verification of an export of a million records by the shipped binary, against SHA-256 of the same files.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;

use super::export;
use crate::Scale;
use crate::figure::Figure;
use crate::product::{self, Product};
use crate::raw;

/// Records.
const RECORDS: usize = 1_000_000;

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let records = scale.records(RECORDS);
    let root = tempfile::tempdir()?;
    export::archive(root.path(), records).await?;
    let product = Product::start(root.path(), &["up"], None).await?;
    let job = export::done(&product, &json!({"format": "ndjson"})).await?;
    let id = job["id"].as_str().context("the server named no export")?;
    let bag = product.data.join("exports").join(id).join("bag");
    product.stop()?;
    tokio::task::spawn_blocking(move || -> Result<Vec<Figure>> {
        let began = Instant::now();
        product::run(Command::new(product::binary()?).arg("verify").arg(&bag))?;
        let verified = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let bytes = raw::hash::files(&bag)?;
        let hashed = began.elapsed().as_secs_f64();
        let what = format!("verification of an export of {records}");
        // Of fewer it says nothing.
        let met = (records >= RECORDS).then_some(verified <= 15.0);
        let mut figure = Figure::plain(&what, verified, "s", "≤ 15 s for a million", met);
        figure.raw = Some((hashed, "SHA-256 of its files, one thread"));
        Ok(vec![figure, Figure::plain("… size of the export", bytes as f64 / 1e6, "MB", "", None)])
    })
    .await?
}
