//! Since when the log is anchored outside, as the export says.

use crate::manifest::{Anchored, Evidence};
use crate::report::Report;

/// Says of which partitions outside witnesses are said to vouch, and of which none does. Their keys are not in an export, so
/// that they cosigned is asserted.
pub(super) fn tell(evidence: &Evidence, report: &mut Report) {
    let Some(anchored) = &evidence.anchored else { return };
    for Anchored { partition, size, by } in anchored {
        let names: Vec<&str> = by.iter().map(|by| by.name.as_str()).collect();
        report.asserted.push(format!(
            "that the first {size} leaves of partition {partition} were cosigned by outside witnesses ({}): ask them",
            names.join(", ")
        ));
    }
    let without: Vec<String> = evidence
        .partitions
        .iter()
        .map(|part| part.partition)
        .filter(|partition| anchored.iter().all(|of_one| of_one.partition != *partition))
        .map(|partition| partition.to_string())
        .collect();
    if !without.is_empty() {
        report.not_covered.push(format!(
            "whether somebody outside saw the same log in partition {}: as the export says, no witness has cosigned any checkpoint of it",
            without.join(", ")
        ));
    }
}
