//! The box that every report carries: what the sources behind it could and could not tell, and how far the archive is.

use std::collections::{BTreeMap, BTreeSet};

use audit_archive::{Over, Query, Status};
use audit_record::{ActionPattern, Filter, OWN, Period, Timestamp};
use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, KnownSource, ReportError};
use crate::platform::platform;

/// Most silent periods told of one source; those that are left out are counted.
const SILENCES_MAX: usize = 50;

/// Most pages of records that are turned to find them.
const SILENCE_PAGES_MAX: usize = 20;

/// What stands behind a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Every source that is set up or was heard of.
    pub sources: Vec<SourceCoverage>,
    /// When the oldest thing happened that the archive holds, RFC 3339.
    pub oldest_data_at: Option<String>,
    /// How far each partition is archived.
    pub partitions: Vec<PartitionCoverage>,
    /// Sentences on what is missing or uncertain; empty where nothing is.
    pub notes: Vec<String>,
    /// Since when, by whom and where the log's checkpoints are kept outside, or that they are not.
    pub anchored: String,
}

/// What came, and what could come, from one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceCoverage {
    /// Its name.
    pub name: String,
    /// The platform, as records name it.
    pub system: String,
    /// When it was set up; absent where it is not among the settings (records that were appended directly).
    pub connected_since: Option<String>,
    /// When the log took the first record of it that the archive holds.
    pub first_record_at: Option<String>,
    /// When the log took the last.
    pub last_record_at: Option<String>,
    /// Records of it in the archive; absent for whoever may see some projects alone.
    pub records: Option<u64>,
    /// Requests that could not become records, as far as is known here.
    pub rejected: Option<u64>,
    /// When it was silent for longer than it may be, where that is watched.
    pub silences: Vec<Silence>,
    /// Whether its platform sends who was given and who lost access.
    pub sends_access: bool,
    /// What its platform does not tell.
    pub cannot_tell: Vec<String>,
}

/// A time in which a source was silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// When it was last heard before, RFC 3339.
    pub from: String,
    /// When it was heard again; absent while it is not.
    pub to: Option<String>,
}

/// How far one partition is archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionCoverage {
    /// The partition.
    pub partition: u32,
    /// Messages up to which the report looked; absent for whoever may see some projects alone.
    pub messages: Option<u64>,
    /// Offsets of the log that were not archived yet; an upper bound of the messages missing.
    pub lag: u64,
    /// When the log took the last of them.
    pub last_appended_at: Option<String>,
}

impl Coverage {
    /// The sources whose platform sends nothing of access.
    pub(crate) fn without_access(&self) -> impl Iterator<Item = &SourceCoverage> {
        self.sources.iter().filter(|source| !source.sends_access)
    }
}

/// Milliseconds of the log as RFC 3339.
pub(crate) fn at_ms(ms: i64) -> Option<String> {
    Some(Timestamp::from_micros(ms.checked_mul(1_000)?).ok()?.to_string())
}

/// Gathers it.
pub(crate) fn gather(evidence: &mut Evidence<'_>) -> Result<Coverage, ReportError> {
    let status = evidence.reader().status()?;
    let mut notes = notes(&status, evidence);
    let mut sources = heard(evidence)?;
    for known in &evidence.surroundings().sources {
        let heard = sources.remove(&known.name);
        sources.insert(known.name.clone(), of_known(known, heard));
    }
    let mut sources: Vec<_> = sources.into_values().collect();
    if evidence.question().limited {
        sources = within_projects(evidence, sources)?;
    }
    let period = evidence.question().period;
    for source in &mut sources {
        let (silences, left_out) = silences(evidence, &source.name, period)?;
        source.silences = silences;
        if left_out {
            notes.push(format!("source {} was silent more often than is listed", source.name));
        }
    }
    let oldest_data_at = oldest(evidence)?;
    Ok(Coverage {
        sources,
        oldest_data_at,
        partitions: partitions(&status, evidence),
        notes,
        anchored: evidence.surroundings().anchored.clone(),
    })
}

