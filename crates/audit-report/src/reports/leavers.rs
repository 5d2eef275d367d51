//! Whether those who left lost their access, and when.

use std::borrow::Cow;
use std::collections::BTreeSet;

use audit_archive::AccessRow;
use audit_record::Timestamp;

use super::{Entry, held};
use crate::cell::Cell;
use crate::definition::{Column, Control, Definition, Framework, Kind, ListWanted, When, column, control};
use crate::evidence::{Evidence, ReportError};
use crate::rows::Rows;

const COLUMNS: &[Column] = &[
    column("user", Kind::Text, "Who left, as the list names them"),
    column("hr_terminated_at", Kind::Time, "When, by the list"),
    column(
        "access_removed_at",
        Kind::Time,
        "When the last of the access ended that was held at that moment or later; empty while any is left, and where \
         none was held then",
    ),
    column(
        "lag_hours",
        Kind::Number,
        "Hours from one to the other; while any is left, until the moment asked for",
    ),
    column("sla_hours", Kind::Integer, "compliance.leaver_hours"),
    column(
        "within_sla",
        Kind::Bool,
        "Whether lag_hours is at most that; empty where no access was held then",
    ),
    column(
        "tokens_revoked_at",
        Kind::Time,
        "When the last API key of theirs was deleted that the records tell of",
    ),
    column("residual_access", Kind::List, "What is still held at the moment asked for"),
    column("known", Kind::Bool, "Whether any record of access names them: no where nothing can be said"),
    column("record_ids", Kind::List, "The records that ended access, and those that gave what is left"),
];

const CONTROLS: &[Control] = &[
    control(Framework::Soc2, "CC6.2"),
    control(Framework::Soc2, "CC6.3"),
    control(Framework::Iso27001, "A.5.18"),
    control(Framework::Sox, "ITGC access"),
    control(Framework::Nist, "AC-2(4)"),
];

/// The columns that may say who, in the order in which they count.
const WHO: [&str; 5] = ["user", "email", "user_id", "user_name", "name"];

/// What each column of the list is for.
const LIST: &str = "CSV of those who left, with a line of column names: user (or email, user_id, user_name, name: an \
                    e-mail address, an id or a name as the platform has it) and terminated_at (RFC 3339, or a day, \
                    which ends at its midnight UTC)";

pub(super) fn report() -> Entry {
    Entry {
        definition: Definition {
            name: Cow::Borrowed("leavers"),
            title: Cow::Borrowed("Leavers and their access"),
            version: 1,
            meaning: Cow::Borrowed(
                "One row for every line of the list of those who left. Their access is that of whoever goes by that \
                 e-mail address, id or name at any source. What ended before they left is not counted; what was given again \
                 afterwards is. Residual is what is held at the moment asked for. An account that a platform deletes \
                 without telling, and sessions, are not known to the log.",
            ),
            when: When::At,
            list: Some(ListWanted { meaning: Cow::Borrowed(LIST), required: true }),
            columns: Cow::Borrowed(COLUMNS),
            controls: Cow::Borrowed(CONTROLS),
            about_access: true,
        },
        run,
    }
}

/// One line of the list.
struct Leaver {
    who: String,
    terminated_at: Timestamp,
}

