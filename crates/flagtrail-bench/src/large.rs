//! The archive of ten million that several rows look at: made once a run, or kept from one run to the next.
//!
//! It is written as every archive is, by an [`Archiver`] that follows a log. That log is in a file and is removed once it is
//! archived: what is looked at are the archive's files alone. To go on with another log it is told to take that one
//! for its own, from its first message on; what a record costs depends on what the files hold, not on where it came from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use audit_archive::{ArchiveConfig, Archiver, QueryError, Reader, Status};
use audit_journal::{Journal, LogIdentity};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::archiving;
use crate::sample;
use crate::topic;

/// Records that it holds.
pub(crate) const RECORDS: usize = 10_000_000;

/// What it is called in its directory, and what its log is while it is made: names that nothing else has, for both are altered
/// and removed without asking.
const ARCHIVE: &str = "flagtrail-bench-archive";
const LOG: &str = "flagtrail-bench-log";

/// Records between two words about how far the log is.
const TOLD_EVERY: usize = 500_000;

/// How long it may take to be made.
const MADE_WITHIN: Duration = Duration::from_secs(4 * 3_600);

/// How long nothing is written once the index of words is merged.
const QUIET: Duration = Duration::from_secs(10);

/// Pause between two looks whether something was written.
const QUIET_POLL: Duration = Duration::from_secs(1);

/// How far samples lie apart, in messages of one file: a prime, so that they spread over all of it.
const STRIDE: u64 = 15_485_863;

/// Where it lies.
pub(crate) struct LargeArchive {
    dir: PathBuf,
    /// When nothing was written for so long, nothing is left to be done.
    quiet: Duration,
    /// Removes it in the end, where it is not kept.
    _removed: Option<TempDir>,
}

impl LargeArchive {
    /// Kept in a directory; or in one that is removed with this value.
    pub(crate) fn new(kept: Option<PathBuf>) -> Result<Self> {
        match kept {
            Some(dir) => {
                fs::create_dir_all(&dir).with_context(|| format!("{} can't be made", dir.display()))?;
                Ok(Self { dir: dir.canonicalize()?, quiet: QUIET, _removed: None })
            }
            None => {
                let made = tempfile::tempdir()?;
                Ok(Self { dir: made.path().to_owned(), quiet: QUIET, _removed: Some(made) })
            }
        }
    }

    /// The archive's directory.
    pub(crate) fn archive(&self) -> PathBuf {
        self.dir.join(ARCHIVE)
    }

