//! `/v1/erasures`: dropping the bodies of the records that concern a person, from every archive.
//!
//! The archive here is read for what concerns the person; what is found is put on the log as leaf indexes, in one
//! transaction. Every archive follows when it reads that, this one among them.

use std::ops::Range;
use std::time::{Duration, Instant};

use audit_archive::{
    Concerned, ERASED_ACTION, ErasureOrder, ORDER_RUNS_MAX, PartitionEnd, SUBJECTS_MAX, Subjects,
};
use audit_journal::{AppendError, Bounds, NewMessage, Partition, Placement, Position, Topic};
use audit_record::{AuditRecord, Timestamp};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::routes::evidence::not_shown;
use crate::routes::records::on_archive;
use crate::settings::change::Told;

/// Longest name of a person, in bytes: an e-mail address has 320 at most.
const SUBJECT_BYTES_MAX: usize = 320;

/// Longest reason or legal basis, in bytes.
const REASON_BYTES_MAX: usize = 2_000;

/// Most records that one erasure takes; they are one transaction.
const RECORDS_MAX: usize = 50;

/// How long the archive may take to get to where the log ended when the erasure was asked for, and afterwards to follow
/// it.
const ARCHIVE_WAIT_MAX: Duration = Duration::from_secs(20);

/// Pause between two looks at the archive.
const ARCHIVE_PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(erase))
}

/// Whose records are to be erased.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ErasureRequest {
    /// The person's ids, keys and e-mail addresses, 1 to 16; compared without regard to case.
    subject: Vec<String>,
    /// Why, in words. It stays on the log: no personal data belongs in it.
    reason: String,
    /// The legal basis, such as `GDPR Art. 17(1)(a)`.
    legal_basis: Option<String>,
    /// Records of this source only: ids mean something within a platform.
    source: Option<String>,
    /// Erase records too that only mention one of the names, in a sentence, a reason or an attribute.
    #[serde(default)]
    mentions: bool,
    /// Only say what would be erased.
    #[serde(default)]
    dry_run: bool,
}

/// What an erasure came to.
#[derive(Serialize, ToSchema)]
struct Erasure {
    /// What it is called; absent in a dry run, or where there is nothing to erase.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Messages whose bodies are erased: records, and repeats of them.
    erased: u64,
    /// Messages that say one of the names elsewhere, and are not erased unless asked for.
    mentioned: u64,
    /// By partition.
    partitions: Vec<ErasedPartition>,
    /// The records that order it, by id.
    records: Vec<String>,
    /// Whether this machine's archive has followed already; the others do as they read the log.
    followed: bool,
}

/// What is erased of a partition.
#[derive(Serialize, ToSchema)]
struct ErasedPartition {
    /// The partition.
    partition: u32,
    /// Which leaves, as runs of indexes, each with its end left out.
    #[schema(value_type = Vec<Vec<u64>>)]
    leaves: Vec<(u64, u64)>,
    /// Which mention a name only.
    #[schema(value_type = Vec<Vec<u64>>)]
    mentions: Vec<(u64, u64)>,
}

