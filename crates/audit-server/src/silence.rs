//! Sources that fall silent: a record says so once for every silence, and another one when the source is heard again.
//!
//! What counts is on the log: what came last from the source among the records, as archived here, or among the rejected
//! requests. What was told last of a source is read from the log too, and the id of the next such record comes from it.
//! So every process that watches comes to the same, two that do at the same moment give one id, and a restart forgets
//! nothing. What became no record and was not rejected (a platform's test request) is known only to the process that
//! received it; it puts off what that process tells.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use audit_archive::{Query, QueryError, Reader, SourceHeard};
use audit_journal::{AppendOutcome, Bounds, Offset, ReadError, ReadLimit, Topic};
use audit_record::{ActionPattern, AuditRecord, Filter, OWN, Timestamp};
use audit_webhook::Span;
use serde::Deserialize;
use uuid::Uuid;

use crate::app::App;
use crate::clock::now;
use crate::settings::change::{Told, author_of};
use crate::settings::source::Source;
use crate::settings::stored::{Setting, Stored};

/// The actions of the two records.
const SILENT: &str = "source.silent";
const HEARD: &str = "source.heard";

/// The topic of rejected requests has this partition only.
const REJECTED: u32 = 0;

/// How much of the rejected requests is read at a time.
const LOOK: ReadLimit = ReadLimit { messages: 1_000, bytes: 4 * 1024 * 1024 };

/// Most reads of rejected requests in one look; the next look goes on.
const READS_MAX: usize = 100;

/// How long the archive may take to get to where the log ended when a look began: while records come in it is never at the
/// end itself.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// Pause between two questions whether it is there.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(100);

/// Most pages of the archive that are turned to find what was told last: the records that Flagtrail wrote about one
/// source are few.
const PAGES_MAX: usize = 20;

/// Why a look at the sources came to nothing. The next one is soon.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("the archive can't be asked: {0}")]
    Archive(#[from] QueryError),
    #[error("the log can't be read: {0}")]
    Log(#[from] ReadError),
    #[error("the log does not take the record: {0}")]
    Append(String),
    #[error("the look was cut short")]
    CutShort,
}

/// What was told last of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LastTold {
    /// That it is silent; else that it is heard, or nothing yet.
    is_silent: bool,
    /// The id of the record that told so; empty where there is none.
    id: String,
    /// When, microseconds since 1970.
    at_us: i64,
}

impl LastTold {
    fn by(record: &AuditRecord) -> Self {
        Self {
            is_silent: record.action().as_str() == SILENT,
            id: record.id().to_owned(),
            at_us: record.recorded_at().micros(),
        }
    }
}

/// The rejected requests, read as they come.
#[derive(Debug, Default)]
struct RejectedTail {
    /// Where to go on; nothing was read before the first look that needs it.
    next: Option<Offset>,
    /// The longest wait that was asked about: as far back it was read.
    reach_ms: i64,
    /// By source, when the log took the last.
    last_ms: HashMap<String, i64>,
}

/// Watches until the app is told to stop.
pub(crate) async fn watch(app: &App, reader: &Reader) {
    let mut ticks = tokio::time::interval(app.config().silence_check_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watcher = Watcher { app, reader, told: HashMap::new(), rejected: RejectedTail::default() };
    let mut has_complained = false;
    while app.shutdown().run_until_cancelled(ticks.tick()).await.is_some() {
        match app.shutdown().run_until_cancelled(watcher.look()).await {
            None => return,
            Some(Ok(())) => has_complained = false,
            Some(Err(error)) if !has_complained => {
                tracing::warn!(%error, "whether sources are silent is not known now");
                has_complained = true;
            }
            Some(Err(_)) => {}
        }
    }
}

struct Watcher<'a> {
    app: &'a App,
    reader: &'a Reader,
    /// By source; what is not there is asked of the archive.
    told: HashMap<String, LastTold>,
    rejected: RejectedTail,
}

