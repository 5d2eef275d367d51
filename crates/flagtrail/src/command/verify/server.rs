//! A running server, by what it serves as C2SP tlog-tiles: whether its trees are those that were signed, and whether they
//! begin with those of checkpoints that were kept.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use audit_proof::{
    Checkpoint, Frontier, NodeHash, ProofError, Prover, SignedNote, TILE_WIDTH, Tile, TileId, TileSource,
    leaf_hash, read_bundle, verify_consistency,
};
use audit_verify::{Finding, FindingKind, Report, Trust};

use crate::client::Client;

/// Most rounds of fetching tiles for one proof: each round brings at least one, and a proof takes a few a level.
const ROUNDS_MAX: usize = 4_096;

/// Checks every partition that the server has a checkpoint of.
pub(super) async fn check(client: &Client, trust: &Trust, leaves: bool) -> Result<Report> {
    let mut report = Report::default();
    let listed = client.get("/v1/checkpoints").await?;
    let listed = listed["checkpoints"].as_array().context("the server lists no checkpoints")?;
    if listed.is_empty() {
        report
            .not_covered
            .push("anything: the server has no checkpoint yet that its archive bears out".to_owned());
    }
    let mut origins = Vec::new();
    for partition in listed.iter().filter_map(|view| view["partition"].as_u64()) {
        let log = Log { client, partition };
        let place = format!("/tlog/{partition}");
        let note = client.get_bytes(&format!("{place}/checkpoint")).await?;
        let checkpoint = match opened(&note, trust, &mut report, &place) {
            Ok(checkpoint) => checkpoint,
            Err(problem) => {
                find(&mut report, &place, problem);
                continue;
            }
        };
        // flagtrail/<deployment>/<topic>/<partition>/<epoch>
        if checkpoint.origin.split('/').nth(3) != Some(partition.to_string().as_str()) {
            let problem = format!("shows the tree of {} as that of partition {partition}", checkpoint.origin);
            find(&mut report, &place, problem);
            continue;
        }
        log.begins_with_what_was_kept(&checkpoint, trust, &mut report).await?;
        if leaves {
            log.grows_from_its_leaves(&checkpoint, &mut report).await?;
        }
        origins.push(checkpoint.origin);
    }
    for kept in &trust.kept {
        let origin = Checkpoint::parse(kept.note.text()).map(|checkpoint| checkpoint.origin);
        match origin {
            Err(_) => find(&mut report, &kept.name, "is no checkpoint".to_owned()),
            Ok(origin) if !origins.contains(&origin) => {
                let present = origins.iter().find(|present| is_of_one_partition(present, &origin));
                let problem = match present {
                    Some(present) => format!(
                        "is of {origin}, and the server shows {present}: that log was replaced since; an archive or an export of its time tells whether it was changed"
                    ),
                    None => format!("is of {origin}, of which the server has no checkpoint"),
                };
                report.findings.push(Finding { kind: FindingKind::Gap, file: kept.name.clone(), problem });
            }
            Ok(_) => {}
        }
    }
    if !leaves {
        report.not_covered.push(
            "whether the trees are made of the leaves that are served: --leaves fetches all of them"
                .to_owned(),
        );
    }
    if trust.kept.is_empty() {
        report.not_covered.push("whether another history was signed with the same key: give a checkpoint that you kept with --against".to_owned());
    }
    report.not_covered.push("whether a platform sent everything that happened in it".to_owned());
    Ok(report)
}

/// Whether two origins are of one partition's log, in whichever epochs.
fn is_of_one_partition(one: &str, other: &str) -> bool {
    let without_epoch = |origin: &str| origin.rsplit_once('/').map(|(log, _)| log.to_owned());
    without_epoch(one).is_some() && without_epoch(one) == without_epoch(other)
}

fn find(report: &mut Report, file: &str, problem: String) {
    report.findings.push(Finding { kind: FindingKind::Damage, file: file.to_owned(), problem });
}

/// The server's checkpoint, as far as the keys that were brought along vouch for it.
fn opened(bytes: &[u8], trust: &Trust, report: &mut Report, place: &str) -> Result<Checkpoint, String> {
    let note = SignedNote::parse(bytes).map_err(|error| format!("its checkpoint: {error}"))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| format!("its checkpoint: {error}"))?;
    if trust.keys.is_empty() {
        report.asserted.push(format!(
            "that the checkpoint of {} is the log's: no key was given (--key)",
            checkpoint.origin
        ));
        return Ok(checkpoint);
    }
    let (checkpoint, _) = Checkpoint::open(&note, &checkpoint.origin, &trust.keys)
        .map_err(|error| format!("its checkpoint is not vouched for: {error}"))?;
    report.proven.push(format!(
        "{place} shows a checkpoint of {} with {} leaves that the log's key has signed",
        checkpoint.origin, checkpoint.size
    ));
    Ok(checkpoint)
}

/// One partition's log on the server.
struct Log<'l> {
    client: &'l Client,
    partition: u64,
}

