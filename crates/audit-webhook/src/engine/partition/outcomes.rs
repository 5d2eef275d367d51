//! What becomes of deliveries: settled, to be tried again, given up; and the messages that tell of it.

use std::sync::Arc;

use audit_journal::{Offset, Topic};
use serde_json::json;

use super::Partition;
use crate::attempt_log::{AttemptOf, AttemptOutcome, attempt_message};
use crate::endpoint::EndpointId;
use crate::engine::delivery::{Done, Ended};
use crate::engine::disable;
use crate::engine::slot::READ_PAUSE;
use crate::entry::Entry;
use crate::live::Live;
use crate::operational;
use crate::send::{Answer, FailureClass, Verdict};
use crate::stats::LastError;

impl Partition {
    /// Takes in what became of a delivery. Nothing of it is durable before the next commit: if we crash
    /// here, the delivery is repeated.
    pub(super) fn finish(&mut self, done: Done) {
        let now_ms = self.shared.clock.now_ms();
        let Done { id, life, live, offset, ended } = done;
        let Some(attempts) = self.slot(&id, life).and_then(|slot| slot.lane.attempts(offset)) else { return };
        match ended {
            Ended::Answered(entry, answer) => {
                self.answered(&id, &live, &entry, &answer, attempts + 1, now_ms)
            }
            Ended::Gone => {
                let name = format!("{id}/{}/{}/{offset}", live.endpoint.incarnation, self.index);
                let detail = json!({ "partition": self.index, "from": offset, "to": offset + 1 });
                let namespace = self.shared.journal.identity().namespace;
                let record = operational::gap(namespace, &name, &live.endpoint, detail);
                self.outbox.push((Topic::Records, self.shared.journal.record_message(&record)));
                self.settle(&id, offset, false);
            }
            Ended::NotRead(error) => {
                tracing::warn!(endpoint = %id, partition = self.index, offset, %error, "a record could not be read back for a retry");
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.lane.postpone(offset, now_ms + READ_PAUSE.as_millis() as i64);
                }
            }
        }
        self.go(&id);
    }

    fn settle(&mut self, id: &EndpointId, offset: Offset, delivered: bool) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.lane.settle(offset, delivered);
        }
    }

    fn answered(
        &mut self,
        id: &EndpointId,
        live: &Arc<Live>,
        entry: &Entry,
        answer: &Answer,
        attempt: u32,
        now_ms: i64,
    ) {
        let offset = entry.offset();
        let mut next_due = None;
        let outcome = match answer.verdict {
            Verdict::Skipped => {
                live.stats.skipped();
                self.settle(id, offset, false);
                return;
            }
            Verdict::Delivered => {
                live.stats.delivered(answer.took, now_ms);
                self.settle(id, offset, true);
                AttemptOutcome::Delivered
            }
            Verdict::Unwanted => {
                let error = LastError { class: FailureClass::Status, status: answer.status, at_ms: now_ms };
                live.stats.failed(answer.took, error);
                if live.stop() {
                    self.shared.disabling.spawn(disable(Arc::clone(&self.shared), Arc::clone(live)));
                }
                // It waits, due at once, for the day the endpoint is enabled again.
                self.fail(id, offset, now_ms, now_ms);
                AttemptOutcome::Disabled
            }
            Verdict::Failed(class) => {
                let error = LastError { class, status: answer.status, at_ms: now_ms };
                live.stats.failed(answer.took, error);
                let spread = (id, self.index, offset);
                let pause = (!class.is_lasting())
                    .then(|| self.shared.schedule.pause(attempt, answer.retry_after, spread))
                    .flatten();
                let age_ends = live
                    .endpoint
                    .max_age
                    .map(|age| entry.message().appended_at_ms.saturating_add(age.as_millis()));
                next_due = pause
                    .map(|pause| now_ms.saturating_add(pause.as_millis() as i64))
                    .filter(|due| age_ends.is_none_or(|end| *due <= end));
                match next_due {
                    Some(due) => {
                        self.fail(id, offset, due, now_ms);
                        AttemptOutcome::Retry
                    }
                    None => {
                        self.give_up(id, live, entry, answer, attempt);
                        AttemptOutcome::DeadLettered
                    }
                }
            }
        };
        let record = entry.parcel().map_or("", |parcel| parcel.id.as_str());
        let of = AttemptOf { record, partition: self.index, offset, attempt };
        let message = attempt_message(live, &of, answer, outcome, next_due, now_ms);
        self.outbox.push((Topic::Deliveries, message));
    }

    fn fail(&mut self, id: &EndpointId, offset: Offset, due: i64, now_ms: i64) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.lane.fail(offset, due, now_ms);
        }
    }

    /// The end of the schedule. The record that tells of it becomes visible in the transaction in which
    /// the delivery ceases to be pending: there is never one without the other.
    fn give_up(&mut self, id: &EndpointId, live: &Live, entry: &Entry, answer: &Answer, attempts: u32) {
        let offset = entry.offset();
        live.stats.dead_lettered();
        if !operational::is_operational(entry.action()) {
            let name = format!("{id}/{}/{}/{offset}", live.endpoint.incarnation, self.index);
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
            let record = operational::dead_lettered(namespace, &name, &live.endpoint, detail);
            self.outbox.push((Topic::Records, self.shared.journal.record_message(&record)));
        }
        self.settle(id, offset, false);
    }
}
