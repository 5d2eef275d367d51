//! The life of a serving process on one screen: open the log, build the roles, serve until told to stop, drain
//! under a deadline.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use audit_archive::{ArchiveConfig, Archiver, Reader};
use audit_export::{
    ExportJobs, ExportRunner, Scheduler, SealKeys, Sealer, SealerConfig, Vouching, Witnessing,
};
use audit_journal::{Control, Journal, Spool, SpoolConfig, SpoolError};
use audit_proof::LogKeys;
use audit_secret::Keyring;
use audit_server::{AdminToken, App, Declaration, Limits, Named, Parts, ServerConfig, ServerTls, serve};
use audit_webhook::{Deliverer, DelivererConfig, Endpoints};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::exit::{Exit, Stop};
use crate::key_file;
use crate::keyring::{self, MissingKey};
use crate::log;
use crate::reload::Reloader;
use crate::token_file;
use crate::witnesses;

/// How long serving waits for declared settings: a log that does not answer must not keep webhooks from the spool.
const DECLARED_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long the log may take to close after the drain: brokers that are gone don't keep the process.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// What is watched for changes, as it is told of.
const SECRETS: &str = "secrets";
const ADMIN_TOKEN: &str = "admin.token_file";
const HOOKS_TLS: &str = "hooks.tls";
const DESTINATIONS: &str = "the keys of destinations";
const DECLARED: &str = "the declared settings";
const EGRESS: &str = "egress";

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// Take changes in: hooks and POST /v1/records
    Ingest,
    /// Deliver to webhook endpoints
    Deliver,
    /// Keep an archive of the whole log
    Archive,
    /// Sign checkpoints of the log
    Seal,
    /// Answer queries, and make exports, from this machine's archive
    Query,
}

impl Role {
    /// Every role.
    pub(crate) const ALL: &[Self] = &[Self::Ingest, Self::Deliver, Self::Archive, Self::Seal, Self::Query];
}

/// A process that is built and bound, and not yet serving.
pub(crate) struct System {
    journal: Journal,
    app: App,
    hooks: Option<TcpListener>,
    hooks_tls: Option<ServerTls>,
    admin: TcpListener,
    reloader: Reloader,
    archiver: Option<Archiver>,
    sealer: Option<(Sealer, SealKeys)>,
    /// Where what becomes of the log's keys is put on the record.
    control: Control,
    witnessing: Option<Witnessing>,
    exports: Option<(ExportRunner, Reader)>,
    scheduler: Option<Scheduler>,
    deliverer: Option<Deliverer>,
    declaration: Option<Declaration>,
    drain: Duration,
    shutdown: CancellationToken,
}

