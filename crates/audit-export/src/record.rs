//! An export is on the record when it is asked for and when it is done.

use audit_journal::{AppendOutcome, Journal};
use audit_record::{AuditRecord, Authenticated, Author, AuthorKind, OWN, OwnRecord, Ref, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::ExportError;
use crate::job::ExportJob;
use crate::manifest::Manifest;

/// Which of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment<'m> {
    Requested,
    /// With what it came to.
    Completed(&'m Manifest),
}

/// Appends the record of this moment. Its id comes from the job and the moment: a job that is resumed, or
/// whose answer was lost, appends the same record again, which archives show once. `sent_to` is the destination that it is
/// brought to.
pub(crate) async fn put_on_record(
    journal: &Journal,
    job: &ExportJob,
    moment: Moment<'_>,
    sent_to: Option<&str>,
) -> Result<(), ExportError> {
    let refuse = |problem: String| ExportError::NotOnRecord(problem);
    let now = Timestamp::try_new(chrono::Utc::now()).map_err(|error| refuse(error.to_string()))?;
    let told = told(journal.identity().namespace, job, moment, sent_to, now);
    let record = AuditRecord::try_new(told.into_draft()).map_err(|error| refuse(error.to_string()))?;
    match journal.append_records(std::slice::from_ref(&record)).await.into_iter().next() {
        Some(AppendOutcome::Appended(_)) => Ok(()),
        Some(AppendOutcome::NotAppended(problem) | AppendOutcome::Unknown(problem)) => Err(refuse(problem)),
        None => Err(refuse("the log gave no answer".to_owned())),
    }
}

/// The action of the record that an export is asked for.
pub(crate) const REQUESTED: &str = "flagtrail.export.requested";

/// The action of the record that an export is completed.
const COMPLETED: &str = "flagtrail.export.completed";

/// The attribute that names the partitions which an export does not cover to their end, where there are any.
const INCOMPLETE: &str = "incomplete";

impl Moment<'_> {
    fn action(self) -> &'static str {
        match self {
            Self::Requested => REQUESTED,
            Self::Completed(_) => COMPLETED,
        }
    }
}

/// The id of the record of this moment.
pub(crate) fn record_id(namespace: Uuid, job: &ExportJob, moment: Moment<'_>) -> Uuid {
    id_of(namespace, moment.action(), &job.id)
}

/// The id of the record that the export `id` is completed.
pub(crate) fn completion_id(namespace: Uuid, id: &str) -> Uuid {
    id_of(namespace, COMPLETED, id)
}

fn id_of(namespace: Uuid, action: &str, id: &str) -> Uuid {
    Uuid::new_v5(&namespace, format!("{action}/{id}").as_bytes())
}

/// Of the record of a completed export: whether that covers every partition to its end. `None` of any other.
pub(crate) fn completed_whole(json: &str) -> Option<bool> {
    let record: Value = serde_json::from_str(json).ok()?;
    let is_own = record["organisation"]["key"] == OWN && record["action"] == COMPLETED;
    is_own.then(|| record["attributes"][INCOMPLETE].is_null())
}

fn told(
    namespace: Uuid,
    job: &ExportJob,
    moment: Moment<'_>,
    sent_to: Option<&str>,
    now: Timestamp,
) -> OwnRecord<'static> {
    let action = moment.action();
    let log = match moment {
        Moment::Requested => format!("export {} was asked for", job.id),
        Moment::Completed(manifest) => {
            let (records, files) = (manifest.records, manifest.files.len());
            format!("export {} was written: {records} records in {files} files", job.id)
        }
    };
    let mut attributes = audit_record::Map::new();
    attributes.insert("query".to_owned(), json!(job.query_text()));
    attributes.insert("format".to_owned(), json!(job.format));
    if !job.compression.is_none() {
        attributes.insert("compression".to_owned(), json!(job.compression));
    }
    if let Some(destination) = sent_to {
        attributes.insert("destination".to_owned(), json!(destination));
    }
    if let Moment::Completed(manifest) = moment {
        attributes.insert("records".to_owned(), json!(manifest.records));
        attributes.insert("files".to_owned(), json!(manifest.files.len()));
        let incomplete = manifest.incomplete();
        if !incomplete.is_empty() {
            attributes.insert(INCOMPLETE.to_owned(), json!(incomplete));
        }
    }
    OwnRecord {
        id: record_id(namespace, job, moment).to_string(),
        action,
        log,
        at: now,
        author: Author { name: Some(job.asked_by.clone()), ..Author::new(AuthorKind::Service) },
        authenticated: Authenticated::Token,
        object_type: "FLAGTRAIL_EXPORT",
        object: Ref::by_id(job.id.clone()),
        attributes,
    }
}

#[cfg(test)]
mod tests {
    use super::completed_whole;

    #[test]
    fn an_export_is_completed_by_our_own_record_alone_which_says_what_it_does_not_cover() {
        let record = |organisation: &str, action: &str, attributes: &str| {
            format!(
                r#"{{"action":"{action}","organisation":{{"key":"{organisation}"}},"attributes":{attributes}}}"#
            )
        };
        let completed = "flagtrail.export.completed";
        let whole = record("~flagtrail", completed, r#"{"files":1}"#);
        assert_eq!(completed_whole(&whole), Some(true));
        let incomplete = record("~flagtrail", completed, r#"{"files":1,"incomplete":[2]}"#);
        assert_eq!(completed_whole(&incomplete), Some(false));
        for other in [
            record("acme", completed, "{}"),
            record("~flagtrail", "flagtrail.export.requested", "{}"),
            String::new(),
        ] {
            assert_eq!(completed_whole(&other), None, "{other}");
        }
    }
}
