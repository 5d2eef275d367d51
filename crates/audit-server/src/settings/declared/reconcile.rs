//! Making the settings as a configuration declares them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::settings::change::author_of;
use crate::settings::declared::plan::{Deed, PlannedChange, SettingDeed, plan};
use crate::settings::declared::{Declarable, Declaration, DeclarationError};
use crate::settings::stored::sentence;

/// Most times that a plan is made anew because another process was faster; each time there is less left to do.
const ATTEMPTS_MAX: usize = 10;

/// Pause after the log did not take a change.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Why the settings are not as declared.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A table is wrong.
    #[error("{file}: {error}")]
    Declaration {
        /// The configuration.
        file: String,
        /// What is wrong.
        error: DeclarationError,
    },
    /// A setting can't be made or changed so.
    #[error("what is declared in {file} can't be done: {problem}")]
    Refused {
        /// The configuration.
        file: String,
        /// What is wrong.
        problem: String,
    },
}

/// Makes, changes and lets go until the settings are as declared, waiting for a log that does not take changes now.
/// Returns early when `shutdown` comes first.
///
/// If we crash here, some are done and some are not; the next start does the rest.
pub(crate) async fn reconcile(
    app: &App,
    declaration: &Declaration,
    shutdown: &CancellationToken,
) -> Result<(), ReconcileError> {
    let file = || declaration.file.clone();
    let (mut attempts, mut has_complained) = (0, false);
    loop {
        let checked = declaration
            .read(app.journal().identity().namespace)
            .map_err(|error| ReconcileError::Declaration { file: file(), error })?;
        let outcome = match plan(app.control(), app.keyring(), app.endpoints(), checked) {
            Ok(plan) => carry_out(app, &declaration.file, plan).await,
            Err(problem) => Err(problem),
        };
        let Err(problem) = outcome else { return Ok(()) };
        match problem.kind() {
            // Another process was faster: look again.
            Kind::Conflict if attempts < ATTEMPTS_MAX => attempts += 1,
            Kind::Unavailable => {
                if !has_complained {
                    tracing::warn!(problem = problem.detail(), "what is declared waits for the log");
                    has_complained = true;
                }
                if shutdown.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await.is_none() {
                    return Ok(());
                }
            }
            _ => {
                let problem = problem.detail().to_owned();
                return Err(ReconcileError::Refused { file: file(), problem });
            }
        }
    }
}

async fn carry_out(app: &App, file: &str, plan: Vec<(PlannedChange, Deed)>) -> Result<(), Problem> {
    for (planned, deed) in plan {
        let (endpoints, author) = (app.endpoints(), author_of(None));
        match deed {
            Deed::Source(deed) => carry_out_one(app, *deed).await?,
            Deed::Token(deed) => carry_out_one(app, *deed).await?,
            Deed::Schedule(deed) => carry_out_one(app, *deed).await?,
            Deed::DeclareEndpoint(new) => endpoints.declare(*new, file, author).await.map(drop)?,
            Deed::ReleaseEndpoint(id) => endpoints.release(&id, author).await.map(drop)?,
            Deed::DeleteEndpoint(id) => endpoints.delete_declared(&id, author).await?,
        }
        let PlannedChange { kind, name, change, .. } = planned;
        tracing::info!(kind, name, ?change, file, "a setting follows the configuration");
    }
    Ok(())
}

async fn carry_out_one<S: Declarable>(app: &App, deed: SettingDeed<S>) -> Result<(), Problem> {
    let (control, keyring) = (app.control(), app.keyring());
    match deed {
        SettingDeed::Make { id, setting } => {
            super::Stored::make(control, keyring, &id, setting, None).await.map(drop)
        }
        SettingDeed::Change { stored, to } => {
            let log = sentence(&to, "updated");
            stored.change(control, keyring, to, log, None).await.map(drop)
        }
        SettingDeed::Release { stored } => {
            let mut to = stored.setting.clone();
            to.set_declared_in(None);
            let log = sentence(&to, "released from the configuration");
            stored.change(control, keyring, to, log, None).await.map(drop)
        }
        SettingDeed::Delete { stored } => stored.delete(control, None).await,
    }
}