impl System {
    /// Opens and binds everything. `None`: told to stop before the log answered.
    pub(crate) async fn start(
        config: &Config,
        roles: &[Role],
        missing_key: MissingKey,
        shutdown: CancellationToken,
    ) -> Result<Option<Self>> {
        let has = |role| roles.contains(&role);
        // Before they are read: what changes while the log is waited for is a change, too.
        let mut reloader = Reloader::default();
        reloader.watch(SECRETS, config.key_files());
        reloader.watch(DECLARED, config.declared_secret_files());
        reloader.watch(HOOKS_TLS, config.hooks.tls.files());
        reloader.watch(ADMIN_TOKEN, vec![config.admin_token_file()]);
        watch_egress(&mut reloader, config);
        let keys = config.keys()?;
        let makes_key = keys.is_none() && missing_key == MissingKey::Make;
        let declaration = config.declaration()?;
        let hooks_tls = config.hooks.tls.certificate("hooks.tls")?.map(ServerTls::new).transpose()?;
        std::fs::create_dir_all(&config.data_dir).map_err(|error| {
            Stop::error(Exit::Usage, format!("data_dir {}: {error}", config.data_dir.display()))
        })?;
        // Ports first: a second process on the same ports is told so before it touches anything.
        let admin = bind("admin.listen", config.admin.listen).await?;
        let hooks =
            if has(Role::Ingest) { Some(bind("hooks.listen", config.hooks.listen).await?) } else { None };
        // What takes webhooks in must know whose they are, even if it starts while the brokers are away.
        let settings = if has(Role::Ingest) { log::settings_file(config)? } else { None };
        let mut listeners = vec![(&admin, None)];
        listeners.extend(hooks.as_ref().map(|hooks| (hooks, hooks_tls.clone())));
        let Some(journal) =
            log::open(config, settings.as_ref(), &listeners, &mut reloader, &shutdown).await?
        else {
            return Ok(None);
        };
        let spool = if has(Role::Ingest) { Some(open_spool(config).await?) } else { None };
        let control = match settings {
            Some(settings) => Control::open_with(journal.clone(), settings).await,
            None => Control::open(journal.clone()).await,
        }
        .context("the settings can't be read from the log")?;
        let keyring =
            keyring::open(config, keys, &control, missing_key, has(Role::Ingest) || has(Role::Deliver))?;
        if makes_key {
            // The first start has just made it.
            reloader.watch(SECRETS, config.key_files());
        }
        let archive = ArchiveConfig {
            dir: config.archive_dir(),
            free_bytes_min: config.archive.free_bytes_min,
            full_text: config.archive.full_text,
            log_keys: log_keys(config, has(Role::Seal))?,
        };
        let archiver = if has(Role::Archive) { Some(open_archive(archive, &journal).await?) } else { None };
        reloader.watch(DESTINATIONS, config.destination_secret_files());
        let destinations = config.destinations()?;
        let segments = config.segments(&destinations.all)?;
        let sealer = if has(Role::Seal) {
            reloader.watch("seal.key_file", vec![config.seal_key_file()]);
            let (sealer, keys) = sealer(config, &journal)?;
            let sealer = match &segments {
                Some(segments) => sealer.with_segments(segments),
                None => sealer,
            };
            Some((sealer, keys))
        } else {
            None
        };
        let reader = has(Role::Query).then(|| Reader::open(config.archive_dir()));
        let exports = match &reader {
            Some(_) => {
                let folder = config.data_dir.join("exports");
                let destinations = destinations.all.clone();
                Some(ExportJobs::open_with(folder, destinations).context("the folder of exports")?)
            }
            None => None,
        };
        let egress = config.egress()?;
        let (from, policy) = (config.clone(), egress.clone());
        reloader.apply(EGRESS, move || {
            policy.replace(from.egress_policy_of_now()?);
            Ok(())
        });
        let deliverer = if has(Role::Deliver) {
            let delivery = DelivererConfig {
                egress: egress.clone(),
                keyring: keyring.clone(),
                max_in_flight: config.webhooks.in_flight_max,
                disable_after: config.webhooks.disable_after,
                ..DelivererConfig::default()
            };
            Some(Deliverer::new(journal.clone(), control.clone(), delivery)?)
        } else {
            None
        };
        let vouching = if exports.is_some() { key_file::vouching(config)? } else { Vouching::default() };
        let witnessing = match (&reader, &sealer) {
            (Some(reader), Some((sealer, _))) => {
                let standing = sealer.standing();
                witnesses::witnessing(&config.seal.witness, &journal, reader, &egress, standing)?
            }
            _ => None,
        };
        let (jobs, runner) = exports.unzip();
        let settings_of_keys = control.clone();
        let namespace = journal.identity().namespace;
        let scheduler = (jobs.clone().zip(reader.clone()))
            .map(|(jobs, reader)| Scheduler::new(control.clone(), jobs, reader, namespace));
        let parts = Parts {
            journal: journal.clone(),
            control: control.clone(),
            spool,
            endpoints: Endpoints::new(journal.clone(), control, egress, keyring.clone()),
            keyring: keyring.clone(),
            archive: reader.clone(),
            exports: jobs,
            deliverer: deliverer.clone(),
            sealing: sealer.as_ref().map(|(sealer, _)| sealer.standing()),
        };
        let app = App::new(parts, server_config(config, hooks.as_ref())?, shutdown.clone());
        apply_changes(&mut reloader, config, &app, &keyring, hooks_tls.as_ref());
        let from = config.clone();
        reloader.apply(DESTINATIONS, move || destinations.replace_credentials(&from));
        Ok(Some(Self {
            journal,
            app,
            hooks,
            hooks_tls,
            admin,
            reloader,
            archiver,
            sealer,
            exports: runner.map(|runner| runner.vouching(vouching)).zip(reader),
            control: settings_of_keys,
            witnessing,
            scheduler,
            deliverer,
            declaration,
            drain: config.shutdown.drain,
            shutdown,
        }))
    }

