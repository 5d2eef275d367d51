//! What the handlers share.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use audit_archive::Reader;
use audit_export::{ExportJobs, SealStanding};
use audit_journal::{Control, Journal, Spool};
use audit_secret::Keyring;
use audit_webhook::{DeliverStanding, Deliverer, Endpoints};
use axum::Router;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bounds::Bounds;
use crate::clock::now;
use crate::config::{AdminToken, ServerConfig};
use crate::hooks::Repeats;
use crate::hooks::acknowledge::Spooling;
use crate::hooks::activity::Activity;
use crate::hooks::{drain, remembered};
use crate::metrics::Metrics;
use crate::problem::{Kind, Problem};
use crate::readings::{self, Readings};
use crate::routes;
use crate::settings::declared::{self, Declaration, ReconcileError};
use crate::settings::token::Token;
use crate::silence;
use crate::tail::Tail;

/// The name of the given admin token, and of the source of records that are appended with it.
const ADMIN_NAME: &str = "admin";

/// What the server stands on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The log.
    pub journal: Journal,
    /// The settings.
    pub control: Control,
    /// What secrets among the settings are sealed with.
    pub keyring: Keyring,
    /// Where hooks wait while the log does not answer; absent where no hooks are taken in.
    pub spool: Option<Spool>,
    /// The endpoints among the settings.
    pub endpoints: Endpoints,
    /// What delivers in this process, to tell how endpoints stand; absent where nothing does.
    pub deliverer: Option<Deliverer>,
    /// This machine's archive; without it queries are answered 503.
    pub archive: Option<Reader>,
    /// This process's export jobs; without them exports are answered 503.
    pub exports: Option<ExportJobs>,
    /// How the partitions stand that this process seals; absent where it seals none.
    pub sealing: Option<SealStanding>,
}

/// The server's state. Cheap to clone.
#[derive(Clone)]
pub struct App {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Parts,
    config: ServerConfig,
    shutdown: CancellationToken,
    admin_token: RwLock<Option<Arc<Token>>>,
    /// Made up at start: entries of the spool name the process that made them.
    process: Uuid,
    bounds: Bounds,
    activity: Activity,
    repeats: Repeats,
    spooling: Spooling,
    metrics: Metrics,
    tail: Tail,
    readings: Readings,
    /// Held while settings are made as declared.
    declaring: tokio::sync::Mutex<()>,
    /// Whether the spool took what it was given last; again true once the log is back. Never without a spool.
    spool_accepts: AtomicBool,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("process", &self.shared.process).finish_non_exhaustive()
    }
}

