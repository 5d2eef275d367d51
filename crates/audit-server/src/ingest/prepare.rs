//! From the bytes of a request to valid records, or to everything that is wrong with them. No I/O: it runs where
//! blocking is fine.

use audit_dialect::{HookRequest, Platform, SourceContext, translate};
use audit_record::{
    AuditRecord, Authenticated, Draft, RECORD_BYTES_MAX, RecordError, Timestamp, parse_strict,
};
use axum::http::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

use crate::config::INGEST_RECORDS_MAX;
use crate::ingest::body::{Format, lines};
use crate::ingest::idempotency::{Given, IdempotencyKey};
use crate::ingest::native::{self, Refused};
use crate::problem::{ERRORS_LISTED_MAX, ErrorItem, Kind, Problem, items};
use crate::settings::token::Token;

/// Longest line of NDJSON that is parsed at all: the escapes of a record at its bound may double it.
const LINE_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

/// What is known of a request beside its body.
pub(crate) struct Intake {
    /// What holds for the records: the caller's token, or one that differs from it by the source that it writes for.
    pub(crate) token: Token,
    pub(crate) token_id: String,
    pub(crate) format: Format,
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) namespace: Uuid,
    pub(crate) redact_keep: Vec<String>,
    pub(crate) received_at: Timestamp,
}

/// Everything that is wrong, line by line; the list is bounded, the count is not.
#[derive(Default)]
struct Wrong {
    listed: Vec<ErrorItem>,
    left_out: usize,
    invalid: bool,
    too_large: bool,
    forbidden: bool,
}

impl Wrong {
    fn add(&mut self, item: ErrorItem) {
        if self.listed.len() < ERRORS_LISTED_MAX {
            self.listed.push(item);
        } else {
            self.left_out += 1;
        }
    }

    fn line(&mut self, line: usize, problem: impl ToString) {
        self.invalid = true;
        self.add(ErrorItem { line: Some(line), field: None, problem: problem.to_string() });
    }

    fn refused(&mut self, line: usize, refused: Refused) {
        match refused {
            Refused::Invalid(violations) => {
                self.invalid = true;
                items(Some(line), violations).for_each(|item| self.add(item));
            }
            Refused::Forbidden(violation) => {
                self.forbidden = true;
                items(Some(line), vec![violation]).for_each(|item| self.add(item));
            }
        }
    }

    fn record(&mut self, line: usize, error: RecordError) {
        match error {
            RecordError::Invalid(violations) => self.refused(line, Refused::Invalid(violations)),
            RecordError::TooLarge { .. } => {
                self.too_large = true;
                self.add(ErrorItem { line: Some(line), field: None, problem: error.to_string() });
            }
            RecordError::Json(_) | RecordError::TooDeep => self.line(line, error),
        }
    }

    fn into_problem(self) -> Option<Problem> {
        let count = self.listed.len() + self.left_out;
        let first = self.listed.first()?;
        let detail = match (count, &first.field) {
            (1, Some(field)) => format!("line {}: {field} {}", first.line.unwrap_or(1), first.problem),
            (1, None) => format!("line {}: {}", first.line.unwrap_or(1), first.problem),
            _ => format!("{count} things are wrong; nothing was appended"),
        };
        let kind = match (self.invalid, self.forbidden) {
            (true, _) => Kind::InvalidRecords,
            (false, true) => Kind::Forbidden,
            (false, false) => Kind::TooLarge,
        };
        Some(Problem::new(kind, detail).with_errors(self.listed).left_out(self.left_out))
    }
}

