//! One page of 100 from an archive of ten million, against the same rows by hand-written SQL on the same files.
//!
//! Asked of the [`Reader`], not over HTTP: what it is set against makes no requests either.

use std::time::Instant;

use anyhow::{Result, ensure};
use audit_archive::{Page, Query, Reader};
use audit_record::{ActionPattern, Filter, Period, Timestamp};

use crate::Scale;
use crate::figure::{Figure, quantile};
use crate::large::{self, LargeArchive};
use crate::raw::archive::{Files, Select};
use crate::sample;

/// Rows of a page.
const ROWS: usize = 100;

/// Pages asked for of each kind.
const PAGES: usize = 400;

/// How long the period is that is asked about: half of the time in which all sample records happened.
const PERIOD_US: i64 = 500_000;

/// What a page is asked by.
#[derive(Clone, Copy, Debug)]
enum Question {
    Flag,
    Object,
    Author,
    Action,
    Text,
}

const QUESTIONS: [(Question, &str); 5] = [
    (Question::Flag, "project, time and flag"),
    (Question::Object, "project, time and object"),
    (Question::Author, "project, time and author"),
    (Question::Action, "project, time and action"),
    (Question::Text, "full text"),
];

pub(crate) async fn measure(scale: Scale, large: &LargeArchive) -> Result<Vec<Figure>> {
    let (reader, held) = large.ready(scale.records(large::RECORDS)).await?;
    let numbers = large.numbers(scale.of(PAGES))?;
    let paths = large.files();
    tokio::task::spawn_blocking(move || -> Result<Vec<Figure>> {
        let files = Files::open(&paths)?;
        let mut figures = Vec::new();
        let mut partial = 0;
        for (question, what) in QUESTIONS {
            let pages = pages(question, &numbers, &reader, &files)?;
            partial += pages.partial;
            let (p99, by_hand) = (quantile(&pages.millis, 0.99), quantile(&pages.by_hand_millis, 0.99));
            let met = p99 <= 20.0 && p99 <= 3.0 * by_hand;
            let what = format!("page of {ROWS} of {held}: {what}, p99");
            let mut figure = Figure::plain(&what, p99, "ms", "≤ 20 ms and ≤ 3 × by hand", Some(met));
            figure.raw = Some((by_hand, "SQL by hand on the same files, p99"));
            figures.push(figure);
        }
        let what = "… pages that the scan budget cut short";
        figures.push(Figure::plain(what, partial as f64, "pages", "none", Some(partial == 0)));
        Ok(figures)
    })
    .await?
}

/// How long the pages of one kind took, in milliseconds, sorted.
struct Pages {
    millis: Vec<f64>,
    by_hand_millis: Vec<f64>,
    partial: usize,
}

fn pages(question: Question, numbers: &[usize], reader: &Reader, files: &Files) -> Result<Pages> {
    let mut pages = Pages { millis: Vec::new(), by_hand_millis: Vec::new(), partial: 0 };
    for (index, number) in numbers.iter().enumerate() {
        let (query, select) = asked(question, *number)?;
        let ours = || timed(|| Ok(reader.query(&query)?));
        let by_hand = || timed(|| files.latest(&select, ROWS));
        // Whoever asks second finds in memory what the first had to fetch: they take turns.
        let ((page, millis), (rows, by_hand_millis)) = if index % 2 == 0 {
            let page = ours()?;
            (page, by_hand()?)
        } else {
            let rows = by_hand()?;
            (ours()?, rows)
        };
        ensure!(is_same(&page, &rows), "{question:?} about record {number}: the pages differ");
        pages.partial += usize::from(page.partial);
        pages.millis.push(millis);
        pages.by_hand_millis.push(by_hand_millis);
    }
    pages.millis.sort_by(f64::total_cmp);
    pages.by_hand_millis.sort_by(f64::total_cmp);
    Ok(pages)
}

fn timed<T>(ask: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let began = Instant::now();
    let answer = ask()?;
    Ok((answer, began.elapsed().as_secs_f64() * 1e3))
}

/// Whether a page has the rows that SQL gave; one that was cut short has the first of them.
fn is_same(page: &Page, rows: &[String]) -> bool {
    let is_whole = page.partial || page.rows.len() == rows.len();
    is_whole
        && page.rows.len() <= rows.len()
        && page.rows.iter().map(|row| &row.json).eq(&rows[..page.rows.len()])
}

/// A question that record `number` is among the answers to, as the archive is asked and as SQL by hand.
fn asked(question: Question, number: usize) -> Result<(Query, Select)> {
    let (project, flag, author) = sample::project_flag_author(number);
    let query = Query { limit: ROWS, ..Query::default() };
    let mut filter = Filter { project: vec![project.to_string()], ..Filter::default() };
    let (kind, label) = match question {
        Question::Flag => {
            filter.flag.push(flag.to_string());
            ("flag", flag.to_string())
        }
        Question::Object => {
            filter.object.push(number.to_string());
            ("object", number.to_string())
        }
        Question::Author => {
            filter.author.push(author.to_string());
            ("author", author.to_string())
        }
        Question::Action => {
            filter.action.push(ActionPattern::try_new(sample::ACTION)?);
            ("action", sample::ACTION.to_owned())
        }
        Question::Text => {
            let words = format!("flag_{flag}");
            let select = Select::of_words(&words, ROWS);
            return Ok((Query { text: Some(words), ..query }, select));
        }
    };
    let at = sample::occurred_at(number).micros();
    let from = at - at.rem_euclid(PERIOD_US);
    let period = Period {
        from: Some(Timestamp::from_micros(from)?),
        to: Some(Timestamp::from_micros(from + PERIOD_US)?),
    };
    let select = Select::of_project(&project.to_string(), (kind, &label), (from, from + PERIOD_US), ROWS);
    Ok((Query { filter, period, ..query }, select))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_asked_for_is_what_the_sql_by_hand_gives() {
        let large = LargeArchive::small();
        let (reader, _) = large.ready(6_000).await.expect("an archive");
        let numbers = large.numbers(12).expect("records of it");
        let files = Files::open(&large.files()).expect("its files");
        for (question, _) in QUESTIONS {
            let pages = pages(question, &numbers, &reader, &files).expect("the same rows");
            assert_eq!(pages.millis.len(), numbers.len());
        }
    }
}
