//! A child process that a test can kill, pause and resume, and that cannot outlive the test.
//!
//! The program runs below a small shell that holds one end of a pipe. When the test process ends, however it ends, the pipe
//! closes and the shell kills the program. Nothing is signalled but what was started here.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end after SIGTERM before it is killed: longer than anything drains, on a machine busy with other
/// tests.
const STOP_GRACE: Duration = Duration::from_secs(120);

/// How often an exit is looked for.
const EXIT_POLL: Duration = Duration::from_millis(10);

/// How much of the end of a log a failure shows.
const LOG_TAIL_BYTES: u64 = 8 * 1024;

/// Runs `"$@"` with its output in `$1`, prints its process id, and ends with its exit status.
///
/// The subshell waits for the end of standard input, which is the test's end of the pipe. TERM is ignored once it has woken, so
/// that its own status tells the two endings apart: 0 means that the test has gone, and with it whoever would have
/// removed the directory `$2`, and the one around it once that is empty.
const LIFELINE: &str = r#"
log=$1 orphaned=$2
shift 2
exec 3<&0
"$@" 3<&- </dev/null >>"$log" 2>&1 &
program=$!
echo "$program"
( read -r _ <&3; trap '' TERM; kill -9 "$program" ) &
lifeline=$!
wait "$program"
status=$?
kill "$lifeline"
wait "$lifeline" && [ -n "$orphaned" ] && rm -rf "$orphaned" && rmdir "${orphaned%/*}"
exit "$status"
"#;

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    pid: Pid,
    shell: Child,
    /// Closing it kills the program: held for as long as the program may run.
    _lifeline: ChildStdin,
}

impl Process {
    /// Starts `command` with its output appended to the file `log`. Only program, arguments, variables set by name and the
    /// working directory are taken from `command`; standard input is empty.
    ///
    /// # Errors
    /// When no shell can be started. A program that does not exist shows as exit status 127 and a line in the log.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Self> {
        Self::start_owning(name, command, log, None)
    }

    /// As [`start`](Self::start); should this test process die before it can drop the value, `directory` is removed
    /// after the program was killed, and so is the directory around it if it is empty then.
    ///
    /// # Errors
    /// When no shell can be started.
    pub fn start_owning(name: &str, command: &Command, log: &Path, directory: Option<&Path>) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", LIFELINE, "lifeline"]).arg(log);
        shell.arg(directory.unwrap_or(Path::new(""))).arg(command.get_program()).args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(variable, value),
                None => shell.env_remove(variable),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        let mut shell = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start a shell for {name}"))?;
        let lifeline = shell.stdin.take().context("the shell has no standard input")?;
        let mut line = String::new();
        BufReader::new(shell.stdout.take().context("the shell has no standard output")?)
            .read_line(&mut line)?;
        let pid = line.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("the shell did not say the process id of {name}"))?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), pid, shell, _lifeline: lifeline })
    }

    /// The process id of the program itself.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The file that holds what the program wrote.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The end of what the program wrote.
    #[must_use]
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// The exit status, or `None` while the program runs. A program ended by signal N shows as exit code 128 + N.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub fn try_exit(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.shell.try_wait()?)
    }

    /// Waits for the program to end by itself.
    ///
    /// # Errors
    /// When it still runs after `limit`; the error shows the end of its log.
    pub fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.try_exit()? {
                return Ok(status);
            }
            if started.elapsed() > limit {
                bail!("{} still runs after {limit:?}; the end of its log:\n{}", self.name, self.log_tail());
            }
            thread::sleep(EXIT_POLL);
        }
    }

    /// Asks the program to end (SIGTERM) and waits; kills it after two minutes.
    ///
    /// # Errors
    /// When it had to be killed.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        // A paused process hears nothing until it is resumed.
        self.signal(Signal::CONT)?;
        self.wait_exit(STOP_GRACE).inspect_err(|_| drop(self.kill()))
    }

    /// Ends the program at once (SIGKILL), as a lost machine would, and waits until it is gone.
    ///
    /// # Errors
    /// When the operating system refuses the signal.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.shell.wait()?;
        Ok(())
    }

    /// Freezes the program (SIGSTOP): it holds its sockets and memory and does nothing.
    ///
    /// # Errors
    /// When the operating system refuses the signal.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused program go on (SIGCONT).
    ///
    /// # Errors
    /// When the operating system refuses the signal.
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends a signal; none to a program that has ended, whose id may by now be another's.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.try_exit()?.is_none() {
            match kill_process(self.pid, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error).with_context(|| format!("signal {}", self.name)),
            }
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("failed to end {}: {error:#}", self.name);
        }
        if thread::panicking() {
            eprintln!("the end of the log of {}:\n{}", self.name, self.log_tail());
        }
    }
}

/// The end of a log file, or why it cannot be read.
pub(crate) fn log_tail(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("(no log at {}: {error})", path.display()))
}
