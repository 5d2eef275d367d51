//! Asking for replays, following and cancelling them: the settings side.

use std::collections::{BTreeMap, BTreeSet};

use audit_journal::{Bounds, Offset, Partition, ReadError, ReadLimit, Topic};
use audit_record::{Author, Timestamp};
use uuid::Uuid;

use super::replay::{REPLAY_RUNS_MAX, REPLAY_RUNS_OF_ALL_MAX, REPLAYS_MAX, ReplayOrder, Run};
use super::settings::by_partition;
use super::{
    Endpoint, EndpointError, EndpointId, Endpoints, NewReplay, Redrive, ReplayProgress, ReplayState,
    ReplayView, Start,
};
use crate::attempt_log::{AttemptEntry, AttemptOutcome};
use crate::deliverer::GROUP;
use crate::document::{Document, Replay, Tally};
use crate::operational;

/// Most attempts, of all endpoints, that are looked through for failed deliveries.
const SCANNED_MAX: u64 = 2_000_000;

/// What is read of them at a time.
const SCANNED: ReadLimit = ReadLimit { messages: 2_048, bytes: 2 * 1024 * 1024 };

/// One message, to see when it was appended.
const ONE: ReadLimit = ReadLimit { messages: 1, bytes: 1 };

/// How far the clocks of those who keep the log may be apart: an attempt may seem older than its record by so much.
const CLOCKS_APART_MS: i64 = 60_000;

/// How often an order is written anew because the endpoint was changed meanwhile.
const WRITES_MAX: usize = 4;

/// Where a replay stands in one partition, as its document tells; absent: through, or not yet begun.
type Documents = Vec<(Partition, Document)>;

impl Endpoints {
    /// Delivers a period again to an endpoint, at its rate and beside everything else. Durable when it
    /// returns: every partition takes it up, whoever owns it and whenever.
    pub async fn replay(
        &self,
        id: &EndpointId,
        new: NewReplay,
        author: Author,
    ) -> Result<ReplayView, EndpointError> {
        let period = self.period(new).await?;
        let (runs, by_filter) = if new.only_failed {
            (self.failed(id, new.from, &period).await?, false)
        } else {
            (period.into_iter().map(|run| vec![run]).collect(), true)
        };
        self.order(id, runs, by_filter, author).await
    }

    /// Delivers to `to` what of the period was given up at `of` and not delivered there since.
    pub async fn replay_failed_of(
        &self,
        of: &EndpointId,
        to: &EndpointId,
        new: NewReplay,
        author: Author,
    ) -> Result<ReplayView, EndpointError> {
        self.find(to)?;
        let period = self.period(new).await?;
        let runs = self.failed(of, new.from, &period).await?;
        self.order(to, runs, false, author).await
    }

    /// Delivers again what was given up and not delivered since, by the log of attempts, and is not on its way in
    /// another replay of such. Delivered once more, or given up once more, it is told of as the first time.
    pub async fn redrive(
        &self,
        id: &EndpointId,
        what: Redrive,
        author: Author,
    ) -> Result<ReplayView, EndpointError> {
        let runs = match what {
            Redrive::Records(positions) => {
                let chosen: BTreeSet<_> = positions.iter().map(|p| (p.partition, p.offset)).collect();
                let partitions = self.journal.identity().partitions;
                if chosen.len() > REPLAY_RUNS_MAX || chosen.iter().any(|(p, _)| *p >= partitions) {
                    return Err(EndpointError::Replay(format!(
                        "name at most {REPLAY_RUNS_MAX} records, in partitions 0 to {}",
                        partitions.saturating_sub(1)
                    )));
                }
                let given_up = match self.first_appended(&chosen).await? {
                    Some(first) => {
                        let is_chosen =
                            |partition: Partition, offset: Offset| chosen.contains(&(partition, offset));
                        self.given_up(id, Some(Start::At(first)), is_chosen).await?
                    }
                    // Retention has removed all of them.
                    None => BTreeSet::new(),
                };
                runs(given_up.into_iter())
            }
            Redrive::All => {
                let from = self.resolve(Start::Earliest).await?;
                let to = self.resolve(Start::Now).await?;
                let all: Vec<Run> = from.iter().zip(&to).map(|(&from, &to)| Run { from, to }).collect();
                self.failed(id, None, &all).await?
            }
        };
        self.order(id, runs, false, author).await
    }

