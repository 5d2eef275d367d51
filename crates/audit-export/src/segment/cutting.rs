//! Where a partition is cut. No I/O.
//!
//! A segment ends before the message that would make it too large or that the log took on another day, and after a time
//! whether or not there was a message.

use audit_journal::{Batch, Message, Offset};
use audit_proof::{CUT_KIND, CUT_VERSION, Cut, CutName, Edge, NodeHash};
use chrono::{DateTime, Utc};

use super::progress::{Progress, Upto};

/// Most bytes of messages (keys, headers, values) of a segment, unless one alone has more. Its file, in which every value
/// stands once as it is and once in columns, compressed, stays below 64 MiB.
pub(super) const SEGMENT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Most messages of a segment, however small.
pub(super) const SEGMENT_MESSAGES_MAX: u64 = 262_144;

/// How a partition is being cut.
#[derive(Clone, Debug)]
pub(crate) struct Cutting {
    progress: Progress,
    /// The document, as it was committed last, together with the sealer's position.
    committed: Option<Progress>,
    interval_ms: i64,
    /// Whether the segment is to end where the tree ends now.
    is_due: bool,
}

/// Consecutive messages of a batch that go into one segment.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) batch: Batch,
    /// Whether the segment ends after them.
    pub(crate) ends: bool,
}

impl Cutting {
    pub(crate) fn new(progress: Progress, interval_ms: i64) -> Self {
        Self { progress, committed: None, interval_ms, is_due: false }
    }

    /// The document, as it is now.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The document as it was committed last; `None` before the first.
    pub(crate) fn committed(&self) -> Option<&Progress> {
        self.committed.as_ref()
    }

    /// A new tree's first segment begins at `start`, where the tree has these peaks. What was cut of the former one is
    /// written all the same; what it grew by since is in no segment.
    pub(crate) fn begin_anew(&mut self, start: Edge, peaks: Vec<NodeHash>) {
        self.progress.start = start;
        self.progress.peaks = peaks;
        (self.progress.bytes, self.progress.date, self.is_due) = (0, None, false);
    }

    /// The segment holds messages that were sealed while nobody cut: what they weigh, and their day. `None` where they are no
    /// segment: then it ends with them, and is written as one that is without its messages.
    pub(crate) fn catch_up(&mut self, found: Option<(u64, String)>) {
        match found {
            Some((bytes, date)) => (self.progress.bytes, self.progress.date) = (bytes, Some(date)),
            None => self.is_due = true,
        }
    }

    /// Divides a batch, whose first message has number `seq`, by segments.
    pub(crate) fn divide(&mut self, batch: Batch, seq: u64) -> Vec<Part> {
        let Batch { partition, messages, end, epoch } = batch;
        let mut parts: Vec<Part> = Vec::new();
        let mut held = Vec::new();
        let part = |messages, ends| Part { batch: Batch { partition, messages, end, epoch }, ends };
        let (mut count, mut bytes, mut date) =
            (seq.saturating_sub(self.progress.start.seq), self.progress.bytes, self.progress.date.clone());
        for message in messages {
            let (weight, day) = (message.bytes() as u64, day_of(&message));
            let is_other_day = date.as_ref().is_some_and(|date| *date != day);
            let is_full = count > 0 && (bytes + weight > SEGMENT_BYTES_MAX || count >= SEGMENT_MESSAGES_MAX);
            if is_other_day || is_full {
                parts.push(part(std::mem::take(&mut held), true));
                (count, bytes) = (0, 0);
            }
            (count, bytes, date) = (count + 1, bytes + weight, Some(day));
            held.push(message);
        }
        if !held.is_empty() {
            parts.push(part(held, false));
        }
        parts
    }

    /// Takes note of messages that go into the segment.
    pub(crate) fn append(&mut self, messages: &[Message]) {
        self.progress.bytes += messages.iter().map(|message| message.bytes() as u64).sum::<u64>();
        if let Some(last) = messages.last() {
            self.progress.date = Some(day_of(last));
        }
    }

    /// The segment ends here, whenever that can be published.
    pub(crate) fn end(&mut self) {
        self.is_due = true;
    }

    /// Whether the segment is to end where the tree ends now.
    pub(crate) fn is_due(&self, now_ms: i64) -> bool {
        self.is_due || now_ms.saturating_sub(self.progress.cut_at_ms) >= self.interval_ms
    }

    /// The document, of a tree that ends there.
    pub(crate) fn progress_at(&self, origin: &str, seq: u64) -> Progress {
        let mut progress = self.progress.clone();
        progress.upto = Some(Upto { origin: origin.to_owned(), seq });
        progress
    }

    /// The cut at `end`, of which `note` is the signed checkpoint. Nothing is changed by it: whoever publishes it says so
    /// with [`Cutting::published`].
    pub(crate) fn cut(&self, origin: &str, end: Edge, note: String, now_ms: i64) -> Cut {
        let before = self.progress.head.as_ref().filter(|head| head.origin == origin);
        Cut {
            v: CUT_VERSION,
            kind: CUT_KIND.to_owned(),
            origin: origin.to_owned(),
            number: before.map_or(0, |before| before.number + 1),
            previous: before.map(|before| before.hash.clone()),
            start: self.progress.start,
            end,
            peaks: self.progress.peaks.clone(),
            date: self.progress.date.clone().unwrap_or_else(|| day(now_ms)),
            at_ms: now_ms,
            note,
        }
    }

    /// As it is once `cut` is published; `peaks` are the tree's edge at its end.
    pub(crate) fn after(&self, cut: &Cut, peaks: Vec<NodeHash>) -> Progress {
        let mut progress = self.progress.clone();
        progress.head = Some(cut.name());
        progress.cut_at_ms = cut.at_ms;
        progress.start = cut.end;
        progress.upto = Some(Upto { origin: cut.origin.clone(), seq: cut.end.seq });
        progress.peaks = peaks;
        progress.bytes = 0;
        progress.date = None;
        progress
    }