impl Log<'_> {
    /// Whether the tree is the continuation of those of kept checkpoints.
    async fn begins_with_what_was_kept(
        &self,
        now: &Checkpoint,
        trust: &Trust,
        report: &mut Report,
    ) -> Result<()> {
        let place = format!("/tlog/{}", self.partition);
        for kept in &trust.kept {
            let Ok(before) = Checkpoint::parse(kept.note.text()) else { continue };
            if before.origin != now.origin {
                continue;
            }
            if !trust.keys.is_empty()
                && let Err(error) = Checkpoint::open(&kept.note, &now.origin, &trust.keys)
            {
                find(report, &kept.name, format!("is not one that the log's keys vouch for: {error}"));
                continue;
            }
            if before.size > now.size {
                let problem = format!(
                    "the log was truncated: {} covers {} leaves, the server's checkpoint {}",
                    kept.name, before.size, now.size
                );
                find(report, &place, problem);
                continue;
            }
            let proof = self.consistency(before.size, now.size).await?;
            match verify_consistency(before.size, now.size, &proof, &before.root, &now.root) {
                Ok(()) => report.proven.push(format!(
                    "nothing of the first {} leaves of {} has changed since {} was signed",
                    before.size, now.origin, kept.name
                )),
                Err(error) => {
                    let problem = format!(
                        "is a second history, or its tiles are wrong: its tree does not begin with the one that {} signs ({error})",
                        kept.name
                    );
                    find(report, &place, problem);
                }
            }
        }
        Ok(())
    }

    /// The proof that the tree of `older` leaves is the beginning of that of `newer`, from the tiles that it takes.
    async fn consistency(&self, older: u64, newer: u64) -> Result<Vec<NodeHash>> {
        let mut tiles = Fetched::default();
        for _ in 0..ROUNDS_MAX {
            let proof = Prover::new(&mut tiles, newer).consistency(older);
            match proof {
                Ok(proof) => return Ok(proof),
                Err(ProofError::Source(Wanted { id, width })) => {
                    let path = format!("/tlog/{}/tile/{}", self.partition, id.path(width));
                    let bytes = self.client.get_bytes(&path).await?;
                    let tile = Tile::from_bytes(0, &bytes).with_context(|| format!("{path} is no tile"))?;
                    ensure!(tile.width() == width, "{path} has {} hashes", tile.width());
                    tiles.0.insert(id, tile);
                }
                Err(error) => {
                    anyhow::bail!("/tlog/{}: there is no proof: {}", self.partition, reason(&error))
                }
            }
        }
        anyhow::bail!("/tlog/{}: a proof takes more tiles than there can be", self.partition)
    }

    /// Grows the tree from all leaves that are served.
    async fn grows_from_its_leaves(&self, now: &Checkpoint, report: &mut Report) -> Result<()> {
        let place = format!("/tlog/{}/tile/entries", self.partition);
        let mut tree = Frontier::new();
        while tree.size() < now.size {
            let id = TileId { level: 0, index: tree.size() / TILE_WIDTH as u64 };
            let width = id.width(now.size);
            let path = id.path(width);
            let path = path.split_once('/').map_or("", |(_, index)| index);
            let bundle = self.client.get_bytes(&format!("{place}/{path}")).await?;
            let entries = read_bundle(&bundle).filter(|entries| entries.len() == width);
            let entries =
                entries.with_context(|| format!("{place}/{path} is not a bundle of {width} entries"))?;
            entries.iter().for_each(|entry| tree.append(leaf_hash(entry), |_, _| {}));
        }
        if tree.root() == now.root {
            report
                .proven
                .push(format!("all {} leaves of {} lead to the root that was signed", now.size, now.origin));
        } else {
            find(
                report,
                &place,
                "its leaves do not lead to the root that was signed: one was altered".to_owned(),
            );
        }
        Ok(())
    }
}

fn reason(error: &ProofError<Wanted>) -> String {
    match error {
        ProofError::Source(Wanted { id, .. }) => format!("tile {id:?} is missing"),
        ProofError::NotInTree { size, asked } => format!("a tree of {size} leaves has no {asked}"),
        ProofError::NotKept { level, index } => {
            format!("hash {index} of the tiles of level {level} is not kept")
        }
    }
}

/// Tiles that were fetched.
#[derive(Default)]
struct Fetched(HashMap<TileId, Tile>);

/// A tile that is to be fetched first.
#[derive(Debug)]
struct Wanted {
    id: TileId,
    width: usize,
}

impl TileSource for &mut Fetched {
    type Error = Wanted;

    fn tile(&mut self, id: TileId, width: usize) -> Result<Tile, Wanted> {
        self.0.get(&id).cloned().ok_or(Wanted { id, width })
    }
}

#[cfg(test)]
mod tests {
    use super::is_of_one_partition;

    #[test]
    fn the_logs_of_a_partition_are_told_from_those_of_another_by_all_but_their_epochs() {
        let is = |other| is_of_one_partition("flagtrail/d/records/3/0", other);
        assert!(is("flagtrail/d/records/3/1795219200"));
        assert!(!is("flagtrail/d/records/13/0") && !is("flagtrail/e/records/3/0") && !is("nonsense"));
    }
}
