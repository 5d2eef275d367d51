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
    shutdown: &CancellationToken,
) -> Result<Option<Journal>> {
    let known = settings.and_then(SettingsFile::identity);
    let mut standby = None;
    loop {
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
                tracing::warn!(problem, "the log does not answer; trying again");
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