    /// The cut was published, with this document.
    pub(crate) fn published(&mut self, progress: Progress) {
        self.progress = progress;
        self.is_due = false;
    }

    /// The document was committed like this.
    pub(crate) fn was_committed(&mut self, progress: Progress) {
        self.committed = Some(progress);
    }

    /// A segment was written; the document is to say so.
    pub(crate) fn written(&mut self, written: &CutName, read_from: Offset) {
        for progress in [Some(&mut self.progress), self.committed.as_mut()].into_iter().flatten() {
            progress.written = Some(written.clone());
            progress.read_from = read_from;
        }
    }
}

pub(super) fn day_of(message: &Message) -> String {
    day(message.appended_at_ms)
}

fn day(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn batch(messages: impl IntoIterator<Item = (u64, i64, usize)>) -> Batch {
        let message = |(offset, appended_at_ms, bytes)| Message {
            partition: 3,
            offset,
            appended_at_ms,
            key: Bytes::new(),
            headers: Vec::new(),
            value: Some(vec![0; bytes].into()),
        };
        Batch { partition: 3, messages: messages.into_iter().map(message).collect(), end: 0, epoch: 0 }
    }

    fn cutting() -> Cutting {
        Cutting::new(Progress::begin(Edge { seq: 0, offset: 0 }, Vec::new(), 0, 0), 3_600_000)
    }

    /// How many messages each part has, and whether its segment ends; appends and ends as the sealer does.
    fn take(cutting: &mut Cutting, batch: Batch, mut seq: u64) -> Vec<(usize, bool)> {
        let mut taken = Vec::new();
        for part in cutting.divide(batch, seq) {
            cutting.append(&part.batch.messages);
            seq += part.batch.messages.len() as u64;
            if part.ends {
                let cut = cutting.cut("o", Edge { seq, offset: seq }, String::new(), 0);
                let after = cutting.after(&cut, Vec::new());
                cutting.published(after);
            }
            taken.push((part.batch.messages.len(), part.ends));
        }
        taken
    }

    #[test]
    fn a_segment_ends_before_another_day_and_before_it_is_too_large() {
        let mut cutting = cutting();
        let days = batch([(0, 0, 1), (1, 5, 1), (2, DAY_MS, 1), (3, DAY_MS, 1), (4, 2 * DAY_MS, 1)]);
        assert_eq!(take(&mut cutting, days, 0), [(2, true), (2, true), (1, false)]);
        assert_eq!(cutting.progress().date.as_deref(), Some("1970-01-03"));
        // What is in hand of that day ends with the next one's first message, in a batch of its own.
        assert_eq!(take(&mut cutting, batch([(5, 3 * DAY_MS, 1)]), 5), [(0, true), (1, false)]);

        let half = SEGMENT_BYTES_MAX as usize / 2;
        let large = (6..10).map(|offset| (offset, 3 * DAY_MS, half));
        assert_eq!(take(&mut cutting, batch(large), 6), [(1, true), (2, true), (1, false)]);
        // One that is too large alone is a segment of its own.
        let huge = batch([(10, 3 * DAY_MS, 3 * half), (11, 3 * DAY_MS, 1)]);
        assert_eq!(take(&mut cutting, huge, 10), [(0, true), (1, true), (1, false)]);
    }

    #[test]
    fn a_segment_ends_in_time_with_or_without_messages_and_cuts_name_the_one_before() {
        let mut cutting = cutting();
        assert!(!cutting.is_due(3_599_999) && cutting.is_due(3_600_000));
        take(&mut cutting, batch([(0, 0, 1)]), 0);
        let first = cutting.cut("o", Edge { seq: 1, offset: 1 }, String::new(), 3_600_000);
        let after = cutting.after(&first, Vec::new());
        cutting.published(after);
        assert!(!cutting.is_due(3_600_001) && cutting.is_due(7_200_000));
        let silent = cutting.cut("o", Edge { seq: 1, offset: 1 }, String::new(), 7_200_000);
        assert!(first.follows(None) && silent.follows(Some(&first.name())));
        assert_eq!((silent.start, silent.number), (silent.end, 1));
        cutting.end();
        assert!(cutting.is_due(0));
        cutting.begin_anew(Edge { seq: 0, offset: 9 }, Vec::new());
        let anew = cutting.cut("p", Edge { seq: 2, offset: 11 }, String::new(), 0);
        assert!(anew.follows(Some(&silent.name())) && anew.start.offset == 9 && !cutting.is_due(0));
    }

    #[test]
    fn what_was_sealed_while_nobody_cut_is_the_beginning_of_a_segment_or_one_that_ends_at_once() {
        let mut fits = cutting();
        fits.catch_up(Some((SEGMENT_BYTES_MAX - 1, "1970-01-01".to_owned())));
        assert!(!fits.is_due(i64::MIN));
        assert_eq!(take(&mut fits, batch([(5, 0, 2)]), 5), [(0, true), (1, false)], "it counts");
        let mut more = cutting();
        more.catch_up(None);
        assert!(more.is_due(i64::MIN));
        let cut = more.cut("o", Edge { seq: 5, offset: 5 }, String::new(), 0);
        let after = more.after(&cut, Vec::new());
        assert_eq!(after.upto, Some(Upto { origin: "o".to_owned(), seq: 5 }));
        more.published(after);
        assert!(!more.is_due(i64::MIN));
        assert_eq!(more.progress_at("o", 7).upto, Some(Upto { origin: "o".to_owned(), seq: 7 }));
    }
}
