//! What becomes of deliveries: settled, to be tried again, given up; and the messages that tell of it.

use std::sync::Arc;

use audit_journal::Topic;
use audit_record::AuditRecord;
use serde_json::json;

use super::Partition;
use crate::attempt_log::{AttemptOf, AttemptOutcome, attempt_message};
use crate::clock::rfc3339;
use crate::engine::delivery::{Done, Ended, Of};
use crate::engine::disable;
use crate::engine::slot::Gap;
use crate::entry::Entry;
use crate::lane::TrackId;
use crate::limit::{Change, Verdict as Says};
use crate::live::Live;
use crate::operational;
use crate::send::{Answer, FailureClass, Verdict};
use crate::stats::LastError;

/// Why an endpoint is disabled.
const GONE: &str = "its receiver answered 410 Gone";

impl Partition {
    /// Takes in what became of a delivery. Nothing of it is durable before the next commit: if we crash
    /// here, the delivery is repeated.
    pub(super) fn finish(&mut self, done: Done) {
        let now_ms = self.shared.clock.now_ms();
        let of = &done.of;
        let attempts =
            self.slot(&of.id, of.life).and_then(|slot| slot.lane.track(of.track)?.attempts(of.offset));
        match (&done.ended, attempts) {
            (Ended::Answered(answer), Some(attempts)) => self.answered(&done, answer, attempts + 1, now_ms),
            // It was moved, or its replay was cancelled, while this was under way: only the receiver's health
            // is still of interest.
            (Ended::Answered(answer), None) => {
                let change = done.live.gate.answered(said(answer), now_ms, false, done.probe.is_some());
                self.open_doors(&change);
            }
            (Ended::TooLate, _) => {
                if let Some(track) = self.slot(&of.id, of.life).and_then(|slot| slot.lane.track_mut(of.track))
                {
                    track.postpone(of.offset, now_ms);
                }
            }
        }
        let Done { of, probe, .. } = done;
        // From here on another probe may begin.
        drop(probe);
        self.go(&of.id);
    }

    fn answered(&mut self, done: &Done, answer: &Answer, attempt: u32, now_ms: i64) {
        let Done { of, live, entry, probe, .. } = done;
        if let Verdict::Skipped(reason) = answer.verdict {
            live.stats.skipped(reason);
            if let Some(slot) = self.slots.get_mut(&of.id) {
                slot.lane.skip(of.track, of.offset);
            }
            return;
        }
        let tells = !operational::is_operational(entry.action());
        let change = live.gate.answered(said(answer), now_ms, tells, probe.is_some());
        let is_gone = answer.verdict == Verdict::Unwanted && !live.endpoint.is_never_disabled();
        let mut next_due = None;
        let outcome = match answer.verdict.failure() {
            None => {
                live.stats.delivered(answer.took, now_ms);
                if matches!(of.track, TrackId::Replay(_)) {
                    live.stats.replayed();
                }
                if let Some(slot) = self.slots.get_mut(&of.id) {
                    slot.lane.settle(of.track, of.offset, true);
                }
                AttemptOutcome::Delivered
            }
            Some(class) => {
                let error = LastError { class, status: answer.status, at_ms: now_ms };
                live.stats.failed(answer.took, error);
                let outlived = self.outlived(live, &change, now_ms);
                if is_gone {
                    // It waits, due at once, for the day the endpoint is enabled again.
                    self.disable(live, GONE.to_owned());
                    self.fail(of, now_ms, now_ms);
                    AttemptOutcome::Disabled
                } else if let Some(because) = outlived {
                    self.disable(live, because);
                    self.fail(of, now_ms, now_ms);
                    AttemptOutcome::Disabled
                } else {
                    next_due = self.next_due(of, live, entry, answer, attempt, now_ms);
                    match next_due {
                        Some(due) => {
                            self.fail(of, due, now_ms);
                            AttemptOutcome::Retry
                        }
                        None => {
                            self.give_up(of, live, entry, answer, attempt);
                            AttemptOutcome::DeadLettered
                        }
                    }
                }
            }
        };
        let record = entry.parcel().map_or("", |parcel| parcel.id.as_str());
        let attempt_of = AttemptOf { record, partition: self.index, offset: of.offset, attempt };
        let message = attempt_message(live, &attempt_of, answer, outcome, next_due, now_ms);
        self.outbox.push(Topic::Deliveries, message);
        self.tell(live, &change, answer);
    }

    /// When it is tried again; `None` at the end of the schedule, or when the record is too old by then.
    fn next_due(
        &self,
        of: &Of,
        live: &Live,
        entry: &Entry,
        answer: &Answer,
        attempt: u32,
        now_ms: i64,
    ) -> Option<i64> {
        if answer.verdict.failure().is_some_and(FailureClass::is_lasting) {
            return None;
        }
        let pause = self.shared.schedule.pause(attempt, answer.retry_after, (&of.id, self.index, of.offset));
        let due = now_ms.saturating_add(pause?.as_millis() as i64);
        // A replay is asked for because of what is old.
        let max_age = live.endpoint.max_age.filter(|_| of.track == TrackId::Log);
        let end = max_age.map(|age| entry.message().appended_at_ms.saturating_add(age.as_millis()));
        Some(due).filter(|due| end.is_none_or(|end| *due <= end))
    }