    /// Where platforms reach the hooks on this machine.
    pub(crate) fn hooks_url(&self) -> String {
        let address = self.hooks.as_ref().and_then(|hooks| hooks.local_addr().ok());
        let scheme = if self.hooks_tls.is_some() { "https" } else { "http" };
        address.map(|address| format!("{scheme}://{address}")).unwrap_or_default()
    }

    /// Where the administration is reached on this machine.
    pub(crate) fn admin_url(&self) -> String {
        self.admin.local_addr().map(|address| format!("http://{address}")).unwrap_or_default()
    }

    /// Serves until told to stop or a part fails, then drains. Parts that take work in stop first; the log
    /// closes last.
    pub(crate) async fn run(self) -> Result<()> {
        let mut parts: JoinSet<(&'static str, Result<()>)> = JoinSet::new();
        let shutdown = self.shutdown.clone();
        let log = log::watch(self.journal.clone(), shutdown.clone());
        parts.spawn(async move { ("log", log.await) });
        if let Some(declaration) = self.declaration {
            let (app, stop) = (self.app.clone(), shutdown.clone());
            let (done, is_done) = tokio::sync::oneshot::channel();
            parts.spawn(async move {
                if let Err(error) = app.reconcile(&declaration).await {
                    return ("declared settings", Err(Stop::error(Exit::Usage, error.to_string())));
                }
                let _ = done.send(());
                stop.cancelled().await;
                ("declared settings", Ok(()))
            });
            // A platform that calls a source of the file at once finds it.
            if self.journal.is_writable() {
                let _ = tokio::time::timeout(DECLARED_WAIT_MAX, is_done).await;
            }
        }
        // What hangs is cut before the drain is over: what was taken in has yet to become durable.
        let limits = Limits { drain_timeout: self.drain / 4 * 3, ..Limits::default() };
        let admin =
            serve("admin", self.admin, None, self.app.admin_router(), limits.clone(), shutdown.clone());
        parts.spawn(async move { ("admin", admin.await.map_err(Into::into)) });
        if let Some(listener) = self.hooks {
            let router = self.app.hooks_router();
            let hooks = serve("hooks", listener, self.hooks_tls, router, limits, shutdown.clone());
            parts.spawn(async move { ("hooks", hooks.await.map_err(Into::into)) });
            let app = self.app.clone();
            parts.spawn(async move {
                app.run().await;
                ("spool", Ok(()))
            });
        }
        let reloading = self.reloader.run(shutdown.clone());
        parts.spawn(async move {
            reloading.await;
            ("secret files", Ok(()))
        });
        if let Some(archiver) = self.archiver {
            let archive = archiver.run(self.journal.clone(), shutdown.clone());
            parts.spawn(async move {
                archive.await;
                ("archive", Ok(()))
            });
        }
        if let Some((sealer, keys)) = self.sealer {
            let (control, stop) = (self.control, shutdown.clone());
            parts.spawn(async move {
                audit_export::record_keys(&control, &keys, &stop).await;
                stop.cancelled().await;
                ("keys", Ok(()))
            });
            let sealing = sealer.run(|| chrono::Utc::now().timestamp_millis(), shutdown.clone());
            parts.spawn(async move {
                sealing.await;
                ("seal", Ok(()))
            });
        }
        if let Some(witnessing) = self.witnessing {
            let asking = witnessing.run(shutdown.clone());
            parts.spawn(async move {
                asking.await;
                ("witnesses", Ok(()))
            });
        }
        let app = self.app.clone();
        parts.spawn(async move {
            app.record_reads().await;
            ("readings", Ok(()))
        });
        let app = self.app.clone();
        parts.spawn(async move {
            app.watch_sources().await;
            ("sources", Ok(()))
        });
        if let Some(scheduler) = self.scheduler {
            let scheduling = scheduler.run(|| chrono::Utc::now().timestamp_millis(), shutdown.clone());
            parts.spawn(async move {
                scheduling.await;
                ("schedules", Ok(()))
            });
        }
        if let Some((runner, reader)) = self.exports {
            let exports = runner.run(self.journal.clone(), reader, shutdown.clone());
            parts.spawn(async move {
                exports.await;
                ("exports", Ok(()))
            });
        }
        if let Some(deliverer) = self.deliverer {
            let stop = shutdown.clone();
            parts.spawn(async move { ("deliver", deliverer.run(stop).await.map_err(Into::into)) });
        }
        let outcome = tokio::select! {
            // First: a part that ends because it was told to has not failed.
            biased;
            () = shutdown.cancelled() => Ok(()),
            ended = parts.join_next() => failed(ended),
        };
        shutdown.cancel();
        let drained = tokio::time::timeout(self.drain, drain(&mut parts)).await;
        if tokio::time::timeout(CLOSE_MAX, self.journal.close()).await.is_err() {
            tracing::warn!("the log did not close in time; what is durable stays so");
        }
        match drained {
            Ok(drained) => outcome.and(drained),
            Err(_) => outcome
                .and(Err(anyhow!("the drain took longer than shutdown.drain; what is durable stays so"))),
        }
    }
}

/// Watches the configuration, and what it names of the egress policy: that alone is read again of it.
fn watch_egress(reloader: &mut Reloader, config: &Config) {
    let (from, mut files) = (config.clone(), config.egress_files());
    reloader.watch_named(EGRESS, move || {
        // While the configuration can't be read, what it named last.
        if let Some(now) = from.egress_files_of_now() {
            files = now;
        }
        files.clone()
    });
}

/// The keys by which the archive checks checkpoints: those that are named, and where this process signs itself, its own.
fn log_keys(config: &Config, seals: bool) -> Result<LogKeys> {
    let mut keys = config.archive_log_keys()?;
    witnesses::keys(&config.seal.witness)?.into_iter().for_each(|witness| keys.add_witness(witness));
    if seals {
        keys.extend(&key_file::read(&config.seal_key_file())?.log_keys());
    }
    Ok(keys)
}

/// The sealer with its keys.
fn sealer(config: &Config, journal: &Journal) -> Result<(Sealer, SealKeys)> {
    let keys = key_file::read(&config.seal_key_file())?;
    let pace = SealerConfig { interval: config.seal.interval, idle: config.seal.idle };
    let sealer = Sealer::new(journal.clone(), keys.clone(), &pace).context("the log's keys can't be used")?;
    Ok((sealer, keys))
}

async fn drain(parts: &mut JoinSet<(&'static str, Result<()>)>) -> Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = parts.join_next().await {
        let ended = match ended {
            Ok((name, ended)) => ended.with_context(|| name),
            Err(panic) => Err(anyhow!("a part of the process panicked: {panic}")),
        };
        outcome = outcome.and(ended);
    }
    outcome
}

/// A part that ends before it is told to has failed, whatever it says.
fn failed(ended: Option<Result<(&'static str, Result<()>), tokio::task::JoinError>>) -> Result<()> {
    match ended {
        Some(Ok((name, Err(error)))) => Err(error.context(name)),
        Some(Ok((name, Ok(())))) => Err(anyhow!("{name} ended by itself")),
        Some(Err(panic)) => Err(anyhow!("a part of the process panicked: {panic}")),
        None => Ok(()),
    }
}

/// Where webhooks wait while the log does not answer: of one process at a time.
async fn open_spool(config: &Config) -> Result<Spool> {
    let path = config.data_dir.join("spool.sqlite");
    match Spool::open(SpoolConfig { path, bytes_max: config.spool.bytes_max }).await {
        Err(error @ SpoolError::Held(_)) => Err(Stop::error(Exit::Unavailable, error.to_string())),
        outcome => outcome.context("the spool"),
    }
}

async fn bind(key: &str, address: std::net::SocketAddr) -> Result<TcpListener> {
    let refuse = |error| Stop::error(Exit::Usage, format!("{key} = {address} can't be bound: {error}"));
    TcpListener::bind(address).await.map_err(refuse)
}

fn server_config(config: &Config, hooks: Option<&TcpListener>) -> Result<ServerConfig> {
    let listening =
        hooks.map_or(config.hooks.listen, |hooks| hooks.local_addr().unwrap_or(config.hooks.listen));
    let public = config.hooks.public_url.trim_end_matches('/');
    let scheme = if config.hooks.tls.cert_file.as_os_str().is_empty() { "http" } else { "https" };
    Ok(ServerConfig {
        admin_token: admin_token(config)?,
        hooks_public_url: if public.is_empty() {
            format!("{scheme}://{listening}")
        } else {
            public.to_owned()
        },
        metrics_need_token: config.admin.metrics_need_token,
        redact_keep: config.redact.keep.clone(),
        record_reads: config.admin.record_reads,
        compliance: config.compliance.clone(),
        counters_file: hooks.is_some().then(|| config.data_dir.join("sources.json")),
        ..ServerConfig::default()
    })
}

/// The admin token; `None` where there is no file of it and none is named.
fn admin_token(config: &Config) -> Result<Option<AdminToken>> {
    let file = config.admin_token_file();
    let wrong =
        |problem: &str| Stop::error(Exit::Usage, format!("admin.token_file {}: {problem}", file.display()));
    let token = token_file::read(&file).map_err(|problem| wrong(&problem))?;
    if token.is_none() && !config.admin.token_file.as_os_str().is_empty() {
        return Err(wrong("no such file"));
    }
    let organisation = Named::by_key(&config.admin.organisation);
    Ok(token.map(|shown| AdminToken { shown, organisation }))
}

/// The archive, opened off the async threads: after a crash SQLite has a log of its own to go through.
async fn open_archive(config: ArchiveConfig, journal: &Journal) -> Result<Archiver> {
    let journal = journal.clone();
    let opening = tokio::task::spawn_blocking(move || Archiver::open(config, &journal));
    Ok(opening.await.context("the archive")??)
}

/// What becomes of new contents of the files that are watched. Values that stand in the configuration itself are those
/// of the start.
fn apply_changes(
    reloader: &mut Reloader,
    config: &Config,
    app: &App,
    keyring: &Keyring,
    hooks_tls: Option<&ServerTls>,
) {
    let (from, keyring) = (config.clone(), keyring.clone());
    reloader.apply(SECRETS, move || {
        let keys = from.keys()?.context("there is no key any more")?;
        keyring::replace(&keyring, keys).map(drop)
    });
    let (from, admin) = (config.clone(), app.clone());
    reloader.apply(ADMIN_TOKEN, move || {
        let token = admin_token(&from)?.context("there is no token any more")?;
        admin.replace_admin_token(&token);
        Ok(())
    });
    if let Some(tls) = hooks_tls.cloned() {
        let from = config.hooks.tls.clone();
        reloader.apply(HOOKS_TLS, move || {
            tls.replace(from.certificate("hooks.tls")?.context("there is no certificate any more")?);
            Ok(())
        });
    }
    let (from, app) = (config.clone(), app.clone());
    reloader.apply(DECLARED, move || {
        let Some(declaration) = from.declaration()? else { return Ok(()) };
        // On a thread for what blocks.
        Handle::current().block_on(app.reconcile(&declaration)).map_err(Into::into)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn whether_metrics_need_a_token_is_for_the_configuration_to_say() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("flagtrail.toml");
        for (said, is_needed) in [("", false), ("metrics_need_token = true", true)] {
            let text = format!("data_dir = {:?}\n[admin]\n{said}\n", dir.path());
            std::fs::write(&file, text).unwrap();
            let config = Config::load(Some(&file), Overrides::default()).unwrap();
            assert_eq!(server_config(&config, None).unwrap().metrics_need_token, is_needed);
        }
    }
}
