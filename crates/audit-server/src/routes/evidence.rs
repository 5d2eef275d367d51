//! Proofs: checkpoints, the proof of one record, and each partition's tree as C2SP tlog-tiles.
//!
//! What is served was signed by the sealer and is borne out by this machine's archive: a checkpoint whose root is
//! not that of the archive's own tree is not passed on.

mod heads;

use std::collections::BTreeSet;

use audit_archive::{EvidenceError, Inclusion, Reader, TreeHead};
use audit_journal::{Bounds, Partition, Topic};
use audit_proof::{Checkpoint, SignedNote, TileId, TlogProof};
use audit_record::Timestamp;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::heads::sealed_heads;
use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::readings::{ReadKind, note};
use crate::routes::records::{ask_archive, may_read, on_archive, refused};

/// Seconds after which a record that is not sealed yet may be.
const SEALED_SOON_S: u32 = 30;

/// What never changes may be kept for long.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("max-age=31536000, immutable");

/// A checkpoint changes.
const FRESH: HeaderValue = HeaderValue::from_static("max-age=5");

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_checkpoints))
        .routes(routes!(prove_record))
        .routes(routes!(tlog_checkpoint))
        .routes(routes!(tlog_tile))
}

/// A partition's latest checkpoint.
#[derive(Serialize, ToSchema)]
struct CheckpointView {
    /// The partition.
    partition: u32,
    /// Which log it is of.
    origin: String,
    /// How many records it covers: those numbered 0 to size - 1.
    size: u64,
    /// The root of their tree, in base64.
    root: String,
    /// The signed note.
    note: String,
    /// Since when it is anchored outside, and by whom; absent where no known witness has cosigned any checkpoint of the
    /// partition: then only what was kept elsewhere shows that the log has no second history.
    #[serde(skip_serializing_if = "Option::is_none")]
    anchored: Option<Anchored>,
}

/// The first checkpoint of a partition that outside witnesses cosigned.
#[derive(Serialize, ToSchema)]
struct Anchored {
    /// How many records it covers.
    size: u64,
    /// Who cosigned it, and when (seconds since 1970).
    #[schema(value_type = Vec<Object>)]
    by: Box<RawValue>,
}

/// Since when a partition is anchored.
fn anchored(reader: &Reader, partition: Partition) -> Result<Option<Anchored>, Problem> {
    let first = reader.first_witnessed(partition).map_err(refused)?;
    let found = first.and_then(|row| Some((row.size?, row.witnesses?)));
    Ok(found.and_then(|(size, by)| Some(Anchored { size, by: RawValue::from_string(by).ok()? })))
}

/// The latest checkpoints.
#[derive(Serialize, ToSchema)]
struct Checkpoints {
    /// One a partition that was sealed, by partition.
    checkpoints: Vec<CheckpointView>,
    /// The other partitions, as far as there are records in them: not sealed yet, or this archive bears out none of their
    /// checkpoints that are at hand. One that the archive has not all of is among them.
    unsealed: Vec<u32>,
}

/// Whether the archive has all of a partition, and that is nothing.
fn is_empty(reader: &Reader, epoch: u32, log: &Bounds) -> Result<bool, Problem> {
    if !reader.is_level(epoch, std::slice::from_ref(log)).map_err(refused)? {
        return Ok(false);
    }
    match reader.trees(log.partition) {
        Ok(trees) => Ok(trees.last().is_none_or(|newest| newest.size == 0)),
        Err(EvidenceError::NoSuchPartition(_)) => Ok(log.end == 0),
        Err(error) => Err(not_shown(error)),
    }
}

/// The proof of one record.
#[derive(Serialize, ToSchema)]
struct ProofView {
    /// The record, byte for byte as it stands on the log; of one that was erased, what is left of it.
    #[schema(value_type = Object)]
    record: Box<RawValue>,
    /// What stands before these bytes where they are hashed, in base64; empty of one that was erased.
    salt: String,
    /// Whether its body was erased: then the proof is of its header alone.
    erased: bool,
    /// The leaf's header: its `body` is the hash of salt and record, in base64.
    leaf: String,
    /// The proof that this header is in the log, in the form of C2SP tlog-proof.
    proof: String,
}