fn run(evidence: &mut Evidence<'_>, rows: &mut Rows) -> Result<(), ReportError> {
    let at = evidence.question().at;
    let sla = evidence.compliance().leaver_hours;
    let list = evidence.question().list.clone().unwrap_or_default();
    let leavers = read(&list)?;
    let projects = evidence.question().projects.clone();
    let (mut residual, mut late, mut unknown, mut read) = (0, 0, 0, 0);
    for leaver in &leavers {
        let history = held::history(evidence, std::slice::from_ref(&leaver.who), &projects)?;
        read += history.len() as u64;
        let left = leaver.terminated_at;
        // Up to the moment asked for, what came later is not known.
        let seen: Vec<&AccessRow> =
            history.iter().filter(|row| row.from().is_some_and(|from| from <= at)).collect();
        let ended = |row: &AccessRow| held::ended_at(row).filter(|ended| *ended <= at);
        let since: Vec<&&AccessRow> =
            seen.iter().filter(|row| ended(row).is_none_or(|ended| ended >= left)).collect();
        let open: Vec<&&&AccessRow> = since.iter().filter(|row| ended(row).is_none()).collect();
        let last = since.iter().filter_map(|row| ended(row)).max();
        let removed_at = last.filter(|_| open.is_empty());
        let until = if open.is_empty() { last } else { Some(at) };
        let lag = until.map(|until| Cell::hours(left, until.max(left)));
        let within = until.map(|until| until.micros() - left.micros() <= i64::from(sla) * 3_600_000_000);
        residual += u64::from(!open.is_empty());
        late += u64::from(within == Some(false));
        unknown += u64::from(seen.is_empty());
        let mut what: Vec<String> = open.iter().map(|row| held::role_in(row)).collect();
        what.sort();
        let records: BTreeSet<String> = since
            .iter()
            .map(|row| match &row.ended {
                Some(end) if ended(row).is_some() => end.record.clone(),
                _ => row.begun.record.clone(),
            })
            .collect();
        let keys = history.iter().filter(|row| row.subject.kind == "api_key").filter_map(ended).max();
        rows.push(vec![
            leaver.who.clone().into(),
            left.into(),
            Cell::time(removed_at),
            lag.unwrap_or(Cell::None),
            u64::from(sla).into(),
            within.map_or(Cell::None, Cell::Bool),
            Cell::time(keys),
            Cell::list(what),
            (!seen.is_empty()).into(),
            Cell::list(records.into_iter().collect()),
        ]);
    }
    held::ran_history(evidence, leavers.len(), read);
    rows.sort_by(&[1, 0]);
    evidence.total("with access left", residual);
    evidence.total("not within the time for it", late);
    evidence.total("whom no record of access names", unknown);
    Ok(())
}

/// Reads the list; what is wrong is named by its line.
fn read(list: &str) -> Result<Vec<Leaver>, ReportError> {
    let asked = |problem: String| ReportError::Asked(format!("the list of leavers: {problem}; it is {LIST}"));
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(list.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().map_err(|error| asked(error.to_string()))?.clone();
    let at = |name: &str| header.iter().position(|column| column.eq_ignore_ascii_case(name));
    let who = WHO.iter().find_map(|name| at(name)).ok_or_else(|| asked("no column says who".to_owned()))?;
    let when = at("terminated_at").ok_or_else(|| asked("the column terminated_at is missing".to_owned()))?;
    let mut leavers = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| asked(error.to_string()))?;
        let line = row.position().map_or(0, csv::Position::line);
        let cell = |index: usize| row.get(index).unwrap_or_default();
        let (who, when) = (cell(who), cell(when));
        if who.is_empty() {
            return Err(asked(format!("line {line} names nobody")));
        }
        let day = || Timestamp::parse(&format!("{when}T00:00:00Z"));
        let Ok(terminated_at) = Timestamp::parse(when).or_else(|_| day()) else {
            return Err(asked(format!("line {line}: terminated_at {when:?} is no time")));
        };
        leavers.push(Leaver { who: who.to_owned(), terminated_at });
    }
    Ok(leavers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_by_its_columns_and_what_is_wrong_is_named() {
        let leavers = read("email,name,terminated_at\nada@example.com,Ada,2026-03-01\n").unwrap();
        assert_eq!((leavers[0].who.as_str(), leavers.len()), ("ada@example.com", 1));
        for (list, part) in [
            ("terminated_at\n2026-03-01\n", "no column says who"),
            ("user\nada\n", "terminated_at is missing"),
            ("user,terminated_at\nada,soon\n", "line 2: terminated_at \"soon\""),
            ("user,terminated_at\n,2026-03-01\n", "line 2 names nobody"),
        ] {
            let error = read(list).err().expect("refused").to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