/// The sources that have a record in the projects asked for, without what is counted over all projects.
fn within_projects(
    evidence: &Evidence<'_>,
    mut sources: Vec<SourceCoverage>,
) -> Result<Vec<SourceCoverage>, ReportError> {
    if sources.is_empty() {
        return Ok(sources);
    }
    let names = sources.iter().map(|source| source.name.clone()).collect();
    let filter = Filter { project: evidence.question().projects.clone(), source: names, ..Filter::default() };
    let named = evidence.reader().named(&filter, &|| evidence.in_time().is_err())?;
    let scopes = named.ok_or(ReportError::TooLong)?.scopes.unwrap_or_default();
    let names: BTreeSet<String> = scopes.iter().map(|scope| scope.parts().source).collect();
    sources.retain(|source| names.contains(&source.name));
    for source in &mut sources {
        (source.first_record_at, source.last_record_at) = (None, None);
        (source.records, source.rejected) = (None, None);
    }
    Ok(sources)
}

fn notes(status: &Status, evidence: &Evidence<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let log = evidence.surroundings().partitions;
    let here = status.partitions.len() as u64;
    if here < u64::from(log) {
        notes.push(format!(
            "the archive holds {here} of the log's {log} partitions: what the others hold is missing"
        ));
    }
    for partition in &status.partitions {
        if let Some(why) = &partition.stopped {
            notes.push(format!("partition {} is not archived on: {why}", partition.end.partition));
        }
        if partition.undecodable > 0 {
            notes.push(format!(
                "partition {} holds {} messages that are no record; they are in no report but log_integrity",
                partition.end.partition, partition.undecodable
            ));
        }
    }
    if evidence.question().limited {
        notes.push("the token is limited to projects: what lies above projects is left out".to_owned());
    }
    notes
}

fn partitions(status: &Status, evidence: &Evidence<'_>) -> Vec<PartitionCoverage> {
    let seen = |partition| evidence.frontier().partitions.iter().find(|end| end.partition == partition);
    let limited = evidence.question().limited;
    let of = |partition: &audit_archive::PartitionStatus| PartitionCoverage {
        partition: partition.end.partition,
        messages: seen(partition.end.partition).map(|end| end.records).filter(|_| !limited),
        lag: partition.lag(),
        last_appended_at: partition.last_appended_at_ms.and_then(at_ms),
    };
    status.partitions.iter().map(of).collect()
}

/// What the archive heard of each source, but for our own: those whose first record in a partition is of our organisation.
fn heard(evidence: &mut Evidence<'_>) -> Result<BTreeMap<String, SourceCoverage>, ReportError> {
    const SQL: &str = "
SELECT t.key AS source, h.records, first.appended_at_ms AS first_ms, h.last_appended_at_ms AS last_ms,
  first.json ->> '$.source.system' AS system
FROM heard h JOIN thing t ON t.thing = h.source JOIN record first ON first.seq = h.first_seq
  LEFT JOIN thing organisation ON organisation.thing = first.organisation
WHERE t.key IS NOT NULL AND organisation.key IS NOT '~flagtrail'";
    let mut found: BTreeMap<String, (SourceCoverage, i64, i64)> = BTreeMap::new();
    evidence.aside(SQL, Over::Whole, &mut |row| {
        let [name, records, first, last, system] = row.values.as_slice() else { return };
        let (Some(name), Some(first), Some(last)) = (name.as_text(), first.as_integer(), last.as_integer())
        else {
            return;
        };
        let system = system.as_text().unwrap_or_default();
        let entry =
            found.entry(name.to_owned()).or_insert_with(|| (unheard(name, system), i64::MAX, i64::MIN));
        *entry.0.records.get_or_insert(0) += records.as_integer().map_or(0, i64::cast_unsigned);
        entry.1 = entry.1.min(first);
        entry.2 = entry.2.max(last);
    })?;
    let dated = |(name, (mut source, first, last)): (String, (SourceCoverage, i64, i64))| {
        source.first_record_at = at_ms(first);
        source.last_record_at = at_ms(last);
        (name, source)
    };
    Ok(found.into_iter().map(dated).collect())
}