/// Which witnesses vouch for how much of the log, and since when; `None` where none does.
pub(crate) fn anchored_in_words(reader: &Reader, partitions: u32) -> Result<Option<String>, Problem> {
    let (mut names, mut since_s, mut count) = (BTreeSet::new(), 0, 0);
    for partition in 0..partitions {
        let Some(first) = reader.first_witnessed(partition).map_err(refused)? else { continue };
        let by: Vec<WitnessedBy> =
            first.witnesses.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        since_s = since_s.max(by.iter().map(|by| by.at_s).min().unwrap_or(0));
        names.extend(by.into_iter().map(|by| by.name));
        count += 1;
    }
    if count == 0 {
        return Ok(None);
    }
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let since = Timestamp::from_micros(since_s.saturating_mul(1_000_000))
        .map_or_else(|_| "?".to_owned(), |at| at.to_string());
    Ok(Some(format!(
        "Outside witnesses ({names}) cosigned checkpoints of {count} of {partitions} partitions, of all of these since {since}."
    )))
}

/// A witness as the archive names it.
#[derive(Deserialize)]
struct WitnessedBy {
    name: String,
    at_s: i64,
}

/// The latest head that the archive bears out: of the tree that grows, or of the one that this leaf is in, which the
/// head then has to cover. After a new epoch heads of former trees are at hand, too.
fn borne_out(
    reader: &Reader,
    partition: Partition,
    heads: Vec<(Checkpoint, SignedNote)>,
    leaf: Option<&Inclusion>,
) -> Result<Option<(Checkpoint, SignedNote)>, EvidenceError> {
    let Some(origin_now) = heads.first().map(|(checkpoint, _)| checkpoint.origin.clone()) else {
        return Ok(None);
    };
    let mut former = reader.trees(partition)?;
    let Some(newest) = former.pop() else { return Ok(None) };
    let first_seq = leaf.map_or(newest.first_seq, |leaf| leaf.tree.first_seq);
    for (checkpoint, note) in heads {
        if leaf.is_some_and(|leaf| checkpoint.size <= leaf.index) {
            continue;
        }
        match reader.root_of(partition, first_seq, checkpoint.size) {
            Ok(root) if root == checkpoint.root => return Ok(Some((checkpoint, note))),
            // A former tree is not the one that is signed now, nor the other way round.
            Ok(_) if first_seq != newest.first_seq || checkpoint.origin != origin_now => {}
            Ok(_) if bears_out(reader, &former, &checkpoint) => {}
            Ok(_) => {
                tracing::error!(
                    partition,
                    size = checkpoint.size,
                    "the archive's tree is not the one that was signed: one of the two was altered"
                );
            }
            // The archive is not that far yet, or was taken up later than that.
            Err(EvidenceError::NotInTree { .. } | EvidenceError::Hole { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether one of these trees is the one that was signed.
fn bears_out(reader: &Reader, trees: &[TreeHead], signed: &Checkpoint) -> bool {
    let root = |tree: &TreeHead| reader.root_of(tree.partition, tree.first_seq, signed.size);
    trees.iter().any(|tree| root(tree).is_ok_and(|root| root == signed.root))
}

pub(crate) fn not_shown(error: EvidenceError) -> Problem {
    match error {
        EvidenceError::Query(error) => refused(error),
        EvidenceError::NoSuchPartition(_) | EvidenceError::NotInTree { .. } => {
            Problem::new(Kind::NotFound, error.to_string())
        }
        EvidenceError::Hole { .. } => {
            Problem::new(Kind::Unavailable, "the archive's tree has a hole").cause(error)
        }
    }
}

/// Whether a message stands before the checkpoint from which its tree was taken up.
fn is_before_tree(reader: &Reader, partition: Partition, seq: u64) -> Result<bool, EvidenceError> {
    let tree = reader.trees(partition)?.into_iter().rev().find(|tree| tree.first_seq <= seq);
    let Some(tree) = tree else { return Ok(false) };
    Ok(seq - tree.first_seq < reader.base_of(partition, tree.first_seq)?.size())
}

fn before_tree() -> Problem {
    let detail = "the record stands before the place where this archive's tree begins: a retention had removed what is left of it";
    Problem::new(Kind::NotFound, detail).hint("an archive that has the whole log proves it")
}

fn not_sealed() -> Problem {
    Problem::new(Kind::Unavailable, "no checkpoint covers it yet, or none that this archive bears out")
        .hint("the sealer signs one about once a minute (role seal)")
        .retry_after_s(SEALED_SOON_S)
}

/// Why a record has no proof: it is not sealed yet, or never will be again.
fn not_proven(reader: &Reader, leaf: &Inclusion) -> Result<Problem, EvidenceError> {
    let newest = reader.trees(leaf.tree.partition)?.pop();
    if newest.is_none_or(|newest| newest.first_seq == leaf.tree.first_seq) {
        return Ok(not_sealed());
    }
    let detail = "the record stood in a log that was replaced since: no checkpoint of that one is at hand that covers it";
    Ok(Problem::new(Kind::NotFound, detail)
        .hint("a proof or an export from before the new epoch still holds"))
}

/// List the latest checkpoints
///
/// Whoever keeps one finds out if anything before it is ever changed.
#[utoipa::path(
    get, path = "/v1/checkpoints", tag = "proofs",
    responses(
        (status = 200, body = Checkpoints),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn list_checkpoints(State(app): State<App>) -> Result<Json<Checkpoints>, Problem> {
    let log = app.journal().bounds(Topic::Records).await.map_err(|error| {
        Problem::new(Kind::Unavailable, "the log can't be read").retry_after_s(2).cause(error)
    })?;
    let (mut checkpoints, mut unsealed) = (Vec::new(), Vec::new());
    let identity = app.journal().identity();
    let epoch = identity.epoch;
    for partition in 0..identity.partitions {
        let log = log.iter().find(|log| log.partition == partition).copied();
        let heads = sealed_heads(&app, partition).await?;
        let found = on_archive(&app, move |reader| {
            let found = borne_out(reader, partition, heads, None).map_err(not_shown)?;
            let has_none = match &log {
                Some(log) if found.is_none() => is_empty(reader, epoch, log)?,
                _ => false,
            };
            Ok((found, anchored(reader, partition)?, has_none))
        });
        match found.await? {
            (Some((checkpoint, note)), anchored, _) => checkpoints.push(CheckpointView {
                partition,
                origin: checkpoint.origin,
                size: checkpoint.size,
                root: checkpoint.root.to_string(),
                note: note.to_string(),
                anchored,
            }),
            (None, _, false) => unsealed.push(partition),
            (None, _, true) => {}
        }
    }
    Ok(Json(Checkpoints { checkpoints, unsealed }))
}

/// Prove a record
///
/// That it is in the log, at its place, as it was when it was appended. 503 until the next checkpoint covers it; 404 for a
/// record of a log that was replaced, once no checkpoint of that one is at hand, and for one from before the tree of an
/// archive that was made after a retention.
#[utoipa::path(
    get, path = "/v1/proofs/{id}", tag = "proofs",
    params(("id" = String, Path, description = "The record's id")),
    responses(
        (status = 200, body = ProofView),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn prove_record(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<ProofView>, Problem> {
    let wanted = id.clone();
    let rows = ask_archive(&app, move |reader| reader.get(&wanted)).await?;
    let row = rows
        .into_iter()
        .find(|row| may_read(&caller, &row.json))
        .ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no record {id:?}")))?;
    let (partition, seq, erased) = (row.partition, row.seq, row.erased);
    let heads = sealed_heads(&app, partition).await?;
    let view = on_archive(&app, move |reader| {
        let whole = match reader.prove_inclusion(partition, seq, None) {
            Err(EvidenceError::Hole { .. })
                if is_before_tree(reader, partition, seq).map_err(not_shown)? =>
            {
                return Err(before_tree());
            }
            shown => shown.map_err(not_shown)?,
        };
        let Some((checkpoint, note)) =
            borne_out(reader, partition, heads, Some(&whole)).map_err(not_shown)?
        else {
            return Err(not_proven(reader, &whole).unwrap_or_else(not_shown));
        };
        let shown = reader.prove_inclusion(partition, seq, Some(checkpoint.size)).map_err(not_shown)?;
        let proof = TlogProof {
            extra: Some(shown.entry.clone()),
            index: shown.index,
            hashes: shown.hashes,
            checkpoint: note,
        };
        let record = RawValue::from_string(row.json)
            .map_err(|error| Problem::new(Kind::Internal, "an archived record can't be read").cause(error))?;
        Ok(ProofView {
            record,
            salt: STANDARD.encode(shown.salt.unwrap_or_default()),
            erased,
            leaf: String::from_utf8_lossy(&shown.entry).into_owned(),
            proof: proof.to_string(),
        })
    })
    .await?;
    note(&app, &caller, ReadKind::Proof, &id, &[]);
    Ok(Json(view))
}

/// The signed head of a partition's tree (C2SP tlog-tiles)
#[utoipa::path(
    get, path = "/tlog/{partition}/checkpoint", tag = "proofs",
    params(("partition" = u32, Path, description = "The partition")),
    responses(
        (status = 200, description = "A signed note", content_type = "text/plain"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn tlog_checkpoint(State(app): State<App>, Path(partition): Path<u32>) -> Result<Response, Problem> {
    let heads = sealed_heads(&app, partition).await?;
    let found = on_archive(&app, move |reader| borne_out(reader, partition, heads, None).map_err(not_shown));
    let (_, note) = found.await?.ok_or_else(not_sealed)?;
    Ok(([(header::CACHE_CONTROL, FRESH)], note.to_string()).into_response())
}

/// A tile of a partition's tree, or the leaves below one (C2SP tlog-tiles)
///
/// `<level>/<index>` or `entries/<index>`, with `.p/<width>` for the first so many of them. Entries are the headers of
/// all records of the partition, so they are for tokens that are not limited to projects.
#[utoipa::path(
    get, path = "/tlog/{partition}/tile/{*path}", tag = "proofs",
    params(
        ("partition" = u32, Path, description = "The partition"),
        ("path" = String, Path, description = "Such as 0/x001/234 or entries/000.p/17"),
    ),
    responses(
        (status = 200, description = "Hashes of 32 bytes, or entries after their lengths", content_type = "application/octet-stream"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn tlog_tile(
    State(app): State<App>,
    caller: Caller,
    Path((partition, path)): Path<(u32, String)>,
) -> Result<Response, Problem> {
    let missing = || Problem::new(Kind::NotFound, "the tree has no such tile");
    let bytes = if let Some(index) = path.strip_prefix("entries/") {
        if caller.projects().is_some() {
            return Err(Problem::new(
                Kind::Forbidden,
                "the token is limited to projects, entries are of all",
            ));
        }
        let (index, width) = TileId::parse_index(index).map_err(|_| missing())?;
        on_archive(&app, move |reader| reader.entry_bundle(partition, index, width).map_err(not_shown))
            .await?
    } else {
        let (id, width) = TileId::parse(&path).map_err(|_| missing())?;
        let tile =
            on_archive(&app, move |reader| reader.tile(partition, id, width).map_err(not_shown)).await?;
        tile.map(|tile| tile.to_bytes())
    };
    let bytes = bytes.ok_or_else(missing)?;
    Ok(([(header::CACHE_CONTROL, IMMUTABLE)], bytes).into_response())
}
