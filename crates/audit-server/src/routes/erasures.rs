//! `/v1/erasures`: dropping the bodies of the records that concern a person, from every archive.
//!
//! The archive here is read for what concerns the person; what is found is put on the log as leaf indexes, in one
//! transaction. Every archive follows when it reads that, this one among them.
//!
//! One request reads as much as it has time for, and has that erased; where something is left, its answer says where the
//! next one goes on. Nothing is kept here between them: whoever stops half-way begins anew, and what was erased is passed
//! over.

mod cursor;
mod look;

use std::ops::Range;

use audit_archive::{Concerned, ERASED_ACTION, ErasureOrder, ORDER_RUNS_MAX, SUBJECTS_MAX};
use audit_journal::{AppendError, NewMessage, Partition, Placement, Position, Topic};
use audit_proof::fold_case;
use audit_record::{AuditRecord, Timestamp};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::auth::Caller;
use crate::clock::now;
use crate::problem::{Kind, Problem, ProblemBody};
use crate::settings::change::Told;

use self::cursor::Cursor;
use self::look::{Time, covered, followed, look, must_be_the_signed};

/// Longest name of a person, in bytes: an e-mail address has 320 at most.
const SUBJECT_BYTES_MAX: usize = 320;

/// Longest reason or legal basis, in bytes.
const REASON_BYTES_MAX: usize = 2_000;

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
    /// `next` of the answer before, all else being the same.
    cursor: Option<String>,
}

/// What one request of an erasure came to.
#[derive(Serialize, ToSchema)]
struct Erasure {
    /// What the erasure is called, the same in all of its requests; absent in a dry run, or where this request found
    /// nothing to erase.
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
    /// Where to go on: more is left than one request reads. Ask again with it as `cursor` until an answer has none; until
    /// then the erasure is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
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
///
/// Every record is read, for no index is complete. One request reads for ten seconds at most, and orders what it has found
/// by then; where more is left it answers 202, and `next` is where to go on. Whoever stops half-way asks from the
/// beginning: what was erased is passed over. What was on the log when the first request came is covered once there is
/// no `next`.
///
/// Refused, a dry run too, while a partition that holds something of the person has a checkpoint with another root than the
/// archive's tree: what is erased is told by the numbers of leaves, which then may be other people's.
#[utoipa::path(
    post, path = "/v1/erasures", tag = "records", request_body = ErasureRequest,
    responses(
        (status = 200, description = "Everything was read", body = Erasure),
        (status = 202, description = "So far; `next` is where to go on", body = Erasure),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The archive here has no such place as the cursor names; or a checkpoint of a partition concerned has another root than its tree", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many queries at a time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The archive is behind the log, or the log takes nothing", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn erase(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<ErasureRequest>,
) -> Result<(StatusCode, Json<Erasure>), Problem> {
    let time = Time::of_request(&app);
    check(&request)?;
    let at = Cursor::of(&request)?;
    // What is on the log now is looked at: what comes later can be erased later.
    let log = app.journal().bounds(Topic::Records).await.map_err(|error| {
        Problem::new(Kind::Unavailable, "the log can't be read").retry_after_s(2).cause(error)
    })?;
    if !covered(&app, &log, time).await? {
        return Err(Problem::new(Kind::Unavailable, "the archive is behind the log, and might miss records")
            .hint("try again once /readyz?role=archive is ready")
            .retry_after_s(10));
    }
    let looked = look(&app, &request, at.left_off.clone(), time).await?;
    let found = looked.found;
    must_be_the_signed(&app, &found).await?;
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
        next: None,
    };
    if !request.dry_run && answer.erased > 0 {
        let records = orders(&app, &caller, &request, (&at, looked.left_off.is_none()), &found);
        let positions = append(&app, &records).await?;
        // If we crash here, this much is erased. Asked again from the same place, it is found to be.
        tracing::info!(erasure = %at.id, messages = answer.erased, token = caller.name(), "records were erased");
        answer.records = records.iter().map(|(_, record)| record.id().to_owned()).collect();
        answer.id = Some(at.id.to_string());
        answer.followed = followed(&app, &positions, time).await;
    }
    answer.next = looked.left_off.map(|left_off| at.after(answer.records.len(), left_off).to_string());
    let status = if answer.next.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(answer)))
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
        let name = fold_case(name);
        stays.iter().flatten().any(|text| fold_case(text).contains(&name))
    };
    if request.subject.iter().filter(|name| name.contains('@')).any(says) {
        return Err(Problem::field("reason", "names the person, and would stay on the log"));
    }
    Ok(())
}

fn view(concerned: &Concerned) -> ErasedPartition {
    let runs = |runs: &[Range<u64>]| runs.iter().map(|run| (run.start, run.end)).collect();
    ErasedPartition {
        partition: concerned.tree.partition,
        leaves: runs(&concerned.leaves),
        mentions: runs(&concerned.mentions),
    }
}

/// The records that order it, each for its partition. They are counted on from those of the requests before; how many
/// there are is known with the last.
fn orders(
    app: &App,
    caller: &Caller,
    request: &ErasureRequest,
    (at, is_last): (&Cursor, bool),
    found: &[Concerned],
) -> Vec<(Partition, AuditRecord)> {
    let parts: Vec<(&Concerned, &[Range<u64>])> = found
        .iter()
        .flat_map(|concerned| concerned.leaves.chunks(ORDER_RUNS_MAX).map(move |runs| (concerned, runs)))
        .collect();
    let (id, asked_at) = (at.id.to_string(), now());
    let total = is_last.then_some(at.parts.saturating_add(parts.len()));
    let order = |(number, (concerned, runs)): (usize, (&Concerned, &[Range<u64>]))| {
        let tree = &concerned.tree;
        let order = ErasureOrder::new(&id, tree.partition, (tree.size, tree.root), runs);
        let part = (at.parts.saturating_add(number + 1), total);
        (tree.partition, record(app, caller, request, order, part, asked_at))
    };
    parts.into_iter().enumerate().map(order).collect()
}

fn record(
    app: &App,
    caller: &Caller,
    request: &ErasureRequest,
    order: ErasureOrder,
    (number, total): (usize, Option<usize>),
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
    if let Some(total) = total {
        attributes.insert("parts".to_owned(), json!(total));
    }
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
            Problem::new(Kind::Unavailable, "this request erased nothing: the log does not take it now")
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
