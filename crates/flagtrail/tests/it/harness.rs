//! Runs the shipped binary as an operator would: processes with configuration files, spoken to over HTTP and
//! by the command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use flagtrail_testkit::process::Process;
use flagtrail_testkit::{ports, wait};
use serde_json::Value;

/// How long a process may take until it is ready, on a machine busy with other tests.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(180);

/// How long one request may take there: longer than the server lets one take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// How long what waits in the spool may take to reach a log that answers.
const DRAINED_WITHIN: Duration = Duration::from_secs(180);

/// How long an append to Kafka may take where no outage is what is tested: for `[kafka]`.
pub(crate) const PATIENT_APPENDS: &str = "append_timeout = \"20s\"\n";

/// The admin token of every system under test.
pub(crate) const ADMIN_TOKEN: &str = "an-admin-token-for-tests-only-0123456789";

/// The secrets key of every system under test: its processes need the same.
pub(crate) const SECRETS_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// What is said of a change of settings that was surely not written. Brokers that have just started may need longer than a write
/// waits, the first time above all; then it is made again.
pub(crate) const NOT_WRITTEN: &str = "the change was not written: the log does not take it now";

/// One process of a system.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) admin: String,
    pub(crate) hooks: String,
    pub(crate) dir: PathBuf,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Node {
    /// Prepares a process `name` in a folder of its own under `root`; `arguments` follow the program's name.
    pub(crate) fn new(root: &Path, name: &str, arguments: &[&str], settings: &str) -> Self {
        let dir = root.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let [admin, hooks] = free_addresses();
        std::fs::write(dir.join("admin.token"), ADMIN_TOKEN).unwrap();
        // Longer than the default: a busy machine is no reason for a drain that was cut short.
        let shutdown = if settings.contains("[shutdown]") { "" } else { "[shutdown]\ndrain = \"60s\"\n" };
        let config = format!(
            "data_dir = {data:?}\n[hooks]\nlisten = \"{hooks}\"\n[admin]\nlisten = \"{admin}\"\ntoken_file = {token:?}\n\
             [secrets]\nkey = {SECRETS_KEY:?}\n[egress]\nallow_networks = [\"127.0.0.1\"]\n[archive]\nfree_bytes_min = 0\n{shutdown}{settings}",
            data = dir.join("data"),
            token = dir.join("admin.token"),
        );
        std::fs::write(dir.join("flagtrail.toml"), config).unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self {
            name: name.to_owned(),
            admin: format!("http://{admin}"),
            hooks: format!("http://{hooks}"),
            dir,
            arguments,
            process: None,
        }
    }

    /// Puts `with` in the place of `text` in its configuration; but for `[egress]`, it counts from the next start on.
    pub(crate) fn configure(&self, text: &str, with: &str) {
        let path = self.dir.join("flagtrail.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        assert!(config.contains(text), "{text} stands in {config}");
        std::fs::write(&path, config.replace(text, with)).unwrap();
    }

    /// Starts it (again).
    pub(crate) fn start(&mut self) {
        let mut command = flagtrail();
        command.arg("--config").arg(self.dir.join("flagtrail.toml")).args(&self.arguments);
        let log = self.dir.join("process.log");
        self.process = Some(Process::start(&self.name, &command, &log).unwrap());
    }

    /// Waits until it takes changes in and has reached the log.
    pub(crate) async fn ready(&self) {
        self.serving().await;
        // What is asked of the log is refused until then.
        self.answers("/v1/rejected?limit=1").await;
    }

    /// Waits until it takes webhooks in, on the log or in its spool; without hooks, until the log answers.
    pub(crate) async fn serving(&self) {
        self.answers("/readyz").await;
    }

    async fn answers(&self, path: &str) {
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            let asked = http().get(format!("{}{path}", self.admin)).bearer_auth(ADMIN_TOKEN).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} does not answer {path} after {READY_WITHIN:?}:\n{}", self.name, self.log_tail());
    }

    /// What waits in the spool, where the process can be asked.
    pub(crate) async fn spooled(&self) -> Option<usize> {
        let asked = http().get(format!("{}/metrics", self.admin)).send().await.ok()?;
        let figures = asked.text().await.ok()?;
        let line = figures.lines().find_map(|line| line.strip_prefix("flagtrail_spool_entries "))?;
        line.trim().parse().ok()
    }

    /// Waits until what was answered 202 is on the log: a hook for which the log was slow goes by way of the spool.
    pub(crate) async fn drained(&self) {
        wait::until(DRAINED_WITHIN, "the spool is empty", || async { self.spooled().await == Some(0) }).await;
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("it runs").kill().unwrap();
    }

    /// SIGSTOP: it stands still until it is resumed.
    pub(crate) fn pause(&mut self) {
        self.process.as_mut().expect("it runs").pause().unwrap();
    }

    /// SIGCONT.
    pub(crate) fn resume(&mut self) {
        self.process.as_mut().expect("it runs").resume().unwrap();
    }

    /// SIGTERM, and the drain.
    pub(crate) fn stop(&mut self) {
        let status = self.process.take().expect("it runs").stop().unwrap();
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log_tail());
    }

    /// SIGTERM; the process may end as it likes, but it must end.
    pub(crate) fn stop_whatever_it_says(&mut self) {
        self.process.take().expect("it runs").stop().unwrap();
    }

    /// Everything that the process has logged, over all its starts.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.dir.join("process.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(self.dir.join("process.log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4_000)..]).into_owned()
    }

    /// Runs a command against this process and demands success.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let began = Instant::now();
        let mut output = self.try_command(arguments);
        while String::from_utf8_lossy(&output.stderr).contains(NOT_WRITTEN) && began.elapsed() < READY_WITHIN
        {
            output = self.try_command(arguments);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "flagtrail {arguments:?}: {}\n{errors}\n{}",
            output.status,
            self.log_tail()
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// As [`Self::command`], with JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.command(&[&["--json"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Runs a command, whatever comes of it.
    pub(crate) fn try_command(&self, arguments: &[&str]) -> Output {
        let mut command = flagtrail();
        command.arg("--server").arg(&self.admin).arg("--token-file").arg(self.dir.join("admin.token"));
        command.current_dir(&self.dir).args(arguments).output().unwrap()
    }
}

/// An HTTP client that gives up after a while.
pub(crate) fn http() -> reqwest::Client {
    // The product chooses its TLS provider itself; so does a test that uses the same client.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(ANSWERED_WITHIN).build().unwrap()
}

/// The program, free of the caller's variables.
pub(crate) fn flagtrail() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flagtrail"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLAGTRAIL_")) {
        command.env_remove(name);
    }
    command
}

/// Loopback addresses whose ports are free, and stay so while the process is down.
fn free_addresses<const COUNT: usize>() -> [String; COUNT] {
    let listeners = ports::free(COUNT).unwrap();
    std::array::from_fn(|index| listeners[index].local_addr().unwrap().to_string())
}
