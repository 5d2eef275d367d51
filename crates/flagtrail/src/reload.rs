//! Files with secrets, looked at again and again: what they hold takes effect when they change, or, where it can't
//! without a restart, that is said.
//!
//! They are read rather than watched: a file that a container's platform swaps by a symbolic link, or that lies on a
//! network, tells nobody that it changed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::secret_file;

/// Pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// What is done with new contents.
type Apply = Box<dyn FnMut() -> Result<()> + Send>;

/// Some files that one setting names.
struct Watched {
    setting: &'static str,
    files: Vec<PathBuf>,
    /// `None`: nothing can be done before the next start.
    apply: Option<Apply>,
    seen: [u8; 32],
}

/// The files of a process.
#[derive(Default)]
pub(crate) struct Reloader {
    watched: Vec<Watched>,
}

impl Reloader {
    /// Looks at `files` from now on, and applies them when they change. What is wrong then leaves everything as it was.
    pub(crate) fn apply(
        &mut self,
        setting: &'static str,
        files: Vec<PathBuf>,
        apply: impl FnMut() -> Result<()> + Send + 'static,
    ) {
        self.push(setting, files, Some(Box::new(apply)));
    }

    /// Looks at `files` from now on, and says when they change that it takes a restart.
    pub(crate) fn tell(&mut self, setting: &'static str, files: Vec<PathBuf>) {
        self.push(setting, files, None);
    }

    fn push(&mut self, setting: &'static str, files: Vec<PathBuf>, apply: Option<Apply>) {
        if !files.is_empty() {
            let seen = digest(&files);
            self.watched.push(Watched { setting, files, apply, seen });
        }
    }

    /// Looks until told to stop.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_PAUSE)).await.is_some() {
            // Off the async threads: a file may lie on a slow network.
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(back) => self = back,
                Err(error) => {
                    tracing::error!(%error, "files with secrets are not looked at any more: restart after a change");
                    return shutdown.cancelled().await;
                }
            }
        }
    }

    fn look(&mut self) {
        for watched in &mut self.watched {
            let now = digest(&watched.files);
            if now == watched.seen {
                continue;
            }
            // Whatever comes of it: it is told of once.
            watched.seen = now;
            let setting = watched.setting;
            match watched.apply.as_mut().map(|apply| apply()) {
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
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_file_is_applied_when_what_it_holds_changes_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "one").unwrap();
        let applied = Arc::new(AtomicUsize::new(0));
        let mut reloader = Reloader::default();
        let count = applied.clone();
        reloader.apply("some.secret_file", vec![file.clone()], move || {
            count.fetch_add(1, Ordering::Relaxed);
            anyhow::bail!("not usable")
        });
        let looked = |reloader: &mut Reloader| {
            reloader.look();
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
}
