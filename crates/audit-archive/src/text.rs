//! Full text: which words of a record are searchable, and how a searcher's words are put to FTS5.
//!
//! The index is contentless (the words are not stored a second time) and may trail the rows: far behind, the
//! writer leaves it for later, and `archive.text_seq` says how far it is. At the tail it is written in the
//! rows' own transaction. It keeps word positions, so that `new-checkout` and `"new checkout"` mean two words
//! side by side. What is a word is FTS5's `unicode61` to say: runs of letters and digits, without case and
//! diacritics. So a search is for whole words, a run of Chinese is one word, and the vowel signs of Indic scripts
//! split theirs. A body that is erased is taken out of it by FTS5's `delete` command, which
//! wants the words it was given: [`words`] makes them again from the record. With `secure-delete` they are gone from
//! the index at once, not only marked. What may stay until the index is merged there is the beginning of a word that stood
//! first on a page, as far as the letter in which it differs from the word before it: by that FTS5 finds the page.

use std::borrow::Cow;

use rusqlite::Connection;
use serde::Deserialize;

/// Longest text of a search, in bytes.
pub(crate) const SEARCH_BYTES_MAX: usize = 1_024;

/// Most records that are made searchable in one transaction while the index trails.
pub(crate) const TRAILING_ROWS_MAX: usize = 4_096;

/// After so many records the index is merged again.
pub(crate) const MERGED_AFTER_ROWS: u64 = 4_096;

/// Most pages of the index that are merged in one transaction.
const MERGED_PAGES_MAX: u32 = 64;

/// What stands between two fields, so that a phrase does not run from one into the next. A word of its own
/// that nobody searches for.
const BETWEEN: &str = " \u{10fffd} ";

#[derive(Deserialize)]
struct Searchable<'a> {
    #[serde(borrow, default)]
    log: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    ticket: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    author: Option<Names<'a>>,
    #[serde(borrow, default)]
    project: Option<Names<'a>>,
    #[serde(borrow, default)]
    environment: Option<Names<'a>>,
    #[serde(borrow, default)]
    flag: Option<Names<'a>>,
    #[serde(borrow, default)]
    target: Option<Names<'a>>,
    #[serde(borrow, default)]
    related_object: Option<Names<'a>>,
    #[serde(borrow, default)]
    access: Option<AccessNames<'a>>,
}

#[derive(Deserialize)]
struct AccessNames<'a> {
    #[serde(borrow, default)]
    subject: Option<Names<'a>>,
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Names<'a> {
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    email: Option<Cow<'a, str>>,
}

/// The searchable words of a record: its sentence, reason and ticket, and the names, keys and e-mail addresses
/// in it, each once. Empty where a field that should be a text is something else.
fn words(json: &str, out: &mut String) {
    out.clear();
    let Ok(record) = serde_json::from_str::<Searchable<'_>>(json) else { return };
    let mut fields: Vec<&str> = Vec::with_capacity(16);
    let access = record.access.as_ref();
    let named = [
        record.author.as_ref(),
        record.project.as_ref(),
        record.environment.as_ref(),
        record.flag.as_ref(),
        record.target.as_ref(),
        record.related_object.as_ref(),
        access.and_then(|access| access.subject.as_ref()),
    ];
    let names = named.into_iter().flatten().flat_map(|n| [&n.key, &n.name, &n.email]);
    let alone = [&record.log, &record.reason, &record.ticket].into_iter();
    let role = access.map(|access| &access.role);
    for text in alone.chain(names).chain(role).filter_map(Option::as_deref) {
        if !fields.contains(&text) {
            fields.push(text);
        }
    }
    for text in fields {
        out.push_str(text);
        out.push_str(BETWEEN);
    }
}

/// Most words by which a record is looked up to see whether it is found.
const OWN_WORDS_MAX: usize = 3;

/// An FTS5 expression that finds this record: its own first words. `None` where it has none.
pub(crate) fn expression_for(json: &str) -> Option<String> {
    let mut own = String::new();
    words(json, &mut own);
    // An arrow or a dash is no word, and a record may begin with many of them.
    let is_word = |part: &&str| part.chars().any(char::is_alphanumeric);
    let first: Vec<&str> = own.split_whitespace().filter(is_word).take(OWN_WORDS_MAX).collect();
    match_expression(&first.join(" "))
}

/// Takes a record out of the index, if it is in there, in the transaction that is open on `conn`.
pub(crate) fn remove(conn: &Connection, seq: u64, json: &str) -> rusqlite::Result<()> {
    let Some(expression) = expression_for(json) else { return Ok(()) };
    let is_there: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM text WHERE text MATCH ?1 AND rowid = ?2)")?
        .query_row((expression, seq), |row| row.get(0))?;
    // Taking out what is not in there would leave the index with less than it counts.
    if !is_there {
        return Ok(());
    }
    let mut own = String::new();
    words(json, &mut own);
    conn.prepare_cached("INSERT INTO text (text, rowid, words) VALUES ('delete', ?1, ?2)")?
        .execute((seq, own))
        .map(drop)
}

