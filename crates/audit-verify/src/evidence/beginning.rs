//! Whether the leaves before those of an export, which it does not look at, are older than what it is asked for.

use audit_proof::SignatureKind;
use audit_record::Timestamp;

use super::signature::Keys;
use crate::manifest::PartitionEvidence;
use crate::report::Report;

/// Says of the leaves before the first one of a partition what is known of them. `signed_at_s` is when the checkpoint over
/// them was signed at the latest, in seconds since 1970; `from` is where the period begins.
///
/// Whoever makes an export chooses where it begins: only a checkpoint that was signed before the period shows that nothing
/// which is asked for was left out by that.
pub(super) fn tell(
    part: &PartitionEvidence,
    signed_at_s: Option<u64>,
    keys: &Keys,
    from: Option<Timestamp>,
    report: &mut Report,
) {
    let PartitionEvidence { partition, start_size, base_size, .. } = *part;
    if start_size == 0 {
        return;
    }
    let leaves = format!("the first {start_size} leaves of partition {partition}");
    let signed_s = signed_at_s.and_then(|at_s| i64::try_from(at_s).ok());
    let begins_s = from.map(|from| from.micros() / 1_000_000);
    if signed_s.zip(begins_s).is_some_and(|(signed, begins)| signed < begins) {
        return report.not_covered.push(format!("{leaves}, which were appended before the period"));
    }
    let tells_time = keys.known.iter().any(|key| key.kind() == SignatureKind::Cosignature);
    if begins_s.is_some() && base_size.is_none() && !tells_time {
        report.asserted.push(format!(
            "that {leaves} were appended before the period: no key is known of a cosigner who says when"
        ));
        return;
    }
    let why = if base_size == Some(start_size) {
        "as it says, retention had removed messages from the log before its archive was made"
    } else {
        "no checkpoint shows that they were appended before the period"
    };
    report.find_gap(
        format!("data/proofs/{partition}/headers.ndjson"),
        format!("begins after {leaves}: {why}; so what is asked for may be among them"),
    );
}