fn unheard(name: &str, system: &str) -> SourceCoverage {
    let platform = platform(system);
    SourceCoverage {
        name: name.to_owned(),
        system: system.to_owned(),
        connected_since: None,
        first_record_at: None,
        last_record_at: None,
        records: None,
        rejected: None,
        silences: Vec::new(),
        sends_access: platform.sends_access,
        cannot_tell: platform.cannot_tell.iter().map(|&sentence| sentence.to_owned()).collect(),
    }
}

fn of_known(known: &KnownSource, heard: Option<SourceCoverage>) -> SourceCoverage {
    let mut source = unheard(&known.name, &known.system);
    if let Some(heard) = heard {
        source.first_record_at = heard.first_record_at;
        source.last_record_at = heard.last_record_at;
        source.records = heard.records;
    }
    source.records.get_or_insert(0);
    source.connected_since = Some(known.connected_since.clone());
    source.rejected = known.rejected;
    source
}

/// When a source was silent, as our own records tell; whether more is left out.
fn silences(
    evidence: &Evidence<'_>,
    source: &str,
    period: Period,
) -> Result<(Vec<Silence>, bool), ReportError> {
    let pattern = |action| ActionPattern::try_new(action).expect("an action is a pattern");
    let filter = Filter {
        object: vec![source.to_owned()],
        related_object_type: vec!["FLAGTRAIL_SOURCE".to_owned()],
        action: vec![pattern("source.silent"), pattern("source.heard")],
        source: vec![OWN.to_owned()],
        ..Filter::default()
    };
    let mut query = Query { filter, limit: 1_000, order: audit_archive::Order::Oldest, ..Query::default() };
    let mut silences: Vec<Silence> = Vec::new();
    let mut left_out = false;
    for page in 0.. {
        if page >= SILENCE_PAGES_MAX {
            left_out = true;
            break;
        }
        evidence.in_time()?;
        let answer = evidence.reader().query(&query)?;
        for row in answer.rows {
            let Ok(record) = audit_record::AuditRecord::from_json(row.json.as_bytes()) else { continue };
            if record.action().as_str() == "source.silent" {
                let last = record.draft().attributes.get("last_received_at").and_then(|at| at.as_str());
                let from = last.map_or_else(|| record.occurred_at().to_string(), str::to_owned);
                silences.push(Silence { from, to: None });
            } else if let Some(silence) = silences.last_mut() {
                silence.to.get_or_insert(record.occurred_at().to_string());
            }
        }
        query.cursor = answer.next;
        if query.cursor.is_none() {
            break;
        }
    }
    // The texts are of one form, so that their order is that of time.
    let touches = |silence: &Silence| {
        let begins_before = period.to.is_none_or(|to| silence.from < to.to_string());
        let ends_after =
            silence.to.as_ref().is_none_or(|to| period.from.is_none_or(|from| *to >= from.to_string()));
        begins_before && ends_after
    };
    silences.retain(touches);
    left_out |= silences.len() > SILENCES_MAX;
    silences.truncate(SILENCES_MAX);
    Ok((silences, left_out))
}

/// When the oldest thing happened that the archive holds.
fn oldest(evidence: &mut Evidence<'_>) -> Result<Option<String>, ReportError> {
    let mut oldest: Option<i64> = None;
    evidence.aside("SELECT min(occurred_min_us) FROM span", Over::Whole, &mut |row| {
        let at = row.values.first().and_then(audit_archive::SqlValue::as_integer);
        oldest = oldest.into_iter().chain(at).min();
    })?;
    Ok(oldest.and_then(|us| Timestamp::from_micros(us).ok()).map(|at| at.to_string()))
}
