//! Running a report: from its name and a question to the document.

use std::time::{Duration, Instant};

use audit_archive::Reader;

use crate::coverage::{self, Coverage};
use crate::definition::{Definition, When};
use crate::evidence::{Evidence, ReportError, Surroundings};
use crate::question::Question;
use crate::report::Report;
use crate::reports;
use crate::rows::Rows;

/// How long a report may take: shorter than a request may, so that whoever asks is told what to narrow.
pub const REPORT_TIME_MAX: Duration = Duration::from_secs(25);

/// Runs the report of that name. Blocking, like everything that reads an archive.
pub fn run(
    reader: &Reader,
    name: &str,
    question: &Question,
    surroundings: &Surroundings,
) -> Result<Report, ReportError> {
    let entry = reports::entry(name).ok_or_else(|| ReportError::Unknown(name.to_owned()))?;
    check(&entry.definition, question)?;
    let mut evidence = Evidence::new(reader, question, surroundings, Instant::now() + REPORT_TIME_MAX)?;
    let mut rows = Rows::new(entry.definition.columns.len());
    (entry.run)(&mut evidence, &mut rows)?;
    let mut coverage = coverage::gather(&mut evidence)?;
    evidence.total("rows", rows.len() as u64);
    let (rows, cut) = rows.into_parts();
    let (sql, totals, notes) = evidence.into_parts();
    coverage.notes.extend(notes);
    let about_moment = entry.definition.when == When::At;
    Ok(Report {
        title: title(&entry.definition, &coverage),
        definition: entry.definition,
        parameters: question.parameters(about_moment),
        asked_by: question.asked_by.clone(),
        generated_at: question.asked_at.to_string(),
        generator: concat!("flagtrail ", env!("CARGO_PKG_VERSION")).to_owned(),
        compliance: surroundings.compliance.clone(),
        coverage,
        totals,
        sql,
        cut,
        rows,
    })
}

fn check(definition: &Definition, question: &Question) -> Result<(), ReportError> {
    let name = &definition.name;
    match (&definition.list, &question.list) {
        (Some(wanted), None) if wanted.required => {
            Err(ReportError::Asked(format!("{name} needs a list: {}", wanted.meaning)))
        }
        (None, Some(_)) => Err(ReportError::Asked(format!("{name} compares with no list: leave it out"))),
        _ if question.period.from.zip(question.period.to).is_some_and(|(from, to)| from >= to) => {
            Err(ReportError::Asked("from must be before to".to_owned()))
        }
        _ => Ok(()),
    }
}

/// The title; where nothing tells of access, and the report is about that, it says so.
fn title(definition: &Definition, coverage: &Coverage) -> String {
    let title = definition.title.to_string();
    if !definition.about_access {
        return title;
    }
    let without: Vec<_> = coverage.without_access().map(|source| source.name.as_str()).collect();
    if without.is_empty() {
        return title;
    }
    if without.len() == coverage.sources.len() {
        return format!("{title} (no source here sends access events: it shows imported access alone)");
    }
    format!("{title} (without access events of {}: they send none)", without.join(", "))
}
