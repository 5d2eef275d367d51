//! The shipped binary as a process of its own, with its memory.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use flagtrail_testkit::process::Process;
use serde_json::Value;

/// The admin token of every process under measurement.
pub(crate) const TOKEN: &str = "a-token-for-benchmarks-only-0123456789";

/// How long a process may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Pause between two looks at a process that starts.
const POLL: Duration = Duration::from_millis(2);

/// Which field of `/proc/…/stat` is the time spent in the program itself, counted from one; that in the system follows.
const UTIME: usize = 14;

/// What such times are counted in: `USER_HZ`, the same on every Linux on x86-64 and AArch64.
const TICKS_A_SECOND: f64 = 100.0;

/// A running `flagtrail`.
pub(crate) struct Product {
    /// Its administration.
    pub(crate) admin: String,
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// From start to ready.
    pub(crate) ready_after: Duration,
    client: reqwest::Client,
    process: Process,
}

impl Product {
    /// Starts it in `dir` with `arguments` and waits until it is ready.
    pub(crate) async fn start(dir: &Path, arguments: &[&str], kafka: Option<(&str, &str)>) -> Result<Self> {
        Self::start_with(dir, arguments, kafka, "").await
    }

    /// The same with more settings, as they would stand in `flagtrail.toml`.
    pub(crate) async fn start_with(
        dir: &Path,
        arguments: &[&str],
        kafka: Option<(&str, &str)>,
        settings: &str,
    ) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let (admin, hooks) = (free_address()?, free_address()?);
        let data = dir.join("data");
        fs::write(dir.join("admin.token"), TOKEN)?;
        // `serve` makes no key by itself, and an endpoint's secret is sealed with one.
        let key = dir.join("secrets.key");
        if !key.is_file() {
            run(Command::new(binary()?).args(["keys", "new"]).arg(&key))?;
        }
        let log = match kafka {
            Some((brokers, prefix)) => {
                format!(
                    "[log]\nbackend = \"kafka\"\n[kafka]\nbrokers = {brokers:?}\nprefix = {prefix:?}\npartitions = 4\nappend_timeout = \"20s\"\n"
                )
            }
            None => String::new(),
        };
        let config = format!(
            "data_dir = {data:?}\n[hooks]\nlisten = \"{hooks}\"\n[admin]\nlisten = \"{admin}\"\ntoken_file = {:?}\n[secrets]\nkey_file = {key:?}\n[egress]\nallow_networks = [\"127.0.0.1\"]\n[telemetry]\nfilter = \"warn\"\n{log}{settings}",
            dir.join("admin.token")
        );
        fs::write(dir.join("flagtrail.toml"), config)?;
        if arguments.contains(&"seal") && !data.join("log.keys").is_file() {
            run(Command::new(binary()?)
                .arg("--config")
                .arg(dir.join("flagtrail.toml"))
                .args(["keys", "init"]))?;
        }
        // Made before the clock runs, once: making one takes longer than asking.
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut command = Command::new(binary()?);
        command.arg("--config").arg(dir.join("flagtrail.toml")).args(arguments);
        let began = Instant::now();
        let process = Process::start("flagtrail", &command, &dir.join("process.log"))?;
        let admin = format!("http://{admin}");
        // An archive that has something to catch up with is not ready; how long that takes is what its row measures.
        let is_alive = if arguments.contains(&"archive") { "healthz" } else { "readyz" };
        let mut product = Self { admin, data, ready_after: Duration::ZERO, client, process };
        while !product.answers(is_alive).await {
            if began.elapsed() > READY_WITHIN || product.process.try_exit()?.is_some() {
                bail!("flagtrail is not ready: {}", product.process.log_tail());
            }
            tokio::time::sleep(POLL).await;
        }
        product.ready_after = began.elapsed();
        Ok(product)
    }

    async fn answers(&self, probe: &str) -> bool {
        let answer = self.client.get(format!("{}/{probe}", self.admin)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Makes a webhook endpoint.
    pub(crate) async fn endpoint(&self, settings: &Value) -> Result<()> {
        self.post("/v1/endpoints", settings).await.map(drop)
    }

    /// Posts to its administration and demands success.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.client.post(format!("{}{path}", self.admin)).json(body);
        self.answer(request).await
    }

    /// Asks its administration and demands success.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.answer(self.client.get(format!("{}{path}", self.admin))).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        let answer = request.bearer_auth(TOKEN).send().await?;
        let status = answer.status();
        let said: Value = answer.json().await?;
        ensure!(status.is_success(), "{status}: {said}");
        Ok(said)
    }

    /// The largest resident memory so far, in MB.
    pub(crate) fn peak_mb(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM in /proc")?;
        let kb: f64 = line.split_whitespace().nth(1).context("no number in VmHWM")?.parse()?;
        Ok(kb / 1024.0)
    }

    /// The processor time that it has taken so far, in seconds, that of the system for it included; to 10 ms.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The second field is the program's name in brackets, which may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("no name in /proc/…/stat")?;
        let ticks: Vec<f64> = fields
            .split_whitespace()
            .skip(UTIME - 3)
            .take(2)
            .filter_map(|ticks| ticks.parse().ok())
            .collect();
        ensure!(ticks.len() == 2, "no times in /proc/…/stat");
        Ok(ticks.iter().sum::<f64>() / TICKS_A_SECOND)
    }

    /// Stops it.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.stop()?;
        Ok(())
    }
}

/// Runs a command to its end and demands success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let ran = command.output()?;
    let said = [&ran.stdout[..], &ran.stderr[..]].concat();
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
    Ok(())
}

/// `flagtrail` beside this program, built with the same profile.
pub(crate) fn binary() -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("flagtrail");
    ensure!(
        beside.is_file(),
        "{} is missing: build it first, with the same profile (cargo build --release -p flagtrail)",
        beside.display()
    );
    Ok(beside)
}

fn free_address() -> Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
