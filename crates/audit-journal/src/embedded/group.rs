//! A group of owners within the process: who owns which partition, and how they hand them over.
//!
//! One task for each group does one change after the other: members that join or leave, and after each
//! the partitions that change hands, all revoked first, then claimed for their new owners.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::owning::{Claim, ClaimError, Claimed, Release};
use super::shared::Shared;
use super::writer::Job;
use crate::position::Partition;
use crate::topic::Topic;

/// How long an owner may take to settle what it has in hand when a partition is revoked. Afterwards its
/// commits are refused.
pub(crate) const REVOKE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long the group waits before it claims again for an owner when the file could not be written.
const CLAIM_RETRY_AFTER: Duration = Duration::from_millis(500);

/// Changes that wait for the group's task.
pub(crate) const CHANGES_MAX: usize = 64;

/// Orders that wait for a member's task: a revocation and an assignment of every partition that a log may
/// have.
pub(crate) const ORDERS_MAX: usize = 512;

/// What happens to a group.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new owner.
    Joined(Member),
    /// An owner went: in good order, with somebody who waits for it, or it was just dropped.
    Left { id: u64, waiting: Option<oneshot::Sender<()>> },
    /// The log is closed: everybody gives up what they own.
    Close { waiting: oneshot::Sender<()> },
}

/// An owner, as the group sees it.
#[derive(Debug)]
pub(crate) struct Member {
    /// Rises with every member of the process.
    pub(crate) id: u64,
    /// To its feeding task.
    pub(crate) orders: mpsc::Sender<Order>,
    /// Whether its owner dropped it.
    pub(crate) dropped: CancellationToken,
}

/// What the group tells a member.
#[derive(Debug)]
pub(crate) enum Order {
    Assign { partition: Partition, claimed: Claimed },
    Revoke { partition: Partition, done: oneshot::Sender<()> },
}

/// Who owns a partition since when.
#[derive(Clone, Copy, Debug)]
struct Holding {
    member: u64,
    generation: u64,
}

/// The group's task.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) shared: Arc<Shared>,
    pub(crate) changes: mpsc::Receiver<Change>,
    members: Vec<Member>,
    holdings: HashMap<Partition, Holding>,
}

impl Group {
    pub(crate) fn new(name: String, shared: Arc<Shared>, changes: mpsc::Receiver<Change>) -> Self {
        Self { name, shared, changes, members: Vec::new(), holdings: HashMap::new() }
    }

    /// Runs until the log is closed or dropped.
    pub(crate) async fn run(mut self) {
        let closed = self.shared.closed.clone();
        while let Some(change) = tokio::select! {
            () = closed.cancelled() => None,
            change = self.changes.recv() => change,
        } {
            match change {
                Change::Joined(member) => {
                    self.members.push(member);
                    self.share_out().await;
                }
                Change::Left { id, waiting } => {
                    self.members.retain(|member| member.id != id);
                    self.release_all_of(id, waiting.is_some()).await;
                    // Somebody who waits is told only now: the mark is durable.
                    drop(waiting);
                    self.share_out().await;
                }
                Change::Close { waiting } => {
                    let partitions: Vec<Partition> = self.holdings.keys().copied().collect();
                    self.revoke(partitions).await;
                    drop(waiting);
                    return;
                }
            }
        }
    }

    /// Gives every partition to the member whose turn it is, in the order in which they joined: as even
    /// as whole partitions allow. What stays where it is goes on undisturbed.
    async fn share_out(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let wanted =
            |partition: Partition, members: &[Member]| members[partition as usize % members.len()].id;
        let partitions = self.shared.tables.of(Topic::Records).len() as Partition;
        let moving: Vec<Partition> = (0..partitions)
            .filter(|partition| {
                self.holdings
                    .get(partition)
                    .is_some_and(|held| held.member != wanted(*partition, &self.members))
            })
            .collect();
        self.revoke(moving).await;
        for partition in 0..partitions {
            if self.holdings.contains_key(&partition) {
                continue;
            }
            let id = wanted(partition, &self.members);
            let claimed = match self.claim(partition).await {
                Claiming::Claimed(claimed) => claimed,
                Claiming::Refused => continue,
                Claiming::Closed => return,
            };
            let generation = claimed.generation;
            self.holdings.insert(partition, Holding { member: id, generation });
            if let Some(member) = self.members.iter().find(|member| member.id == id) {
                // A member that is gone by now says so with the next change.
                let _ =
                    timeout(REVOKE_WAIT_MAX, member.orders.send(Order::Assign { partition, claimed })).await;
            }
        }
    }

    /// Asks the owners of these partitions to give them up, all at once, and waits for all together.
    async fn revoke(&mut self, partitions: Vec<Partition>) {
        let mut waiting = Vec::new();
        for partition in partitions {
            let Some(held) = self.holdings.remove(&partition) else { continue };
            let (done, through) = oneshot::channel();
            let member = self.members.iter().find(|member| member.id == held.member);
            if let Some(member) = member {
                let _ = timeout(REVOKE_WAIT_MAX, member.orders.send(Order::Revoke { partition, done })).await;
                waiting.push((partition, held, member.dropped.clone(), through));
            }
        }
        let deadline = tokio::time::Instant::now() + REVOKE_WAIT_MAX;
        for (partition, held, dropped, through) in waiting {
            let is_through = tokio::time::timeout_at(deadline, through).await.is_ok();
            // A member that was dropped dropped `done`, too, wherever that was on its way.
            let clean = is_through && !dropped.is_cancelled();
            self.release(partition, held.generation, clean).await;
        }
    }

    async fn release_all_of(&mut self, member: u64, clean: bool) {
        let held: Vec<(Partition, Holding)> = (self.holdings.iter())
            .filter(|(_, held)| held.member == member)
            .map(|(partition, held)| (*partition, *held))
            .collect();
        for (partition, held) in held {
            self.holdings.remove(&partition);
            self.release(partition, held.generation, clean).await;
        }
    }

    /// Ends a generation. When that can't be written, the next claim begins a new one all the same, and
    /// its owner takes this one for a crash.
    async fn release(&self, partition: Partition, generation: u64, clean: bool) {
        let release = Release { group: self.name.clone(), partition, generation, clean };
        let (answer, released) = oneshot::channel();
        if self.shared.queue.push(Job::Release { release, answer }, 0).await.is_ok() {
            let _ = timeout(REVOKE_WAIT_MAX, released).await;
        }
    }

    /// Claims a partition, trying again while the file can't be written.
    async fn claim(&self, partition: Partition) -> Claiming {
        loop {
            let claim = Claim { group: self.name.clone(), partition };
            let (answer, claimed) = oneshot::channel();
            if self.shared.queue.push(Job::Claim { claim, answer }, 0).await.is_err() {
                return Claiming::Closed;
            }
            match claimed.await {
                Ok(Ok(claimed)) => return Claiming::Claimed(claimed),
                Ok(Err(ClaimError::NotWritten(error))) => {
                    tracing::warn!(error, group = self.name, partition, "a partition can't be claimed now");
                    tokio::time::sleep(CLAIM_RETRY_AFTER).await;
                }
                Ok(Err(ClaimError::Refused(error))) => {
                    tracing::error!(error, group = self.name, partition, "a partition is left without owner");
                    return Claiming::Refused;
                }
                Err(_) => return Claiming::Closed,
            }
        }
    }
}

/// What became of a claim.
enum Claiming {
    Claimed(Claimed),
    Refused,
    Closed,
}