    /// Ends a replay where it is. What of it waits to be tried again is forgotten.
    pub async fn cancel_replay(
        &self,
        id: &EndpointId,
        replay: &str,
        author: Author,
    ) -> Result<(), EndpointError> {
        for _ in 0..WRITES_MAX {
            let (mut endpoint, version) = self.find(id)?;
            let before = endpoint.replays.len();
            endpoint.replays.retain(|order| order.id != replay);
            if endpoint.replays.len() == before {
                return Err(EndpointError::Replay(format!("there is no replay {replay:?} under way")));
            }
            match self.write(&endpoint, version, "updated", author.clone()).await {
                Err(EndpointError::Conflict) => {}
                outcome => return outcome.map(|_| ()),
            }
        }
        Err(EndpointError::Conflict)
    }

    /// The replays of an endpoint that are not known to be through, and the last of those that are.
    pub async fn replays(&self, id: &EndpointId) -> Result<Vec<ReplayView>, EndpointError> {
        let (endpoint, _) = self.find(id)?;
        let documents = self.documents_of(id).await?;
        Ok(endpoint.replays.iter().map(|order| view(&endpoint, order, &documents)).collect())
    }

    /// What a replay's edges mean now, by partition.
    async fn period(&self, new: NewReplay) -> Result<Vec<Run>, EndpointError> {
        let from = self.resolve(new.from.unwrap_or(Start::Earliest)).await?;
        let to = self.resolve(new.to.unwrap_or(Start::Now)).await?;
        Ok(from.iter().zip(&to).map(|(&from, &to)| Run { from, to: to.max(from) }).collect())
    }

    async fn order(
        &self,
        id: &EndpointId,
        runs: Vec<Vec<Run>>,
        by_filter: bool,
        author: Author,
    ) -> Result<ReplayView, EndpointError> {
        if is_empty(&runs) {
            let why = if by_filter {
                "nothing stands on the log there"
            } else {
                "nothing was given up there, or all of it was delivered since"
            };
            return Err(EndpointError::Replay(why.to_owned()));
        }
        let replay = format!("rp_{}", Uuid::now_v7().simple());
        for _ in 0..WRITES_MAX {
            let (mut endpoint, version) = self.find(id)?;
            let documents = self.documents_of(id).await?;
            // Of two that ask at once, the second finds its version taken, and comes by here again.
            let runs = if by_filter { runs.clone() } else { not_on_their_way(&runs, &endpoint, &documents) };
            if is_empty(&runs) {
                return Err(EndpointError::Replay(
                    "all of it is on its way in a replay already: wait for that one, or cancel it".to_owned(),
                ));
            }
            if !has_room(&endpoint, &runs) {
                // What every partition is through with need not stand here any longer.
                let through: BTreeSet<u64> = (endpoint.replays.iter())
                    .filter(|order| view(&endpoint, order, &documents).state == ReplayState::Done)
                    .map(|order| order.number)
                    .collect();
                endpoint.replays.retain(|order| !through.contains(&order.number));
            }
            if !has_room(&endpoint, &runs) {
                return Err(EndpointError::Replay(format!(
                    "{} replays are under way, and this would be more than the endpoint may have: wait for one, or cancel one",
                    endpoint.replays.len()
                )));
            }
            endpoint.last_replay += 1;
            endpoint.replays.push(ReplayOrder {
                number: endpoint.last_replay,
                id: replay.clone(),
                by_filter,
                runs,
                epoch: self.journal.identity().epoch,
                created_at: operational::now().to_string(),
            });
            // If we crash before this, nothing was ordered; after it, every owner of a partition, present
            // or future, reads the order with the settings and takes it up once.
            match self.write(&endpoint, version, "replayed", author.clone()).await {
                Err(EndpointError::Conflict) => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    let order = endpoint.replays.last().expect("it was pushed");
                    return Ok(view(&endpoint, order, &documents));
                }
            }
        }
        Err(EndpointError::Conflict)
    }

    /// What of `within` was given up and not delivered since, the oldest first, as much as one replay holds.
    async fn failed(
        &self,
        id: &EndpointId,
        since: Option<Start>,
        within: &[Run],
    ) -> Result<Vec<Vec<Run>>, EndpointError> {
        let is_within = |partition: Partition, offset: Offset| {
            within.get(partition as usize).is_some_and(|run| (run.from..run.to).contains(&offset))
        };
        let given_up = self.given_up(id, since, is_within).await?;
        Ok(runs(given_up.into_iter().take(REPLAY_RUNS_MAX)))
    }

    /// When the first of these records was appended, or a little earlier; `None` where none of them is kept.
    async fn first_appended(
        &self,
        chosen: &BTreeSet<(Partition, Offset)>,
    ) -> Result<Option<Timestamp>, EndpointError> {
        let mut first_ms: Option<i64> = None;
        for Bounds { partition, start, end } in self.journal.bounds(Topic::Records).await? {
            let Some((_, offset)) = chosen.range((partition, start)..(partition, end)).next().copied() else {
                continue;
            };
            let range = self.journal.read(Topic::Records, partition, offset, ONE).await?;
            let appended_ms = range.messages.first().map(|message| message.appended_at_ms);
            first_ms = first_ms.into_iter().chain(appended_ms).min();
        }
        let micros = first_ms.map(|first_ms| (first_ms - CLOCKS_APART_MS).max(0).saturating_mul(1_000));
        Ok(micros.and_then(|micros| Timestamp::from_micros(micros).ok()))
    }

    /// What was given up and not delivered since, of what is wanted, by the log of attempts.
    async fn given_up(
        &self,
        id: &EndpointId,
        since: Option<Start>,
        is_wanted: impl Fn(Partition, Offset) -> bool,
    ) -> Result<BTreeSet<(Partition, Offset)>, EndpointError> {
        let since = match since {
            Some(Start::At(time)) => self.journal.offsets_at(Topic::Deliveries, time).await?,
            _ => Vec::new(),
        };
        let since = by_partition(since.iter().map(|p| (p.partition, p.offset)));
        let mut given_up = BTreeSet::new();
        let mut scanned = 0;
        for Bounds { partition, start, end } in self.journal.bounds(Topic::Deliveries).await? {
            let mut next = since.get(partition as usize).copied().unwrap_or(start).max(start);
            while next < end {
                let range = self.journal.read(Topic::Deliveries, partition, next, SCANNED).await?;
                scanned += range.messages.len() as u64;
                if scanned > SCANNED_MAX {
                    return Err(EndpointError::Replay(format!(
                        "more than {SCANNED_MAX} attempts would have to be looked through: give a later `from`"
                    )));
                }
                if range.next <= next {
                    return Err(ReadError::Unavailable("nothing more comes of it".to_owned()).into());
                }
                next = range.next;
                let ours = range.messages.iter().filter(|message| message.key == id.as_str().as_bytes());
                for message in ours {
                    let entry = message.value.as_deref().and_then(|value| serde_json::from_slice(value).ok());
                    let Some(AttemptEntry { partition, offset, outcome, .. }) = entry else { continue };
                    match outcome {
                        AttemptOutcome::DeadLettered if is_wanted(partition, offset) => {
                            _ = given_up.insert((partition, offset));
                        }
                        AttemptOutcome::Delivered => _ = given_up.remove(&(partition, offset)),
                        _ => {}
                    }
                }
            }
        }
        Ok(given_up)
    }

    async fn documents_of(&self, id: &EndpointId) -> Result<Documents, EndpointError> {
        let documents = self.journal.documents(GROUP).await?;
        let ours = documents.into_iter().filter(|(_, key, _)| key == id.as_str().as_bytes());
        // One that can't be read is of a later release, and tells us nothing.
        Ok(ours.filter_map(|(partition, _, value)| Some((partition, Document::read(&value).ok()?))).collect())
    }
}

