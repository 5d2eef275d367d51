//! Opening the log at start. A process that has seen the log before goes on without it, by its copy of the
//! settings; one that has not can only wait, and says so to whoever asks.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, Result};
use audit_journal::{Journal, OpenError, SettingsFile};
use audit_server::{Limits, ServerTls, serve, standby_router};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Backend, Config};
use crate::exit::{Exit, Stop};
use crate::reload::Reloader;

/// Pause between attempts to reach a log that does not answer.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How long requests under way may take when waiting ends: they are all refused at once.
const STANDBY_DRAIN: Duration = Duration::from_secs(1);

/// What everybody is told meanwhile.
const NEVER_SEEN: &str = "the log does not answer, and this process has never seen it: until it does, no source is known and \
no webhook can be taken in; start the brokers, or mend kafka.brokers";

/// This machine's copy of the settings. The embedded log needs none: it is a file of this machine itself.
pub(crate) fn settings_file(config: &Config) -> Result<Option<SettingsFile>> {
    if config.log.backend == Backend::Embedded {
        return Ok(None);
    }
    let path = config.data_dir.join("settings.json");
    let shown = path.display().to_string();
    let file = SettingsFile::open(path);
    file.map(Some).map_err(|error| Stop::error(Exit::Usage, format!("{shown}: {error}")))
}

/// Opens the log. Where it does not answer: goes on if `settings` know it, else waits, while `listeners` tell why.
/// `None`: told to stop first.
pub(crate) async fn open(
    config: &Config,
    settings: Option<&SettingsFile>,
    listeners: &[(&TcpListener, Option<ServerTls>)],
    reloader: &mut Reloader,
    shutdown: &CancellationToken,
) -> Result<Option<Journal>> {
    let known = settings.and_then(SettingsFile::identity);
    let mut standby = None;
    let mut complaint = Complaint::default();
    loop {
        // Each attempt reads them anew, so a password that was wrong can be mended meanwhile.
        reloader.watch("kafka.librdkafka", config.kafka_secret_files());
        let journal = config.journal()?;
        let opening = match known {
            Some(known) => Journal::open_known(journal, known.clone()).await,
            None => Journal::open(journal).await,
        };
        match opening {
            Ok(journal) => {
                if let Some(standby) = standby {
                    Standby::end(standby).await;
                }
                return Ok(Some(journal));
            }
            Err(OpenError::Unavailable(problem)) => {
                if complaint.is_new(&problem) {
                    tracing::warn!(problem, "the log does not answer; trying again");
                } else {
                    tracing::debug!(problem, "the log still does not answer; trying again");
                }
                if standby.is_none() {
                    standby = Some(Standby::begin(listeners).context("the listeners can't be shared")?);
                }
                if shutdown.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await.is_none() {
                    return Ok(None);
                }
            }
            Err(error) => return Err(refusal(error)),
        }
    }
}

/// What was said last of a log that does not answer: it may be so for hours, and is said when the words change.
#[derive(Debug, Default)]
struct Complaint {
    said: Option<String>,
}

impl Complaint {
    fn is_new(&mut self, problem: &str) -> bool {
        let is_new = self.said.as_deref() != Some(problem);
        if is_new {
            self.said = Some(problem.to_owned());
        }
        is_new
    }
}

/// Watches a log that was not reached at start: one that turns out to be the wrong one ends the process, as it
/// would have at start. Returns when told to stop.
pub(crate) async fn watch(journal: Journal, shutdown: CancellationToken) -> Result<()> {
    match shutdown.run_until_cancelled(journal.reached()).await {
        Some(Err(error)) => Err(refusal(error)),
        Some(Ok(())) => {
            shutdown.cancelled().await;
            Ok(())
        }
        None => Ok(()),
    }
}

fn refusal(error: OpenError) -> anyhow::Error {
    let exit = if matches!(error, OpenError::Held(_)) { Exit::Unavailable } else { Exit::Usage };
    Stop::error(exit, error.to_string())
}

/// Answers on the listeners until they can be served.
struct Standby {
    stop: CancellationToken,
    serving: JoinSet<io::Result<()>>,
}

impl Standby {
    fn begin(listeners: &[(&TcpListener, Option<ServerTls>)]) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        for (listener, tls) in listeners {
            let limits = Limits { drain_timeout: STANDBY_DRAIN, ..Limits::default() };
            let router = standby_router(NEVER_SEEN);
            serving.spawn(serve("standby", share(listener)?, tls.clone(), router, limits, stop.clone()));
        }
        Ok(Self { stop, serving })
    }

    async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.serving.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::warn!(%error, "a listener ended early");
            }
        }
    }
}

/// Another handle of the same socket: what waits to be accepted stays when this one is dropped.
#[cfg(unix)]
fn share(listener: &TcpListener) -> io::Result<TcpListener> {
    use std::os::fd::AsFd as _;
    TcpListener::from_std(listener.as_fd().try_clone_to_owned()?.into())
}

/// Another handle of the same socket: what waits to be accepted stays when this one is dropped.
#[cfg(windows)]
fn share(listener: &TcpListener) -> io::Result<TcpListener> {
    use std::os::windows::io::AsSocket as _;
    TcpListener::from_std(listener.as_socket().try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_does_not_answer_is_told_of_when_the_words_change() {
        let mut complaint = Complaint::default();
        let told = ["no broker", "no broker", "no broker", "no right", "no right", "no broker"]
            .map(|problem| complaint.is_new(problem));
        assert_eq!(told, [true, false, false, true, false, true]);
    }
}