impl App {
    /// Puts the server together. `shutdown` ends event streams, so that the listeners can drain, and
    /// [`App::run`].
    pub fn new(parts: Parts, config: ServerConfig, shutdown: CancellationToken) -> Self {
        let counted = config.counters_file.as_deref().map(remembered::read).unwrap_or_default();
        let activity = Activity::resumed(counted);
        let admin_token = RwLock::new(config.admin_token.as_ref().map(given));
        let has_spool = parts.spool.is_some();
        let readings = Readings::default();
        let delivering = parts.deliverer.as_ref().map(Deliverer::standing);
        let shared = Shared {
            admin_token,
            bounds: Bounds::new(&config),
            metrics: Metrics::new(&activity, readings.unrecorded(), delivering, parts.sealing.clone()),
            activity,
            parts,
            config,
            shutdown,
            process: Uuid::new_v4(),
            repeats: Repeats::default(),
            spooling: Spooling::default(),
            tail: Tail::default(),
            readings,
            declaring: tokio::sync::Mutex::default(),
            spool_accepts: AtomicBool::new(has_spool),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What platforms call. May face the internet.
    pub fn hooks_router(&self) -> Router {
        routes::hooks_router(self)
    }

    /// Everything else: ingest, settings, queries, metrics.
    pub fn admin_router(&self) -> Router {
        routes::admin_router(self)
    }

    /// Makes the settings as a configuration declares them; returns when they are, or on `shutdown`. Waits for a log
    /// that does not take changes now. Declarations are made in the order in which they come: the last one stays.
    pub async fn reconcile(&self, declaration: &Declaration) -> Result<(), ReconcileError> {
        let _turn = self.shared.declaring.lock().await;
        declared::reconcile(self, declaration, self.shutdown()).await
    }

    /// Watches for sources that fall silent; returns after `shutdown`. Nothing to do without an archive here.
    pub async fn watch_sources(&self) {
        match &self.shared.parts.archive {
            Some(reader) => silence::watch(self, reader).await,
            None => self.shutdown().cancelled().await,
        }
    }

    /// The work that goes on beside requests: what the spool holds goes to the log once it answers. Returns
    /// after `shutdown`, when every webhook that was taken in by then is durable or refused.
    pub async fn run(&self) {
        let taking = async {
            if let Some(spool) = self.spool() {
                drain::run(self, spool).await;
            }
            self.shared.spooling.finished().await;
        };
        tokio::join!(taking, remembered::keep(self));
    }

    /// Puts on the record who reads the log; returns after `shutdown`.
    pub async fn record_reads(&self) {
        readings::keep(self).await;
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.shared.parts.journal
    }

    pub(crate) fn control(&self) -> &Control {
        &self.shared.parts.control
    }

    /// What secrets among the settings are sealed with.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.shared.parts.keyring
    }

    /// Where hooks wait while the log does not answer.
    pub(crate) fn spool(&self) -> Option<&Spool> {
        self.shared.parts.spool.as_ref()
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.shared.parts.endpoints
    }

    pub(crate) fn deliverer(&self) -> Option<&Deliverer> {
        self.shared.parts.deliverer.as_ref()
    }

    /// The archive, or why there is no answer.
    pub(crate) fn archive(&self) -> Result<&Reader, Problem> {
        self.shared.parts.archive.as_ref().ok_or_else(|| {
            Problem::new(Kind::Unavailable, "this process answers no queries")
                .hint("ask one that runs with the role query")
        })
    }

    /// The export jobs, or why there are none.
    pub(crate) fn exports(&self) -> Result<&ExportJobs, Problem> {
        self.shared.parts.exports.as_ref().ok_or_else(|| {
            Problem::new(Kind::Unavailable, "this process makes no exports")
                .hint("ask one that runs with the role query")
        })
    }

    /// How the partitions stand that this process delivers from, or why there is no answer.
    pub(crate) fn delivering(&self) -> Result<DeliverStanding, Problem> {
        self.deliverer().map(Deliverer::standing).ok_or_else(|| {
            Problem::new(Kind::Unavailable, "this process delivers nothing")
                .hint("ask one that runs with the role deliver")
        })
    }

    /// How the partitions stand that this process seals, or why there is no answer.
    pub(crate) fn sealing(&self) -> Result<&SealStanding, Problem> {
        self.shared.parts.sealing.as_ref().ok_or_else(|| {
            Problem::new(Kind::Unavailable, "this process seals nothing")
                .hint("ask one that runs with the role seal")
        })
    }

    pub(crate) fn config(&self) -> &ServerConfig {
        &self.shared.config
    }

    /// The admin token that the process was given.
    pub(crate) fn admin_token(&self) -> Option<Arc<Token>> {
        self.shared.admin_token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives it another one; the one before stops working.
    pub fn replace_admin_token(&self, admin: &AdminToken) {
        *self.shared.admin_token.write().unwrap_or_else(PoisonError::into_inner) = Some(given(admin));
    }

    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.shared.shutdown
    }

    pub(crate) fn process(&self) -> Uuid {
        self.shared.process
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.shared.bounds
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.shared.activity
    }

    pub(crate) fn repeats(&self) -> &Repeats {
        &self.shared.repeats
    }

    pub(crate) fn spooling(&self) -> &Spooling {
        &self.shared.spooling
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn readings(&self) -> &Readings {
        &self.shared.readings
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.shared.tail
    }

    /// Remembers whether the spool took what it was given last, or that the log is back: what the spool did in one
    /// outage says nothing of the next.
    pub(crate) fn spool_accepts(&self, accepts: bool) {
        self.shared.spool_accepts.store(accepts && self.spool().is_some(), Ordering::Relaxed);
    }

    /// Whether a hook that came now would be kept: on the log, or in the spool.
    pub(crate) fn is_ready(&self) -> bool {
        if self.journal().is_writable() {
            self.spool_accepts(true);
            return true;
        }
        self.shared.spool_accepts.load(Ordering::Relaxed)
    }
}

fn given(admin: &AdminToken) -> Arc<Token> {
    Arc::new(Token::given(ADMIN_NAME, admin.organisation.clone(), &admin.shown, now()))
}
