//! One measured figure beside its raw limit and its bar.

use serde_json::json;

/// A figure.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// The figure.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// The raw limit in the same unit, and what it is.
    pub(crate) raw: Option<(f64, &'static str)>,
    /// The bar in words.
    pub(crate) bar: &'static str,
    /// Whether the bar is met.
    pub(crate) met: Option<bool>,
}

impl Figure {
    /// A rate that is to reach `share` of the raw limit.
    pub(crate) fn rate(
        what: &str,
        value: f64,
        unit: &'static str,
        raw: (f64, &'static str),
        share: f64,
        bar: &'static str,
    ) -> Self {
        Self { what: what.to_owned(), value, unit, raw: Some(raw), bar, met: Some(value >= share * raw.0) }
    }

    /// A figure with a bar of its own.
    pub(crate) fn plain(
        what: &str,
        value: f64,
        unit: &'static str,
        bar: &'static str,
        met: Option<bool>,
    ) -> Self {
        Self { what: what.to_owned(), value, unit, raw: None, bar, met }
    }
}

/// Prints all of them.
pub(crate) fn print(figures: &[Figure], as_json: bool) {
    if as_json {
        for f in figures {
            let raw =
                f.raw.map(|(value, what)| json!({"value": value, "what": what, "ratio": f.value / value}));
            println!(
                "{}",
                json!({"what": f.what, "value": f.value, "unit": f.unit, "raw": raw, "bar": f.bar, "met": f.met})
            );
        }
        return;
    }
    println!(
        "{:<52} {:>12} {:<10} {:>12} {:>6}  {:<28} ",
        "what", "figure", "unit", "raw limit", "ratio", "bar"
    );
    for f in figures {
        let raw = f.raw.map_or_else(String::new, |(value, _)| number(value));
        let ratio = f.raw.map_or_else(String::new, |(value, _)| format!("{:.2}", f.value / value));
        let met = f.met.map_or("", |met| if met { "met" } else { "MISSED" });
        println!(
            "{:<52} {:>12} {:<10} {raw:>12} {ratio:>6}  {:<28} {met}",
            f.what,
            number(f.value),
            f.unit,
            f.bar
        );
        if let Some((_, what)) = f.raw {
            println!("{:>80}", format!("raw: {what}"));
        }
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The value below which `share` of the sorted samples lie.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
