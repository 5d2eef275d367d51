//! Files with secrets, and the configuration, looked at again and again: what they hold takes effect when they change, or,
//! where it can't without a restart, that is said.
//!
//! They are read rather than watched: a file that a container's platform swaps by a symbolic link, or that lies on a
//! network, tells nobody that it changed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use audit_digest::Sha256;
use secrecy::ExposeSecret;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::secret_file;

/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// What is done with new contents.
type Apply = Box<dyn FnMut() -> Result<()> + Send>;

/// Which files a setting names now.
type Names = Box<dyn FnMut() -> Vec<PathBuf> + Send>;

/// Some files that one setting names.
struct Watched {
    setting: &'static str,
    names: Names,
    /// `None`: nothing can be done before the next start.
    apply: Option<Apply>,
    /// The files that it named, and what they held.
    seen: (Vec<PathBuf>, [u8; 32]),
}

/// The files of a process.
#[derive(Default)]
pub(crate) struct Reloader {
    watched: Vec<Watched>,
}

impl Reloader {
    /// What `files` hold now is in force, and what they hold later is a change: to be called before they are read.
    /// Of a setting that is watched already this begins anew. A change takes a restart, unless
    /// [`Reloader::apply`] says what to do.
    pub(crate) fn watch(&mut self, setting: &'static str, files: Vec<PathBuf>) {
        self.watch_named(setting, move || files.clone());
    }

    /// The same of files that one of them names, so that there may be others after a change: `names` is asked at every
    /// look. Where it names none at first, nothing is looked at.
    pub(crate) fn watch_named(
        &mut self,
        setting: &'static str,
        names: impl FnMut() -> Vec<PathBuf> + Send + 'static,
    ) {
        self.watched.retain(|watched| watched.setting != setting);
        let mut names: Names = Box::new(names);
        let files = names();
        if !files.is_empty() {
            let held = digest(&files);
            self.watched.push(Watched { setting, names, apply: None, seen: (files, held) });
        }
    }

    /// What to do when a watched setting changes; nothing where it names no files. What is wrong then leaves everything
    /// as it was.
    pub(crate) fn apply(
        &mut self,
        setting: &'static str,
        apply: impl FnMut() -> Result<()> + Send + 'static,
    ) {
        if let Some(watched) = self.watched.iter_mut().find(|watched| watched.setting == setting) {
            watched.apply = Some(Box::new(apply));
        }
    }

    /// Looks until told to stop.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        self.run_every(LOOK_PAUSE, shutdown).await;
    }

    /// Each setting is looked at by itself: what one has to wait for, such as the log, holds up no other.
    async fn run_every(self, pause: Duration, shutdown: CancellationToken) {
        let mut looking = JoinSet::new();
        for watched in self.watched {
            looking.spawn(watched.run(pause, shutdown.clone()));
        }
        while let Some(ended) = looking.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a file with secrets is not looked at any more: restart after a change");
            }
        }
        shutdown.cancelled().await;
    }
}

impl Watched {
    async fn run(mut self, pause: Duration, shutdown: CancellationToken) {
        let setting = self.setting;
        while shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            // Off the async threads: a file may lie on a slow network.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(back) => self = back,
                Err(error) => {
                    tracing::error!(setting, %error, "its files are not looked at any more: restart after a change");
                    return;
                }
            }
        }
    }

    fn look(&mut self) {
        // If another file is named between this line and the next, or while the change is applied, the next look finds
        // that these are no longer those that were seen.
        let files = (self.names)();
        let held = digest(&files);
        let now = (files, held);
        if now == self.seen {
            return;
        }
        // Whatever comes of it: it is told of once.
        self.seen = now;
        let setting = self.setting;
        match self.apply.as_mut().map(|apply| apply()) {
            Some(Ok(())) => tracing::info!(setting, "read again: it is in force now"),
            Some(Err(error)) => {
                tracing::warn!(
                    setting,
                    error = format!("{error:#}"),
                    "changed, and can't be used: what was in force stays"
                );
            }
            None => tracing::warn!(setting, "changed: it takes effect when the process is started again"),
        }
    }
}

