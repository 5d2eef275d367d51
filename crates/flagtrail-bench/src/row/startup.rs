//! `flagtrail up` on the embedded journal.

use anyhow::Result;

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::product::Product;

/// Starts in new directories; the median counts.
const STARTS: usize = 10;

pub(crate) async fn measure(scale: Scale) -> Result<Vec<Figure>> {
    let root = tempfile::tempdir()?;
    let (mut seconds, mut memory) = (Vec::new(), Vec::new());
    for start in 0..scale.of(STARTS).max(3) {
        let product = Product::start(&root.path().join(start.to_string()), &["up"], None).await?;
        seconds.push(product.ready_after.as_secs_f64());
        memory.push(product.peak_mb()?);
        product.stop()?;
    }
    seconds.sort_by(f64::total_cmp);
    memory.sort_by(f64::total_cmp);
    let (time, size) = (quantile(&seconds, 0.5), quantile(&memory, 0.5));
    Ok(vec![
        Figure::plain("flagtrail up, start to ready, median", time, "s", "≤ 0.5 s", Some(time <= 0.5)),
        Figure::plain("flagtrail up, resident when ready, median", size, "MB", "≤ 40 MB", Some(size <= 40.0)),
    ])
}
