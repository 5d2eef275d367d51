//! Changes of flags, one a line, from the records that tell of them: what the change reports share.

mod assemble;
mod person;
mod request;
mod side_by_side;
#[cfg(test)]
mod tests;
mod trace;

use audit_archive::Over;
use audit_record::{Period, Timestamp};

pub(crate) use assemble::{Approval, Change, ChangeType};
pub(crate) use person::Thing;
pub(crate) use side_by_side::RULE_VERSION;
use trace::Trace;

use crate::evidence::{Evidence, IN_PROJECTS, ReportError};

/// Most records that are held at a time: some 600 bytes each.
const TRACES_MAX: usize = 200_000;

/// Records of a change may stand this far outside the period that the change is in.
const MARGIN_US: i64 = 15_000_000;

/// How far back before the period change requests are looked for.
pub(crate) const REQUEST_LOOK_BACK_DAYS: i64 = 90;

/// How far after the period approvals are looked for, which would have come too late.
pub(crate) const REQUEST_LOOK_AHEAD_DAYS: i64 = 30;

const DAY_US: i64 = 86_400_000_000;

/// Every change that was applied in the period asked for, in the order of that.
pub(crate) fn gather(evidence: &mut Evidence<'_>) -> Result<Vec<Change>, ReportError> {
    let period = evidence.question().period;
    let near = widened(period, MARGIN_US, MARGIN_US);
    let flags = format!(
        "SELECT seq, json FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq AND action GLOB 'flag.*'
  AND (occurred_at_us >= :from_us AND occurred_at_us < :to_us
    OR recorded_at_us >= :from_us AND recorded_at_us < :to_us)
  AND {IN_PROJECTS}
ORDER BY seq"
    );
    let mut traces = read(evidence, &flags, near)?;
    let requests = format!(
        "SELECT seq, json FROM audit_log
WHERE seq >= :first_seq AND seq < :end_seq AND action GLOB 'change_request.*'
  AND occurred_at_us >= :from_us AND occurred_at_us < :to_us
  AND {IN_PROJECTS}
ORDER BY seq"
    );
    let around = widened(period, REQUEST_LOOK_BACK_DAYS * DAY_US, REQUEST_LOOK_AHEAD_DAYS * DAY_US);
    let mut of_requests = read(evidence, &requests, around)?;
    for traces in [&mut traces, &mut of_requests] {
        traces.sort_by_key(|trace| (trace.at, trace.partition, trace.seq));
    }
    let mut changes = assemble::assemble(&traces, &of_requests, evidence.compliance());
    changes.retain(|change| evidence.question().covers(change.applied_at));
    Ok(changes)
}

fn read(evidence: &mut Evidence<'_>, sql: &str, period: Period) -> Result<Vec<Trace>, ReportError> {
    let mut traces = Vec::new();
    let (mut too_many, mut bodiless) = (false, 0_u64);
    evidence.rows(sql, Over::Records, period, &mut |row| match Trace::read(&row) {
        Some(_) if traces.len() >= TRACES_MAX => too_many = true,
        Some(trace) => traces.push(trace),
        None => bodiless += 1,
    })?;
    if bodiless > 0 {
        evidence.note(format!(
            "{bodiless} records have no body any more (it was erased): what they told is missing"
        ));
    }
    if too_many { Err(ReportError::TooMuch("200,000 records of changes")) } else { Ok(traces) }
}

fn widened(period: Period, back_us: i64, ahead_us: i64) -> Period {
    let moved = |at: Option<Timestamp>, by: i64| {
        at.map(|at| Timestamp::from_micros(at.micros().saturating_add(by)).unwrap_or(at))
    };
    Period { from: moved(period.from, -back_us), to: moved(period.to, ahead_us) }
}