    /// Whether every attempt has failed for so long that the endpoint is disabled, and why.
    fn outlived(&self, live: &Live, change: &Change, now_ms: i64) -> Option<String> {
        let since = change.failed_since_ms.filter(|_| !live.endpoint.is_never_disabled())?;
        let limit = self.shared.disable_after;
        (now_ms.saturating_sub(since) >= limit.as_millis() as i64)
            .then(|| format!("every delivery has failed since {}", rfc3339(since)))
    }

    fn disable(&self, live: &Arc<Live>, because: String) {
        if live.stop() {
            self.shared.disabling.spawn(disable(Arc::clone(&self.shared), Arc::clone(live), because));
        }
    }

    /// What an answer changed, to those who wait and to the log.
    fn tell(&mut self, live: &Live, change: &Change, answer: &Answer) {
        self.open_doors(change);
        let namespace = self.shared.journal.identity().namespace;
        if let Some(since) = change.failing_since_ms {
            tracing::warn!(endpoint = %live.endpoint.id, name = live.endpoint.name, since = rfc3339(since), "an endpoint is failing");
            let detail = json!({
                "since": rfc3339(since), "error": answer.verdict.failure(), "status": answer.status,
            });
            self.push_record(&operational::failing(namespace, &live.endpoint, since, detail));
        }
        if let Some(since) = change.recovered_since_ms {
            tracing::info!(endpoint = %live.endpoint.id, name = live.endpoint.name, "an endpoint takes deliveries again");
            self.push_record(&operational::recovered(namespace, &live.endpoint, since));
        }
    }

    fn open_doors(&self, change: &Change) {
        if change.opens {
            self.shared.doors.send_modify(|count| *count += 1);
        }
    }

    fn push_record(&mut self, record: &AuditRecord) {
        self.outbox.push(Topic::Records, self.shared.journal.record_message(record));
    }

    fn fail(&mut self, of: &Of, due: i64, now_ms: i64) {
        if let Some(slot) = self.slots.get_mut(&of.id) {
            slot.lane.fail(of.track, of.offset, due, now_ms);
        }
    }

    /// The end of the schedule. The record that tells of it becomes visible in the transaction in which
    /// the delivery ceases to be pending: there is never one without the other.
    fn give_up(&mut self, of: &Of, live: &Live, entry: &Entry, answer: &Answer, attempts: u32) {
        live.stats.dead_lettered();
        if !operational::is_operational(entry.action()) {
            let (incarnation, offset) = (live.endpoint.incarnation, of.offset);
            let mut name = format!("{}/{incarnation}/{}/{offset}", of.id, self.index);
            if let TrackId::Replay(number) = of.track {
                name.push_str(&format!("/{number}"));
            }
            let detail = json!({
                "record": entry.parcel().map(|parcel| &parcel.id),
                "action": entry.action(),
                "partition": self.index,
                "offset": offset,
                "attempts": attempts,
                "error": answer.verdict.failure(),
                "status": answer.status,
            });
            let namespace = self.shared.journal.identity().namespace;
            self.push_record(&operational::dead_lettered(namespace, &name, &live.endpoint, detail));
        }
        if let Some(slot) = self.slots.get_mut(&of.id) {
            slot.lane.give_up(of.track, of.offset);
        }
    }

    /// Tells of what retention removed before it was delivered. The cursor passes it in the same transaction.
    pub(super) fn tell_of_gaps(&mut self) {
        for Gap { id, from, to } in std::mem::take(&mut self.gaps) {
            let Some(live) = self.slots.get(&id).and_then(|slot| slot.live.clone()) else { continue };
            let (index, namespace) = (self.index, self.shared.journal.identity().namespace);
            let name = format!("{id}/{}/{index}/{from}", live.endpoint.incarnation);
            let detail = json!({ "partition": index, "from": from, "to": to });
            self.push_record(&operational::gap(namespace, &name, &live.endpoint, detail));
            tracing::warn!(endpoint = %id, partition = index, from, to, "retention removed records before they were delivered");
        }
    }
}

/// What an answer says of the receiver.
fn said(answer: &Answer) -> Says {
    match answer.verdict {
        Verdict::Delivered => Says::Takes,
        Verdict::Skipped(_) => Says::Nothing,
        Verdict::Unwanted => Says::Fails,
        Verdict::Failed(FailureClass::Status) => match answer.status {
            Some(429 | 502..=504) => Says::Overloaded(answer.retry_after),
            // What is wrong with this record may be right with the next.
            Some(400 | 409 | 413 | 414 | 415 | 422) => Says::RefusesRecord,
            _ => Says::Fails,
        },
        // Nothing was sent.
        Verdict::Failed(class) if class.is_lasting() => Says::Nothing,
        Verdict::Failed(_) => Says::Fails,
    }
}