/// Makes records searchable, in the transaction that is open on `conn`.
pub(crate) struct TextWriter<'c> {
    insert: rusqlite::CachedStatement<'c>,
    words: String,
}

impl<'c> TextWriter<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let insert = conn.prepare_cached("INSERT INTO text (rowid, words) VALUES (?1, ?2)")?;
        Ok(Self { insert, words: String::new() })
    }

    pub(crate) fn add(&mut self, seq: u64, json: &str) -> rusqlite::Result<()> {
        words(json, &mut self.words);
        self.insert.execute((seq, &self.words)).map(drop)
    }
}

/// Makes the next records searchable, at most [`TRAILING_ROWS_MAX`], in a transaction of its own. Returns
/// whether more are left. If we crash here, `text_seq` and the words are as they were.
pub(crate) fn catch_up(conn: &mut Connection, end: u64) -> rusqlite::Result<bool> {
    let tx = conn.transaction()?;
    let from: u64 = tx.query_row("SELECT text_seq FROM archive", (), |row| row.get(0))?;
    let to = end.min(from + TRAILING_ROWS_MAX as u64);
    {
        let mut writer = TextWriter::new(&tx)?;
        let mut select = tx.prepare_cached(
            "SELECT seq, json FROM record WHERE seq >= ?1 AND seq < ?2 AND json IS NOT NULL",
        )?;
        let mut rows = select.query((from, to))?;
        while let Some(row) = rows.next()? {
            let json = row.get_ref(1)?.as_str()?;
            writer.add(row.get(0)?, json)?;
        }
    }
    tx.prepare_cached("UPDATE archive SET text_seq = ?1")?.execute([to])?;
    tx.commit()?;
    Ok(to < end)
}

/// Merges some more of the index, in a transaction of its own; whether anything is left to merge.
///
/// Every transaction that adds words adds a segment to the index, and every search looks into each of them. FTS5 merges
/// four of a size as they come; merging two of a size while nothing else is to be done leaves a few large ones. Over
/// 60,000 records, added 200 at a time, a search for a frequent word took 0.55 ms before and 0.11 ms after, for four
/// frequent words side by side 6.3 and 1.7 ms; merging took 5 µs a record.
pub(crate) fn merge(conn: &mut Connection) -> rusqlite::Result<bool> {
    let before = conn.total_changes();
    let tx = conn.transaction()?;
    tx.prepare_cached("INSERT INTO text (text, rank) VALUES ('merge', ?1)")?.execute([MERGED_PAGES_MAX])?;
    tx.commit()?;
    // A statement that merges nothing counts as one change at most.
    Ok(conn.total_changes() - before >= 2)
}

/// A searcher's text as an FTS5 expression in which every word is a quoted string: nothing in it can be an
/// operator. `None` where there is nothing to search for.
pub(crate) fn match_expression(text: &str) -> Option<String> {
    if !text.chars().any(char::is_alphanumeric) {
        return None;
    }
    let mut expression = String::with_capacity(text.len() + 16);
    for (index, part) in text.split('"').enumerate() {
        // Every second part stood between two quotes.
        let phrases: Vec<&str> = if index % 2 == 1 { vec![part] } else { part.split_whitespace().collect() };
        for phrase in phrases.into_iter().filter(|phrase| phrase.chars().any(char::is_alphanumeric)) {
            expression.push('"');
            // A NUL would end the expression for SQLite; the tokenizer takes both for a gap between words.
            expression.extend(phrase.chars().map(|c| if c == '\0' { ' ' } else { c }));
            expression.push_str("\" ");
        }
    }
    Some(expression)
}

#[cfg(test)]
mod tests {
    use super::{match_expression, words};

    #[test]
    fn every_word_of_a_search_is_a_quoted_string() {
        let quoted = match_expression(r#"NOT a* (b OR "c d" ^e - : col:x"#);
        assert_eq!(quoted.as_deref(), Some(r#""NOT" "a*" "(b" "OR" "c d" "^e" "col:x" "#));
    }

    #[test]
    fn a_quote_that_is_not_closed_reaches_to_the_end() {
        assert_eq!(match_expression(r#"a "b c"#).as_deref(), Some(r#""a" "b c" "#));
    }

    #[test]
    fn a_search_without_a_letter_or_digit_is_none() {
        assert_eq!(match_expression(" \"\" =*' 🎉"), None);
    }

    #[test]
    fn a_record_that_begins_with_no_word_is_looked_up_by_those_that_follow() {
        let own = super::expression_for(r#"{"log":"→ — 🎉 Ada turned it on"}"#);
        assert_eq!(own.as_deref(), Some(r#""Ada" "turned" "it" "#));
        assert_eq!(super::expression_for(r#"{"log":"→ — 🎉"}"#), None);
    }

    #[test]
    fn names_that_recur_count_once() {
        let mut out = String::new();
        words(
            r#"{"log":"turned on","flag":{"key":"checkout","name":"checkout"},"related_object":{"key":"checkout","id":"5"}}"#,
            &mut out,
        );
        assert_eq!(out.replace('\u{10fffd}', "|"), "turned on | checkout | ");
    }
}
