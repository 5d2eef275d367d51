//! A copy of the settings on this machine's disk, for a process that starts while the log is away.
//!
//! It is no second truth: it is written after the log, read only until the log is reached, and may be deleted.
//! It holds what `control` holds, secrets in the form that they have there included, so only the owner of the
//! file may read it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::{Entity, State};
use crate::error::OpenError;
use crate::identity::{IDENTITY_ID, IDENTITY_KIND, LogIdentity};

/// The version of the file that this release writes, and the highest that it reads.
const VERSION: u32 = 1;

/// Pause before the copy is written again, after that failed.
const WRITE_RETRY_PAUSE: Duration = Duration::from_secs(10);

/// The file, and what it held when it was opened.
#[derive(Clone, Debug)]
pub struct SettingsFile {
    path: PathBuf,
    entities: Vec<Arc<Entity>>,
    identity: Option<LogIdentity>,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

#[derive(Serialize, Deserialize)]
struct Copy {
    /// The version of this document; a higher one is not touched.
    v: u32,
    settings: Vec<Setting>,
}

#[derive(Serialize, Deserialize)]
struct Setting {
    kind: String,
    id: String,
    version: u64,
    value: Value,
}

impl SettingsFile {
    /// Reads the copy, if there is one. One that can't be read is as good as none, and says so; that of a
    /// later release is refused.
    pub fn open(path: PathBuf) -> Result<Self, OpenError> {
        let none = Self { path, entities: Vec::new(), identity: None };
        let bytes = match fs::read(&none.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(none),
            Err(error) => {
                let path = none.path.display();
                return Err(OpenError::Refused(format!("{path} can't be read: {error}")));
            }
        };
        let found = serde_json::from_slice(&bytes).map_or(0, |Versioned { v }| v);
        if found > VERSION {
            return Err(OpenError::Newer { found, known: VERSION });
        }
        let copy = match serde_json::from_slice::<Copy>(&bytes) {
            Ok(copy) => copy,
            Err(error) => {
                tracing::warn!(path = %none.path.display(), %error, "the copy of the settings is damaged and not used");
                return Ok(none);
            }
        };
        let entity = |Setting { kind, id, version, value }| Arc::new(Entity { kind, id, version, value });
        let entities: Vec<Arc<Entity>> = copy.settings.into_iter().map(entity).collect();
        let identity = (entities.iter())
            .find(|entity| entity.kind == IDENTITY_KIND && entity.id == IDENTITY_ID)
            .map(|entity| LogIdentity::read(entity.value.clone()))
            .transpose()?;
        Ok(Self { entities, identity, ..none })
    }

    /// Which log the copy is of; `None` where there is no copy: then nothing is known of any log.
    pub fn identity(&self) -> Option<&LogIdentity> {
        self.identity.as_ref()
    }

    pub(super) fn entities(&self) -> &[Arc<Entity>] {
        &self.entities
    }
}

/// Writes the settings now and whenever they move, several moves at once, until nobody has them any more.
///
/// If we crash between a move and this, the copy is one move behind: a source that was just made is not known
/// at a start without the log, and its platform is answered 404 until the log is back.
pub(super) async fn keep(file: SettingsFile, state: Weak<State>, mut revision: watch::Receiver<u64>) {
    let SettingsFile { path, .. } = file;
    loop {
        revision.mark_unchanged();
        let Some(of_log) = state.upgrade().map(|state| of_log(&state)) else { return };
        if let Some(entities) = of_log {
            let path = path.clone();
            let written = tokio::task::spawn_blocking(move || write(&path, &entities)).await;
            if let Err(error) = written.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
                tracing::warn!(%error, "the copy of the settings can't be written; a start without the log would know older ones");
                tokio::time::sleep(WRITE_RETRY_PAUSE).await;
                continue;
            }
        }
        if revision.changed().await.is_err() {
            return;
        }
    }
}

/// What stands, unless it is the copy itself.
fn of_log(state: &State) -> Option<Vec<Arc<Entity>>> {
    let folded = state.read();
    (!folded.is_copy).then(|| folded.fold.all())
}

/// Writes beside the file, fsyncs, then renames: whenever we crash, the file is whole, the old one or the new.
fn write(path: &Path, entities: &[Arc<Entity>]) -> io::Result<()> {
    let setting = |entity: &Arc<Entity>| Setting {
        kind: entity.kind.clone(),
        id: entity.id.clone(),
        version: entity.version,
        value: entity.value.clone(),
    };
    let copy = Copy { v: VERSION, settings: entities.iter().map(setting).collect() };
    let beside = path.with_extension("new");
    // Made anew, so that it is nobody else's to read from its first byte on.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut new = options.open(&beside)?;
    new.write_all(&serde_json::to_vec(&copy)?)?;
    new.sync_all()?;
    drop(new);
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entities() -> Vec<Arc<Entity>> {
        let identity = serde_json::to_value(LogIdentity::new(3)).unwrap();
        let entity = |kind: &str, id: &str, value| {
            Arc::new(Entity { kind: kind.to_owned(), id: id.to_owned(), version: 7, value })
        };
        vec![entity(IDENTITY_KIND, IDENTITY_ID, identity), entity("source", "zen", json!({"a": 1}))]
    }

    #[test]
    fn a_copy_comes_back_as_it_was_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        assert!(SettingsFile::open(path.clone()).unwrap().identity().is_none());
        for _ in 0..2 {
            write(&path, &entities()[..1]).unwrap();
        }
        let written = entities();
        write(&path, &written).unwrap();
        let file = SettingsFile::open(path.clone()).unwrap();
        assert_eq!(file.entities(), written);
        assert_eq!(file.identity().unwrap().partitions, 3);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_copy_is_none_and_a_later_releases_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        fs::write(&path, "{\"v\":1,\"sett").unwrap();
        assert!(SettingsFile::open(path.clone()).unwrap().identity().is_none());
        fs::write(&path, "{\"v\":2,\"other\":[]}").unwrap();
        assert!(matches!(SettingsFile::open(path), Err(OpenError::Newer { found: 2, known: 1 })));
    }
}
