//! The counters of sources on disk, so that a restart goes on counting. Written now and then and at the end: after a crash
//! the last seconds of a count are missing. What is exact stands on the log; these are figures.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::settings::source::Source;
use crate::settings::stored::Setting;

/// The version of the file that this release writes; another one is not read.
const VERSION: u32 = 1;

/// How often the counters are written, while they change.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// The counters of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceCounts {
    pub(crate) received: u64,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) bad_signatures: u64,
    /// When it last sent anything, microseconds since 1970; 0 where it never did.
    pub(crate) last_received_us: i64,
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    v: u32,
    sources: BTreeMap<String, SourceCounts>,
}

/// What was counted before this process. A file that is missing, broken or of another version is none.
pub(crate) fn read(path: &Path) -> BTreeMap<String, SourceCounts> {
    let read = || -> io::Result<Remembered> { Ok(serde_json::from_slice(&std::fs::read(path)?)?) };
    match read() {
        Ok(remembered) if remembered.v == VERSION => remembered.sources,
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        found => {
            let problem = found.err().map_or_else(|| "another version".to_owned(), |error| error.to_string());
            tracing::warn!(file = %path.display(), problem, "counters of sources begin anew");
            BTreeMap::new()
        }
    }
}

/// Writes the counters while they change, and once more when the app stops.
pub(crate) async fn keep(app: &App) {
    let Some(path) = app.config().counters_file.clone() else { return app.shutdown().cancelled().await };
    let mut written = app.activity().all();
    loop {
        let is_over = app.shutdown().run_until_cancelled(tokio::time::sleep(WRITE_EVERY)).await.is_none();
        if is_over {
            app.spooling().finished().await;
        }
        let counted = of_existing(app);
        if counted != written {
            if let Err(error) = write(path.clone(), counted.clone()).await {
                tracing::warn!(file = %path.display(), %error, "the counters of sources can't be written");
            }
            written = counted;
        }
        if is_over {
            return;
        }
    }
}

/// The counters of the sources that there are. Another process may have deleted some: they are forgotten.
fn of_existing(app: &App) -> BTreeMap<String, SourceCounts> {
    let mut counted = app.activity().all();
    counted.retain(|name, _| {
        let exists = app.control().get(Source::KIND, name).is_some();
        if !exists {
            app.activity().forget(name);
        }
        exists
    });
    counted
}

async fn write(path: PathBuf, sources: BTreeMap<String, SourceCounts>) -> io::Result<()> {
    let outcome = tokio::task::spawn_blocking(move || {
        let beside = path.with_extension("tmp");
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&serde_json::to_vec(&Remembered { v: VERSION, sources })?)?;
        file.sync_all()?;
        // If we crash before the rename, the file before stands.
        std::fs::rename(&beside, &path)
    });
    outcome.await.map_err(io::Error::other)?
}