/// What the files hold, as far as they can be read.
fn digest(files: &[PathBuf]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for file in files {
        match secret_file::read(file) {
            Ok(text) => {
                digest.update([1]);
                digest.update(text.expose_secret().len().to_be_bytes());
                digest.update(text.expose_secret());
            }
            Err(_) => digest.update([0]),
        }
    }
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// How long anything here may take, on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn a_file_is_applied_when_what_it_holds_changes_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "one").unwrap();
        let applied = Arc::new(AtomicUsize::new(0));
        let mut reloader = Reloader::default();
        let count = applied.clone();
        reloader.watch("some.secret_file", vec![file.clone()]);
        reloader.apply("some.secret_file", move || {
            count.fetch_add(1, Ordering::Relaxed);
            anyhow::bail!("not usable")
        });
        let looked = |reloader: &mut Reloader| {
            reloader.watched.iter_mut().for_each(Watched::look);
            applied.load(Ordering::Relaxed)
        };
        assert_eq!(looked(&mut reloader), 0);
        std::fs::write(&file, "two").unwrap();
        assert_eq!(looked(&mut reloader), 1);
        assert_eq!(looked(&mut reloader), 1, "what can't be used is told of once");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(looked(&mut reloader), 2);
        std::fs::write(&file, "two").unwrap();
        assert_eq!(looked(&mut reloader), 3);
    }

    #[test]
    fn a_file_that_is_named_while_the_process_runs_is_looked_at_from_then_on_and_one_no_longer_named_is_not()
    {
        let dir = tempfile::tempdir().unwrap();
        let [config, first, second] = ["config", "first", "second"].map(|name| dir.path().join(name));
        let name = |file: &std::path::Path| std::fs::write(&config, file.to_str().unwrap()).unwrap();
        name(&first);
        let applied = Arc::new(AtomicUsize::new(0));
        let mut reloader = Reloader::default();
        let (named_in, count) = (config.clone(), applied.clone());
        reloader.watch_named("some.secret_file", move || {
            let named = std::fs::read_to_string(&named_in).unwrap();
            vec![named_in.clone(), named.into()]
        });
        reloader.apply("some.secret_file", move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let looked = |reloader: &mut Reloader| {
            reloader.watched.iter_mut().for_each(Watched::look);
            applied.load(Ordering::Relaxed)
        };
        std::fs::write(&second, "before it is named").unwrap();
        assert_eq!(looked(&mut reloader), 0);
        name(&second);
        assert_eq!(looked(&mut reloader), 1);
        std::fs::write(&second, "after that").unwrap();
        assert_eq!(looked(&mut reloader), 2);
        std::fs::write(&first, "which nobody names").unwrap();
        assert_eq!(looked(&mut reloader), 2);
    }

    #[test]
    fn what_changes_while_a_process_starts_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "one").unwrap();
        let applied = Arc::new(AtomicUsize::new(0));
        let mut reloader = Reloader::default();
        reloader.watch("some.secret_file", vec![file.clone()]);
        // Here the process reads it, and waits for its log.
        std::fs::write(&file, "two").unwrap();
        let count = applied.clone();
        reloader.apply("some.secret_file", move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        reloader.watched.iter_mut().for_each(Watched::look);
        assert_eq!(applied.load(Ordering::Relaxed), 1);
        // Read once more on purpose: what it holds now is in force.
        std::fs::write(&file, "three").unwrap();
        reloader.watch("some.secret_file", vec![file]);
        reloader.watched.iter_mut().for_each(Watched::look);
        assert_eq!((reloader.watched.len(), applied.load(Ordering::Relaxed)), (1, 1));
    }

    #[tokio::test]
    async fn a_setting_that_waits_for_the_log_holds_up_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let (declared, certificate) = (dir.path().join("declared"), dir.path().join("certificate"));
        let mut reloader = Reloader::default();
        reloader.watch("declared", vec![declared.clone()]);
        reloader.watch("certificate", vec![certificate.clone()]);
        let (began, mut has_begun) = tokio::sync::mpsc::channel(1);
        let (log, log_answers) = std::sync::mpsc::sync_channel::<()>(0);
        reloader.apply("declared", move || {
            began.try_send(())?;
            // Until the other end is dropped.
            let _ = log_answers.recv();
            Ok(())
        });
        let (applied, mut is_applied) = tokio::sync::mpsc::channel(1);
        reloader.apply("certificate", move || {
            applied.try_send(())?;
            Ok(())
        });
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(reloader.run_every(Duration::from_millis(1), shutdown.clone()));
        std::fs::write(&declared, "another").unwrap();
        assert_eq!(tokio::time::timeout(PATIENCE, has_begun.recv()).await, Ok(Some(())));
        std::fs::write(&certificate, "another").unwrap();
        assert_eq!(tokio::time::timeout(PATIENCE, is_applied.recv()).await, Ok(Some(())));
        drop(log);
        shutdown.cancel();
        running.await.unwrap();
    }
}