/// Erase the records of a person
///
/// Every archive drops the bodies of the records that concern the person (as author, approver, subject of an access change
/// or target of an override), and so do archives that are built anew; later exports leave them out and count them. The
/// headers stay, and with them every proof and every checkpoint. On the log itself they last as long as its retention
/// keeps them, and what was exported or delivered before is not undone.
#[utoipa::path(
    post, path = "/v1/erasures", tag = "records", request_body = ErasureRequest,
    responses(
        (status = 200, body = Erasure),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "More than one erasure can take", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn erase(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<ErasureRequest>,
) -> Result<Json<Erasure>, Problem> {
    check(&request)?;
    // What is on the log now is looked at: what comes later can be erased later.
    let log = app.journal().bounds(Topic::Records).await.map_err(|error| {
        Problem::new(Kind::Unavailable, "the log can't be read").retry_after_s(2).cause(error)
    })?;
    if !covered(&app, &log).await? {
        return Err(Problem::new(Kind::Unavailable, "the archive is behind the log, and might miss records")
            .hint("try again once /readyz?role=archive is ready")
            .retry_after_s(10));
    }
    let found = find(&app, &request, &log).await?;
    let count = |runs: fn(&Concerned) -> &Vec<Range<u64>>| {
        found.iter().map(|concerned| Concerned::count(runs(concerned))).sum::<u64>()
    };
    let mut answer = Erasure {
        id: None,
        erased: count(|concerned| &concerned.leaves),
        mentioned: count(|concerned| &concerned.mentions),
        partitions: found.iter().map(view).collect(),
        records: Vec::new(),
        followed: false,
    };
    if request.dry_run || answer.erased == 0 {
        return Ok(Json(answer));
    }
    let id = Uuid::now_v7().to_string();
    let records = orders(&app, &caller, &request, &id, &found)?;
    let positions = append(&app, &records).await?;
    tracing::info!(erasure = id, messages = answer.erased, token = caller.name(), "records were erased");
    answer.records = records.iter().map(|(_, record)| record.id().to_owned()).collect();
    answer.id = Some(id);
    answer.followed = followed(&app, &positions).await;
    Ok(Json(answer))
}

fn check(request: &ErasureRequest) -> Result<(), Problem> {
    let is_name = |name: &String| !name.trim().is_empty() && name.len() <= SUBJECT_BYTES_MAX;
    if request.subject.is_empty()
        || request.subject.len() > SUBJECTS_MAX
        || !request.subject.iter().all(is_name)
    {
        return Err(Problem::field(
            "subject",
            format!(
                "1 to {SUBJECTS_MAX} ids or e-mail addresses of at most {SUBJECT_BYTES_MAX} bytes are wanted"
            ),
        ));
    }
    if request.reason.trim().is_empty() || request.reason.len() > REASON_BYTES_MAX {
        return Err(Problem::field("reason", format!("1 to {REASON_BYTES_MAX} bytes are wanted")));
    }
    if request.legal_basis.as_ref().is_some_and(|basis| basis.len() > REASON_BYTES_MAX) {
        return Err(Problem::field("legal_basis", format!("at most {REASON_BYTES_MAX} bytes are wanted")));
    }
    let stays = [Some(&request.reason), request.legal_basis.as_ref(), request.source.as_ref()];
    let says = |name: &String| {
        let name = name.to_lowercase();
        stays.iter().flatten().any(|text| text.to_lowercase().contains(&name))
    };
    if request.subject.iter().filter(|name| name.contains('@')).any(says) {
        return Err(Problem::field("reason", "names the person, and would stay on the log"));
    }
    Ok(())
}

/// Waits until the archive has everything before these ends.
async fn covered(app: &App, log: &[Bounds]) -> Result<bool, Problem> {
    let began = Instant::now();
    loop {
        let ends = log.to_vec();
        let is_covered = on_archive(app, move |reader| reader.covers(&ends).map_err(super::records::refused));
        if is_covered.await? {
            return Ok(true);
        }
        if began.elapsed() > ARCHIVE_WAIT_MAX {
            return Ok(false);
        }
        tokio::time::sleep(ARCHIVE_PAUSE).await;
    }
}

/// What concerns the person; with what only mentions him among it, where that is asked for.
async fn find(app: &App, request: &ErasureRequest, log: &[Bounds]) -> Result<Vec<Concerned>, Problem> {
    let subjects = Subjects::new(&request.subject, request.source.clone());
    let (with_mentions, shutdown) = (request.mentions, app.shutdown().clone());
    let partitions: Vec<Partition> = log.iter().map(|bounds| bounds.partition).collect();
    let found = on_archive(app, move |reader| {
        let mut all = Vec::new();
        for partition in partitions {
            let found = reader
                .concerning(partition, &subjects, || !shutdown.is_cancelled())
                .map_err(not_shown)?
                .ok_or_else(|| Problem::new(Kind::Unavailable, "the server is stopping"))?;
            all.extend(found);
        }
        Ok(all)
    });
    let mut found = found.await?;
    if with_mentions {
        for concerned in &mut found {
            let mentions = std::mem::take(&mut concerned.mentions);
            concerned.leaves.extend(mentions);
            concerned.leaves.sort_by_key(|run| run.start);
        }
    }
    Ok(found)
}

fn view(concerned: &Concerned) -> ErasedPartition {
    let runs = |runs: &[Range<u64>]| runs.iter().map(|run| (run.start, run.end)).collect();
    ErasedPartition {
        partition: concerned.tree.partition,
        leaves: runs(&concerned.leaves),
        mentions: runs(&concerned.mentions),
    }
}

/// The records that order it, each for its partition.
fn orders(
    app: &App,
    caller: &Caller,
    request: &ErasureRequest,
    id: &str,
    found: &[Concerned],
) -> Result<Vec<(Partition, AuditRecord)>, Problem> {
    let parts: Vec<(&Concerned, &[Range<u64>])> = found
        .iter()
        .flat_map(|concerned| concerned.leaves.chunks(ORDER_RUNS_MAX).map(move |runs| (concerned, runs)))
        .collect();
    if parts.len() > RECORDS_MAX {
        return Err(Problem::new(
            Kind::Conflict,
            "the person's records are spread over more places than one erasure lists",
        )
        .hint("erase them source by source"));
    }
    let at = now();
    let total = parts.len();
    let order = |(number, (concerned, runs)): (usize, (&Concerned, &[Range<u64>]))| {
        let tree = &concerned.tree;
        let order = ErasureOrder::new(id, tree.partition, (tree.size, tree.root), runs);
        (tree.partition, record(app, caller, request, order, (number + 1, total), at))
    };
    Ok(parts.into_iter().enumerate().map(order).collect())
}

fn record(
    app: &App,
    caller: &Caller,
    request: &ErasureRequest,
    order: ErasureOrder,
    (number, total): (usize, usize),
    at: Timestamp,
) -> AuditRecord {
    let told = Told {
        action: ERASED_ACTION,
        object_type: "FLAGTRAIL_ERASURE",
        id: &order.request,
        name: "",
        log: format!("The bodies of {} records of partition {} were erased", order.count(), order.partition),
        before: None,
        after: None,
    };
    let mut draft = told.into_draft(Some(caller), at);
    draft.reason = Some(request.reason.clone());
    // Keyed with the deployment's secret: who asks again is recognised, who reads it learns nothing.
    let tags: Vec<String> =
        request.subject.iter().map(|name| hex::encode(app.journal().person_tag(name).as_bytes())).collect();
    let attributes = &mut draft.attributes;
    attributes.insert("records".to_owned(), json!(order.count()));
    attributes.insert("erasure".to_owned(), order.vouched_for(&app.journal().identity().tag_key()));
    attributes.insert("subject_tags".to_owned(), json!(tags));
    attributes.insert("part".to_owned(), json!(number));
    attributes.insert("parts".to_owned(), json!(total));
    attributes.insert("mentions".to_owned(), json!(request.mentions));
    if let Some(basis) = &request.legal_basis {
        attributes.insert("legal_basis".to_owned(), json!(basis));
    }
    if let Some(source) = &request.source {
        attributes.insert("source".to_owned(), json!(source));
    }
    AuditRecord::try_new(draft).expect("some thousands of numbers are far below the bound of a record")
}

/// Appends the records together or not at all, each to the partition that it is about.
async fn append(app: &App, records: &[(Partition, AuditRecord)]) -> Result<Vec<Position>, Problem> {
    let message = |(partition, record): &(Partition, AuditRecord)| {
        let message = app.journal().record_message(record);
        (Topic::Records, NewMessage { placement: Placement::Fixed(*partition), ..message })
    };
    let messages = records.iter().map(message).collect();
    // If we crash before the answer, all are on the log or none: asked again, the archive finds what is left to erase.
    app.journal().append_together(messages).await.map_err(|error| match error {
        AppendError::NotAppended(cause) => {
            Problem::new(Kind::Unavailable, "nothing was erased: the log does not take it now")
                .retry_after_s(2)
                .cause(cause)
        }
        AppendError::Unknown(cause) => {
            Problem::new(Kind::Unavailable, "it is not known whether the erasure is on the log")
                .hint("ask again with dry_run: what is still found was not erased")
                .cause(cause)
        }
    })
}

/// Waits until the archive here has read the records; whether it has.
async fn followed(app: &App, positions: &[Position]) -> bool {
    let began = Instant::now();
    let is_past = |ends: &[PartitionEnd]| {
        positions.iter().all(|position| {
            ends.iter().any(|end| end.partition == position.partition && end.next > position.offset)
        })
    };
    while began.elapsed() < ARCHIVE_WAIT_MAX {
        let ends = on_archive(app, |reader| reader.ends().map_err(super::records::refused)).await;
        if ends.is_ok_and(|ends| is_past(&ends)) {
            return true;
        }
        tokio::time::sleep(ARCHIVE_PAUSE).await;
    }
    false
}