/// Whether the endpoint may have another replay, of these runs.
fn has_room(endpoint: &Endpoint, another: &[Vec<Run>]) -> bool {
    let there = endpoint.replays.iter().flat_map(|order| &order.runs);
    let runs: usize = there.chain(another).map(Vec::len).sum();
    endpoint.replays.len() < REPLAYS_MAX && runs <= REPLAY_RUNS_OF_ALL_MAX
}

/// Offsets in order as runs, by partition.
fn runs(positions: impl Iterator<Item = (Partition, Offset)>) -> Vec<Vec<Run>> {
    let mut by_partition: BTreeMap<Partition, Vec<Run>> = BTreeMap::new();
    for (partition, offset) in positions {
        let runs = by_partition.entry(partition).or_default();
        match runs.last_mut().filter(|run| run.to == offset) {
            Some(run) => run.to = offset + 1,
            None => runs.push(Run { from: offset, to: offset + 1 }),
        }
    }
    let partitions = by_partition.last_key_value().map_or(0, |(partition, _)| *partition as usize + 1);
    let mut all = vec![Vec::new(); partitions];
    for (partition, runs) in by_partition {
        all[partition as usize] = runs;
    }
    all
}

fn is_empty(runs: &[Vec<Run>]) -> bool {
    runs.iter().flatten().all(|run| run.from >= run.to)
}

/// What of `runs` no other replay of single records is about to deliver.
fn not_on_their_way(runs: &[Vec<Run>], endpoint: &Endpoint, documents: &Documents) -> Vec<Vec<Run>> {
    let left = |(partition, runs): (usize, &Vec<Run>)| {
        let partition = partition as Partition;
        let others = endpoint.replays.iter().filter(|order| {
            !order.by_filter && Progress::of(endpoint, order, partition, documents).is_under_way()
        });
        without(runs, others.flat_map(|order| order.runs_in(partition)).copied().collect())
    };
    runs.iter().enumerate().map(left).collect()
}