/// Reads and checks every record of `body`.
pub(crate) fn prepare(intake: &Intake, body: &[u8]) -> Result<Vec<AuditRecord>, Problem> {
    let mut wrong = Wrong::default();
    let mut records = Vec::new();
    match intake.format {
        Format::Ndjson => {
            for (line, text) in lines(body) {
                if records.len() >= INGEST_RECORDS_MAX {
                    return Err(too_many());
                }
                if text.len() > LINE_BYTES_MAX {
                    wrong.record(line, RecordError::TooLarge { bytes: text.len() });
                    continue;
                }
                match parse_strict(text) {
                    Ok(value) => native_record(intake, line, value, &mut records, &mut wrong),
                    Err(error) => wrong.line(line, error),
                }
            }
        }
        Format::Json => match parse_strict(body).map_err(|error| unreadable(body, &error))? {
            Value::Array(values) => {
                if values.len() > INGEST_RECORDS_MAX {
                    return Err(too_many());
                }
                records.reserve(values.len());
                for (index, value) in values.into_iter().enumerate() {
                    native_record(intake, index + 1, value, &mut records, &mut wrong);
                }
            }
            value => native_record(intake, 1, value, &mut records, &mut wrong),
        },
        Format::CloudEvents => {
            // The dialect gives drafts, not the JSON of each event: the whole body stands for it.
            let key = intake.key.as_ref().map(|key| (key, Given::bytes(body)));
            for (index, draft) in cloud_events(intake, body)?.into_iter().enumerate() {
                finish(intake, index + 1, key, draft, &mut records, &mut wrong);
            }
        }
    }
    if let Some(problem) = wrong.into_problem() {
        return Err(problem);
    }
    if records.is_empty() {
        return Err(Problem::new(Kind::InvalidRecords, "the request holds no record")
            .hint("send one record, a list of records, or one record a line"));
    }
    Ok(records)
}

fn native_record(
    intake: &Intake,
    line: usize,
    value: Value,
    records: &mut Vec<AuditRecord>,
    wrong: &mut Wrong,
) {
    let key = intake.key.as_ref().map(|key| (key, Given::record(&value)));
    match native::draft(value, &intake.token, intake.received_at) {
        Ok(draft) => finish(intake, line, key, draft, records, wrong),
        Err(refused) => wrong.refused(line, refused),
    }
}

/// Gives the draft its id, by the request's key and what was given where it has a key, and makes the record.
fn finish(
    intake: &Intake,
    line: usize,
    key: Option<(&IdempotencyKey, Given)>,
    mut draft: Draft,
    records: &mut Vec<AuditRecord>,
    wrong: &mut Wrong,
) {
    let id = || match key {
        Some((key, given)) => key.record_id(&intake.namespace, &intake.token_id, line - 1, &given),
        None => Uuid::now_v7().to_string(),
    };
    draft.id.get_or_insert_with(id);
    draft.recorded_at = Some(intake.received_at);
    match AuditRecord::try_new(draft) {
        Ok(record) => records.push(record),
        Err(error) => wrong.record(line, error),
    }
}

/// CloudEvents by the dialect for them, under the token's organisation and source name.
fn cloud_events(intake: &Intake, body: &[u8]) -> Result<Vec<Draft>, Problem> {
    let token = &intake.token;
    let headers = intake.headers.as_ref().map(crate::headers::pairs).unwrap_or_default();
    let organisation = token.organisation.to_ref();
    let context = SourceContext {
        name: &token.source,
        organisation: &organisation,
        project: None,
        environment: None,
        authenticated: Authenticated::Token,
        namespace: intake.namespace,
        redact_keep: &intake.redact_keep,
    };
    let request =
        HookRequest { method: "POST", query: &[], headers: &headers, body, received_at: intake.received_at };
    let mut drafts = translate(Platform::CloudEvents, &context, &request)
        .map_err(|refusal| Problem::new(Kind::InvalidRecords, refusal.reason))?
        .drafts;
    let mut wrong = Wrong::default();
    for (index, draft) in drafts.iter_mut().enumerate() {
        if let Err(refused) = native::own(draft, token) {
            wrong.refused(index + 1, refused);
        }
    }
    wrong.into_problem().map_or(Ok(drafts), Err)
}

fn unreadable(body: &[u8], error: &dyn std::fmt::Display) -> Problem {
    let problem = Problem::new(Kind::InvalidRecords, error.to_string());
    if body.is_empty() {
        return problem.hint("the body is empty: send one record, a list of records, or one record a line");
    }
    problem
        .hint("application/json is one record or one list; for one record a line send application/x-ndjson")
}

fn too_many() -> Problem {
    Problem::new(Kind::TooLarge, format!("a request may hold {INGEST_RECORDS_MAX} records"))
        .hint("send them in several requests")
}