impl Watcher<'_> {
    /// Looks at every source that is to be heard of, once.
    async fn look(&mut self) -> Result<(), LookError> {
        let mut watched = Vec::new();
        for Stored { setting: source, .. } in Stored::<Source>::list(self.app.control()) {
            match source.silent_after.filter(|_| source.enabled) {
                Some(after) => watched.push((source, after)),
                None => self.app.activity().of(&source.name).silent(false),
            }
        }
        self.told.retain(|name, _| watched.iter().any(|(source, _)| source.name == *name));
        let Some(longest) = watched.iter().map(|(_, after)| *after).max() else { return Ok(()) };
        // What is judged is the moment before the ends: of what came later the archive need not know.
        let at = now();
        let ends = self.app.journal().bounds(Topic::Records).await?;
        let Some(heard) = self.heard_until(ends).await? else { return Ok(()) };
        if !self.rejected.read_on(self.app, longest).await? {
            return Ok(());
        }
        for (source, after) in watched {
            self.judge(&source, after, &heard, at).await?;
        }
        Ok(())
    }

    /// What came from each source up to these ends of the log; `None` where the archive does not get there soon: one that
    /// trails knows of no silence.
    async fn heard_until(
        &self,
        ends: Vec<Bounds>,
    ) -> Result<Option<BTreeMap<String, SourceHeard>>, LookError> {
        let (began, epoch) = (Instant::now(), self.app.journal().identity().epoch);
        loop {
            let ends = ends.clone();
            let heard = self
                .ask(move |reader| reader.is_level(epoch, &ends)?.then(|| reader.sources()).transpose())
                .await?;
            if heard.is_some() || began.elapsed() >= CATCH_UP_MAX {
                return Ok(heard);
            }
            tokio::time::sleep(CATCH_UP_PAUSE).await;
        }
    }

    async fn judge(
        &mut self,
        source: &Source,
        after: Span,
        heard: &BTreeMap<String, SourceHeard>,
        at: Timestamp,
    ) -> Result<(), LookError> {
        let name = &source.name;
        let on_log = [
            heard.get(name).map(|heard| heard.last_appended_at_ms * 1_000),
            self.rejected.last_ms.get(name).map(|at_ms| at_ms * 1_000),
            // One that never sent anything is awaited since it was made.
            Timestamp::parse(&source.created_at).ok().map(Timestamp::micros),
        ];
        let last = on_log.into_iter().flatten().max().unwrap_or_default();
        let is_past = |last: i64| at.micros().saturating_sub(last) / 1_000 > after.as_millis();
        let here = self.app.activity().counts(name).last_received;
        let is_silent = is_past(last) && here.is_none_or(|here| is_past(here.micros()));
        self.app.activity().of(name).silent(is_silent);
        if self.told.get(name).is_some_and(|told| told.is_silent == is_silent) {
            return Ok(());
        }
        let told = self.told_last(name).await?;
        if told.is_silent == is_silent {
            self.told.insert(name.clone(), told);
            return Ok(());
        }
        if !is_silent && last <= told.at_us {
            // Nothing came since: the settings changed, and the silence is not over.
            return Ok(());
        }
        let record = record(self.app, source, after, last, is_silent, &told.id, at);
        // If we crash here, the next look of any process finds the same told last, and gives the same id.
        match &self.app.journal().append_records(std::slice::from_ref(&record)).await[..] {
            [AppendOutcome::Appended(_)] => {}
            [AppendOutcome::NotAppended(cause) | AppendOutcome::Unknown(cause)] => {
                return Err(LookError::Append(cause.clone()));
            }
            _ => return Err(LookError::CutShort),
        }
        if is_silent {
            tracing::warn!(source = name, "{}", record.log());
        } else {
            tracing::info!(source = name, "{}", record.log());
        }
        self.told.insert(name.clone(), LastTold::by(&record));
        Ok(())
    }

    /// What the archive has as told last.
    async fn told_last(&self, name: &str) -> Result<LastTold, LookError> {
        let pattern = |action| ActionPattern::try_new(action).expect("an action is a pattern");
        let filter = Filter {
            object: vec![name.to_owned()],
            related_object_type: vec![Source::OBJECT_TYPE.to_owned()],
            action: vec![pattern(SILENT), pattern(HEARD)],
            author: author_of(None).name.into_iter().collect(),
            // Nobody else's records have it.
            source: vec![OWN.to_owned()],
            ..Filter::default()
        };
        let mut query = Query { filter, limit: 1, ..Query::default() };
        let rows = self.ask(move |reader| {
            for _ in 0..PAGES_MAX {
                let page = reader.query(&query)?;
                if !page.rows.is_empty() || page.next.is_none() {
                    return Ok(page.rows);
                }
                query.cursor = page.next;
            }
            Ok(Vec::new())
        });
        let Some(row) = rows.await?.into_iter().next() else { return Ok(LastTold::default()) };
        let record = AuditRecord::from_json(row.json.as_bytes()).map_err(|_| LookError::CutShort)?;
        Ok(LastTold::by(&record))
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, LookError> {
        let reader = self.reader.clone();
        let answer = tokio::task::spawn_blocking(move || question(&reader)).await;
        Ok(answer.map_err(|_| LookError::CutShort)??)
    }
}