/// What of `runs`, which are in order and disjoint, is in none of `others`.
fn without(runs: &[Run], mut others: Vec<Run>) -> Vec<Run> {
    others.sort_unstable_by_key(|other| other.from);
    let mut others = others.into_iter().peekable();
    let (mut left, mut covered_to) = (Vec::new(), 0);
    for run in runs {
        let mut from = run.from;
        while from < run.to {
            while let Some(other) = others.next_if(|other| other.from <= from) {
                covered_to = other.to.max(covered_to);
            }
            if covered_to > from {
                from = covered_to;
                continue;
            }
            let to = others.peek().map_or(run.to, |other| other.from.min(run.to));
            left.push(Run { from, to });
            from = to;
        }
    }
    left
}

/// How far a replay is in one partition.
struct Progress<'a> {
    is_taken_up: bool,
    /// There until everything of it is settled.
    track: Option<&'a Replay>,
    /// What came of it.
    tally: Tally,
}

impl<'a> Progress<'a> {
    fn of(endpoint: &Endpoint, order: &ReplayOrder, partition: Partition, documents: &'a Documents) -> Self {
        let document = (documents.iter())
            .find(|(of, document)| *of == partition && document.incarnation == endpoint.incarnation)
            .map(|(_, document)| document);
        let track = document
            .and_then(|document| document.replays.iter().find(|replay| replay.number == order.number));
        let through = document
            .and_then(|document| document.through.iter().find(|through| through.number == order.number));
        Self {
            is_taken_up: document.is_some_and(|document| document.replayed >= order.number),
            track,
            tally: track
                .map(|track| track.tally)
                .or(through.map(|through| through.tally))
                .unwrap_or_default(),
        }
    }

    fn is_under_way(&self) -> bool {
        self.track.is_some() || !self.is_taken_up
    }
}

fn view(endpoint: &Endpoint, order: &ReplayOrder, documents: &Documents) -> ReplayView {
    let mut view = ReplayView {
        id: order.id.clone(),
        created_at: order.created_at.clone(),
        state: ReplayState::Done,
        total: 0,
        left: 0,
        pending: 0,
        sent: 0,
        skipped: 0,
        given_up: 0,
        partitions: Vec::new(),
    };
    for (partition, runs) in order.runs.iter().enumerate() {
        let partition = partition as Partition;
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { continue };
        let progress = Progress::of(endpoint, order, partition, documents);
        let next = match progress.track {
            Some(track) => track.next,
            None if progress.is_taken_up => last.to,
            None => first.from,
        };
        if progress.is_under_way() {
            view.state = ReplayState::Running;
        }
        view.total += order.offsets_from(partition, 0);
        view.left += order.offsets_from(partition, next);
        view.pending += progress.track.map_or(0, |track| track.pending.len() as u64);
        view.sent += progress.tally.sent;
        view.skipped += progress.tally.skipped;
        view.given_up += progress.tally.given_up;
        view.partitions.push(ReplayProgress { partition, next, to: last.to });
    }
    view
}

#[cfg(test)]
mod tests {
    use super::{Run, runs, without};

    #[test]
    fn neighbours_become_one_run_and_partitions_between_are_empty() {
        let positions = [(0, 3), (0, 4), (0, 6), (2, 1)];
        let run = |from, to| Run { from, to };
        assert_eq!(runs(positions.into_iter()), [vec![run(3, 5), run(6, 7)], vec![], vec![run(1, 2)]]);
    }

    #[test]
    fn of_runs_what_is_in_others_is_left_out_however_these_overlap() {
        let of = |runs: &[(u64, u64)]| runs.iter().map(|&(from, to)| Run { from, to }).collect::<Vec<_>>();
        let left = |runs: &[(u64, u64)], others: &[(u64, u64)]| without(&of(runs), of(others));
        assert_eq!(left(&[(2, 8), (10, 12)], &[]), of(&[(2, 8), (10, 12)]));
        assert_eq!(left(&[(2, 8), (10, 12)], &[(4, 5), (7, 11)]), of(&[(2, 4), (5, 7), (11, 12)]));
        assert_eq!(left(&[(2, 8), (10, 12)], &[(6, 7), (0, 9), (1, 3)]), of(&[(10, 12)]));
        assert_eq!(left(&[(2, 8), (10, 12)], &[(0, 100)]), []);
    }
}
