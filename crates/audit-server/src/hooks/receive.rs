//! One webhook from its body to its answer. Reading ends when the platform hangs up; what was read whole is taken to
//! its end all the same.

use std::sync::Arc;

use audit_record::AuditRecord;
use axum::extract::Request;

use crate::app::App;
use crate::body::{Read, declared_length, read_up_to};
use crate::clock::now;
use crate::config::HOOK_BODY_BYTES_MAX;
use crate::headers;
use crate::hooks::Taken;
use crate::hooks::acknowledge::{Acknowledged, acknowledge};
use crate::hooks::rejected::{Keeping, Rejected, Why};
use crate::hooks::repeats::Fingerprint;
use crate::hooks::request::HeldRequest;
use crate::hooks::translation::{Ids, Unfit, translated};
use crate::hooks::waiting::Waiting;
use crate::problem::{Kind, Problem};
use crate::settings::source::Source;

/// Bodies up to this size are translated where they stand; larger ones would hold up other requests of the
/// thread.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// A request as it was read.
pub(crate) struct Received {
    held: HeldRequest,
    /// Whether `held` has only the beginning of a body that is too large.
    is_cut: bool,
}

/// Reads a request of a source whose token was right.
pub(crate) async fn read(app: &App, source: &Source, request: Request) -> Result<Received, Problem> {
    let received_at = now();
    app.activity().of(&source.name).received(received_at);
    let (parts, body) = request.into_parts();
    let declared = declared_length(&parts.headers);
    let read = read_up_to(body, declared, HOOK_BODY_BYTES_MAX).await?;
    let (body, is_cut) = match read {
        Read::Whole(body) => (body, false),
        Read::Cut(body) => (body, true),
    };
    let held = HeldRequest {
        method: parts.method.as_str().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: headers::pairs(&parts.headers),
        body,
        received_at,
    };
    Ok(Received { held, is_cut })
}

/// Makes it durable, as records or in `rejected`. To be called where it is not cancelled.
pub(crate) async fn take(app: &App, source: &Source, received: Received) -> Result<Taken, Problem> {
    let Received { held, is_cut } = received;
    let received_at = held.received_at;
    let activity = app.activity().of(&source.name);
    if is_cut {
        let detail =
            format!("the body may have {HOOK_BODY_BYTES_MAX} bytes; its beginning is kept in rejected");
        return reject(app, source, held, Why::TooLarge, Problem::new(Kind::TooLarge, detail)).await;
    }
    let held = Arc::new(held);
    let (fingerprint, translated) = translate(app, source, &held).await?;
    let records = match translated {
        Ok(records) => records,
        Err(Unfit::Signature(detail)) => {
            activity.bad_signature();
            let problem = Problem::new(Kind::BadSignature, detail).hint(
                "give the platform and the source the same secret, then re-drive what was refused: flagtrail rejected redrive",
            );
            if !activity.may_keep_bad_signature(app.config().bad_signatures_kept_per_minute, received_at) {
                return Err(problem);
            }
            return reject(app, source, unshared(held), Why::BadSignature, problem).await;
        }
        Err(Unfit::Locked(cause)) => {
            let problem = Problem::new(
                Kind::Unavailable,
                "the signature can't be checked: a secret of the source does not open; the request is kept in rejected",
            )
            .cause(cause);
            return reject(app, source, unshared(held), Why::Unchecked, problem).await;
        }
        Err(Unfit::Refused(reason)) => {
            let problem = Problem::new(Kind::UnfitHook, reason)
                .hint("the request is kept whole: flagtrail rejected list shows it, flagtrail rejected redrive takes it in again");
            return reject(app, source, unshared(held), Why::Unfit, problem).await;
        }
    };
    if records.is_empty() {
        activity.accepted();
        return Ok(Taken::new(&records, false));
    }
    let message = |record: &_| app.journal().record_message(record);
    let waiting = Waiting::records(app.process(), &source.name, received_at, &records, message);
    let outcome = acknowledge(app, waiting).await?;
    let ids: Vec<String> = records.iter().map(|record| record.id().to_owned()).collect();
    app.repeats().remember(fingerprint, &ids, received_at);
    activity.accepted();
    Ok(Taken::new(&records, outcome == Acknowledged::InSpool))
}

/// Reads every byte of the body, and translates: off the async threads where it is large.
async fn translate(
    app: &App,
    source: &Source,
    held: &Arc<HeldRequest>,
) -> Result<(Fingerprint, Result<Vec<AuditRecord>, Unfit>), Problem> {
    let read = |app: &App, source: &Source, held: &HeldRequest| {
        let fingerprint = Fingerprint::of(&source.name, held);
        (fingerprint, translated(app, source, held, Ids::New(fingerprint)))
    };
    if held.body.len() <= INLINE_BYTES_MAX {
        return Ok(read(app, source, held));
    }
    let (app, source, held) = (app.clone(), source.clone(), held.clone());
    tokio::task::spawn_blocking(move || read(&app, &source, &held))
        .await
        .map_err(|error| Problem::new(Kind::Internal, "the webhook could not be read").cause(error))
}

fn unshared(held: Arc<HeldRequest>) -> HeldRequest {
    Arc::unwrap_or_clone(held)
}

/// Keeps a request that became no record, and answers `problem`: or 503 where it could not be kept, because
/// then the platform should send it again.
async fn reject(
    app: &App,
    source: &Source,
    held: HeldRequest,
    why: Why,
    problem: Problem,
) -> Result<Taken, Problem> {
    app.activity().of(&source.name).rejected();
    let (received_at, length) = (held.received_at, held.body.len());
    let (worker, of, reason) = (app.clone(), source.clone(), problem.detail().to_owned());
    let make = move || {
        let keeping = Keeping { keyring: worker.keyring(), redact_keep: &worker.config().redact_keep };
        Rejected::new(&of, held, why, &reason, keeping)
    };
    let rejected = if length <= INLINE_BYTES_MAX {
        make()
    } else {
        let made = tokio::task::spawn_blocking(make).await;
        made.map_err(|error| Problem::new(Kind::Internal, "the webhook could not be kept").cause(error))?
    };
    acknowledge(app, Waiting::rejected(app.process(), &source.name, received_at, &rejected)).await?;
    Err(problem)
}