    /// Its files, by partition.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let file = |partition: u32| self.archive().join(format!("records-{partition:02}.sqlite"));
        (0..topic::PARTITIONS).map(file).collect()
    }

    /// A reader of it, and how many messages it holds, once these are `records` or more and all of it is complete. What an
    /// earlier run left is gone on with.
    pub(crate) async fn ready(&self, records: usize) -> Result<(Reader, usize)> {
        let reader = Reader::open(self.archive());
        let status = match reader.status() {
            Err(QueryError::NoArchive(_)) => Status::default(),
            other => other?,
        };
        let held = archiving::messages(&status);
        if held >= records && has_all_words(&status) {
            return Ok((reader, held));
        }
        let began = Instant::now();
        let more = records.saturating_sub(held);
        self.add(&reader, held, more).await?;
        eprintln!("  an archive of {} is there, after {:.0} s", held + more, began.elapsed().as_secs_f64());
        Ok((reader, held + more))
    }

    /// Has it go on with another log, which begins with its next record. Nobody may be writing it.
    pub(crate) fn take_up(&self, log: &LogIdentity) -> Result<()> {
        for file in self.files().into_iter().filter(|file| file.exists()) {
            let mut connection = Connection::open(file)?;
            let tx = connection.transaction()?;
            tx.execute("UPDATE archive SET deployment = ?1, stopped = NULL", [log.deployment.to_string()])?;
            tx.execute(
                "UPDATE position SET next = 0, epoch = 0, anchor_offset = NULL, anchor_hash = NULL, log_end = 0",
                (),
            )?;
            tx.commit()?;
        }
        Ok(())
    }

    /// The number of the first sample record that it has not.
    pub(crate) fn next_number(&self) -> Result<usize> {
        let mut next = 0;
        for file in self.files().into_iter().filter(|file| file.exists()) {
            let last: Option<String> = read_only(&file)?
                .query_row(
                    "SELECT id FROM record WHERE id <= ?1 AND id IS NOT NULL AND duplicate_of IS NULL
                     ORDER BY id DESC LIMIT 1",
                    [sample::id(sample::NUMBER_MAX)],
                    |row| row.get(0),
                )
                .optional()?;
            next = next.max(last.and_then(|id| sample::number(&id)).map_or(0, |number| number + 1));
        }
        Ok(next)
    }

    /// The numbers of up to `count` sample records that it has, spread over it.
    pub(crate) fn numbers(&self, count: usize) -> Result<Vec<usize>> {
        let files = self.files();
        let each = count.div_ceil(files.len());
        let mut numbers = Vec::with_capacity(count);
        for file in &files {
            let connection = read_only(file)?;
            let held: u64 =
                connection.query_row("SELECT coalesce(max(seq) + 1, 0) FROM record", (), |row| row.get(0))?;
            let mut select = connection.prepare("SELECT id FROM record WHERE seq = ?1")?;
            for index in 0..each as u64 {
                let Some(seq) = (index * STRIDE).checked_rem(held) else { break };
                let id = select.query_row([seq], |row| row.get::<_, Option<String>>(0)).optional()?.flatten();
                numbers.extend(id.and_then(|id| sample::number(&id)));
            }
        }
        numbers.truncate(count);
        ensure!(!numbers.is_empty(), "{} holds no sample records", self.archive().display());
        Ok(numbers)
    }

    /// Adds `more` records, and whatever is missing of its indexes and words.
    async fn add(&self, reader: &Reader, held: usize, more: usize) -> Result<()> {
        let first = self.next_number()?;
        // What is left of a run that was stopped.
        let log = self.dir.join(LOG);
        if log.exists() {
            fs::remove_dir_all(&log)?;
        }
        fs::create_dir_all(&log)?;
        eprintln!("  adding {more} records to an archive of {held} in {}", self.dir.display());
        let journal = topic::open_embedded(log.join("journal.sqlite")).await?;
        for from in (first..first + more).step_by(TOLD_EVERY) {
            topic::append(&journal, from..(first + more).min(from + TOLD_EVERY)).await?;
            eprintln!("  {} of {more} on the log", (from - first + TOLD_EVERY).min(more));
        }
        self.take_up(journal.identity())?;
        let archived = self.follow(&journal, reader, held, more).await;
        journal.close().await;
        archived?;
        fs::remove_dir_all(&log)?;
        Ok(())
    }

    /// Archives a log of `more` records until nothing is left to be done.
    async fn follow(&self, journal: &Journal, reader: &Reader, held: usize, more: usize) -> Result<()> {
        let archiver = Archiver::open(ArchiveConfig::new(self.archive()), journal)?;
        let stop = CancellationToken::new();
        let writing = tokio::spawn(archiver.run(journal.clone(), stop.clone()));
        let done = match archiving::complete(reader, held, more, MADE_WITHIN).await {
            Ok(_) => self.quiet().await,
            Err(error) => Err(error),
        };
        stop.cancel();
        writing.await?;
        done
    }

    /// Waits until nothing is written any more. That the index of words is being merged no figure tells.
    async fn quiet(&self) -> Result<()> {
        let began = Instant::now();
        while last_written(&self.files())?.elapsed().unwrap_or_default() < self.quiet {
            ensure!(
                began.elapsed() < MADE_WITHIN,
                "the archive is still being written after {MADE_WITHIN:?}"
            );
            tokio::time::sleep(QUIET_POLL).await;
        }
        Ok(())
    }
}

/// Whether all that an archive holds is found by its words, too.
fn has_all_words(status: &Status) -> bool {
    archiving::is_complete(status) && status.partitions.iter().all(|partition| partition.text_seq.is_some())
}

/// When one of these databases, or what SQLite writes ahead of it, was last written.
fn last_written(files: &[PathBuf]) -> Result<SystemTime> {
    let mut last = SystemTime::UNIX_EPOCH;
    for file in files {
        last = last.max(fs::metadata(file)?.modified()?);
        // The log ahead of it comes and goes.
        let mut ahead = file.clone().into_os_string();
        ahead.push("-wal");
        if let Ok(ahead) = fs::metadata(ahead) {
            last = last.max(ahead.modified()?);
        }
    }
    Ok(last)
}

fn read_only(file: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags).with_context(|| format!("{} can't be read", file.display()))
}

#[cfg(test)]
impl LargeArchive {
    /// One for a test, which need not wait until its index of words is merged.
    pub(crate) fn small() -> Self {
        Self { quiet: Duration::ZERO, ..Self::new(None).expect("a directory") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_archive_goes_on_with_another_log_where_it_ended() {
        let large = LargeArchive::small();
        large.ready(700).await.expect("an archive");
        let (reader, held) = large.ready(1_500).await.expect("a larger one");
        assert_eq!((held, large.next_number().expect("a number")), (1_500, 1_500));
        let status = reader.status().expect("a status");
        assert_eq!(archiving::messages(&status), 1_500);
        assert!(has_all_words(&status));
        for partition in &status.partitions {
            assert_eq!((partition.duplicates, partition.stopped.as_deref()), (0, None));
        }
        // The tree goes on, too: what came before and after is proven alike.
        for number in [0, 699, 700, 1_499] {
            let found = reader.get(&sample::id(number)).expect("an answer");
            let row = found.first().unwrap_or_else(|| panic!("record {number} is missing"));
            reader.prove_inclusion(row.partition, row.seq, None).expect("a proof");
        }
    }
}