impl RejectedTail {
    /// Reads what was rejected since the last look; at first, and when a source waits for longer than any did before, as
    /// far back as the longest wait reaches. Whether the end is reached.
    async fn read_on(&mut self, app: &App, longest: Span) -> Result<bool, ReadError> {
        if longest.as_millis() > self.reach_ms {
            self.reach_ms = longest.as_millis();
            self.next = None;
        }
        let mut next = match self.next {
            Some(next) => next,
            None => {
                let since = now().micros().saturating_sub(longest.as_millis().saturating_mul(1_000));
                let since = Timestamp::from_micros(since.max(0)).unwrap_or_else(|_| now());
                let starts = app.journal().offsets_at(Topic::Rejected, since).await?;
                starts.iter().find(|start| start.partition == REJECTED).map_or(0, |start| start.offset)
            }
        };
        for _ in 0..READS_MAX {
            let range = match app.journal().read(Topic::Rejected, REJECTED, next, LOOK).await {
                // Retention was faster, or it is another topic by now: the next look begins anew.
                Err(error @ ReadError::OutOfRange { .. }) => {
                    self.next = None;
                    return Err(error);
                }
                range => range?,
            };
            for message in &range.messages {
                let origin = message.value.as_deref().map(serde_json::from_slice::<Origin<'_>>);
                if let Some(Ok(origin)) = origin {
                    let last = self.last_ms.entry(origin.source.into_owned()).or_insert(i64::MIN);
                    *last = message.appended_at_ms.max(*last);
                }
            }
            let is_stuck = range.next == next;
            next = range.next;
            self.next = Some(next);
            if next >= range.end || is_stuck {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whose a rejected request was.
#[derive(Deserialize)]
struct Origin<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
}

fn record(
    app: &App,
    source: &Source,
    after: Span,
    last_us: i64,
    is_silent: bool,
    told_before: &str,
    at: Timestamp,
) -> AuditRecord {
    let action = if is_silent { SILENT } else { HEARD };
    let last = Timestamp::from_micros(last_us).unwrap_or(at);
    let name = &source.name;
    let log = if is_silent {
        format!("Source {name} has sent nothing since {last}, longer than {after}")
    } else {
        format!("Source {name} is heard again")
    };
    let told =
        Told { action, object_type: Source::OBJECT_TYPE, id: name, name, log, before: None, after: None };
    let namespace = app.journal().identity().namespace;
    let id = Uuid::new_v5(&namespace, format!("{action}\0{name}\0{told_before}").as_bytes());
    let mut draft = told.into_draft(None, at);
    draft.id = Some(id.to_string());
    draft.attributes.insert("last_received_at".to_owned(), last.to_string().into());
    draft.attributes.insert("silent_after".to_owned(), after.to_string().into());
    AuditRecord::try_new(draft).expect("a record of a few names and times has every required field")
}
