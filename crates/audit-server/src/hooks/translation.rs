//! From a held request to valid records.

use audit_dialect::{SignatureCheck, SourceContext, check_signature, translate};
use audit_record::{AuditRecord, Authenticated, Draft};
use audit_secret::OpenError;
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::app::App;
use crate::clock::now;
use crate::hooks::repeats::Fingerprint;
use crate::hooks::request::HeldRequest;
use crate::settings::source::Source;

/// Where a record says which earlier one it probably repeats.
const REPEAT_OF: &str = "repeat_of";

/// Why a request becomes no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Its signature is missing or wrong.
    Signature(&'static str),
    /// Its signature can't be checked: a secret of the source does not open.
    Locked(OpenError),
    /// It does not fit; the words say what and how to mend it.
    Refused(String),
}

/// Where the ids come from of records for which the platform gives none.
pub(crate) enum Ids {
    /// Made up; a probable repeat of a request of that fingerprint is linked.
    New(Fingerprint),
    /// Derived from what is re-driven, so that re-driving it twice is the same records.
    Redriven(String),
}

/// Checks the signature, translates, and makes records.
pub(crate) fn translated(
    app: &App,
    source: &Source,
    held: &HeldRequest,
    ids: Ids,
) -> Result<Vec<AuditRecord>, Unfit> {
    let query = held.query_pairs().map_err(|problem| Unfit::Refused(problem.detail().to_owned()))?;
    let request = held.as_hook(&query);
    let secrets = source.open_secrets(app.keyring()).map_err(Unfit::Locked)?;
    let secrets: Vec<&[u8]> = secrets.iter().map(|secret| secret.expose_secret().as_bytes()).collect();
    let authenticated = match check_signature(source.platform(), &secrets, &request) {
        SignatureCheck::Valid => Authenticated::Signature,
        SignatureCheck::NotExpected => Authenticated::Token,
        SignatureCheck::Missing => {
            return Err(Unfit::Signature("the request is not signed, but the source has a secret"));
        }
        SignatureCheck::Wrong => {
            return Err(Unfit::Signature("none of the source's secrets made the signature"));
        }
    };
    let organisation = source.organisation.to_ref();
    let (project, environment) =
        (source.project.as_ref().map(|p| p.to_ref()), source.environment.as_ref().map(|e| e.to_ref()));
    let namespace = app.journal().identity().namespace;
    let context = SourceContext {
        name: &source.name,
        organisation: &organisation,
        project: project.as_ref(),
        environment: environment.as_ref(),
        authenticated,
        namespace,
        redact_keep: &app.config().redact_keep,
    };
    let drafts = translate(source.platform(), &context, &request)
        .map_err(|refusal| Unfit::Refused(refusal.reason))?
        .drafts;
    let repeated = match &ids {
        Ids::New(fingerprint) => app.repeats().find(fingerprint, held.received_at),
        Ids::Redriven(_) => None,
    };
    let recorded_at = now();
    let record = |(index, mut draft): (usize, Draft)| {
        if draft.id.is_none() {
            match &ids {
                Ids::New(_) => {
                    draft.id = Some(Uuid::now_v7().to_string());
                    if let Some(earlier) = repeated.as_ref().and_then(|ids| ids.get(index)) {
                        draft.attributes.insert(REPEAT_OF.to_owned(), earlier.as_str().into());
                    }
                }
                Ids::Redriven(origin) => {
                    let name = format!("redriven\0{origin}\0{index}");
                    draft.id = Some(Uuid::new_v5(&namespace, name.as_bytes()).to_string());
                }
            }
        }
        draft.recorded_at = Some(recorded_at);
        AuditRecord::try_new(draft).map_err(|error| Unfit::Refused(error.to_string()))
    };
    drafts.into_iter().enumerate().map(record).collect()
}
