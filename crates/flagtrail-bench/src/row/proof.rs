//! The proof of one record among ten million: from its id to the path that leads to the root. Against SHA-256 of the
//! record, of its leaf's header and of that path.

use std::time::Instant;

use anyhow::{Context, Result};
use audit_archive::Reader;

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::large::{self, LargeArchive};
use crate::raw;
use crate::sample;

/// Records that are proven, one by one.
const PROOFS: usize = 1_000;

pub(crate) async fn measure(scale: Scale, large: &LargeArchive) -> Result<Vec<Figure>> {
    let (reader, held) = large.ready(scale.records(large::RECORDS)).await?;
    let numbers = large.numbers(scale.of(PROOFS))?;
    let (p99, raw) = tokio::task::spawn_blocking(move || proofs(&reader, &numbers)).await??;
    let what = format!("proof of one record of {held}, p99");
    let mut figure = Figure::plain(&what, p99, "ms", "≤ 5 ms", Some(p99 <= 5.0));
    figure.raw = Some((raw, "SHA-256 of the record and its path, p99"));
    Ok(vec![figure])
}

/// Milliseconds within which 99 of 100 records are proven, and within which what that gave is hashed.
fn proofs(reader: &Reader, numbers: &[usize]) -> Result<(f64, f64)> {
    let (mut millis, mut hashed) = (Vec::new(), Vec::new());
    for number in numbers {
        let id = sample::id(*number);
        let began = Instant::now();
        let found = reader.get(&id)?;
        let row = found.first().with_context(|| format!("record {id} is not in the archive"))?;
        let proof = reader.prove_inclusion(row.partition, row.seq, None)?;
        millis.push(began.elapsed().as_secs_f64() * 1e3);
        let began = Instant::now();
        let path = proof.hashes.iter().map(|hash| &hash.as_bytes()[..]);
        raw::hash::bytes([row.json.as_bytes(), &proof.entry[..]].into_iter().chain(path));
        hashed.push(began.elapsed().as_secs_f64() * 1e3);
    }
    millis.sort_by(f64::total_cmp);
    hashed.sort_by(f64::total_cmp);
    Ok((quantile(&millis, 0.99), quantile(&hashed, 0.99)))
}
