//! `flagtrail journal`: moving the log. Works on the logs themselves, not through a server.

use anyhow::Result;
use audit_journal::{CopyError, CopyProgress, CopyReport, JournalConfig, OpenError, Topic, copy_log};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Context;
use crate::config::{Backend, Config};
use crate::exit::{Exit, Stop};
use crate::print;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Copy the whole log to the other backend, and compare the two
    ///
    /// From the embedded log in data_dir to the Kafka of [kafka], or back; whatever log.backend says. Stop every
    /// flagtrail process first. Offsets stay as they are, so the copy is the same log: archives, endpoints and
    /// sources go on where they were once log.backend names it. On Kafka the brokers stamp the time of the copy.
    /// Killed or cut short, run it again: it goes on. What is copied from is left as it is; don't append to both.
    Copy {
        /// Where to
        #[arg(long)]
        to: To,
    },
}

/// The backend to copy to.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum To {
    /// The brokers of [kafka]
    Kafka,
    /// data_dir/journal.sqlite
    Embedded,
}

/// Runs the command.
pub(crate) async fn run(context: Context, command: Command) -> Result<()> {
    let Command::Copy { to } = command;
    let (from, to, backend) = ends(&context.config, to)?;
    let style = ProgressStyle::with_template("{msg:26} {wide_bar} {percent:>3}% {eta} left")?;
    let bar = ProgressBar::new(0).with_style(style);
    let report = copy_log(from, to, |progress| show(&bar, progress)).await.map_err(refusal)?;
    bar.finish_and_clear();
    tell(&context, &report, backend)
}

/// From where, to where, and what log.backend is to be afterwards.
fn ends(config: &Config, to: To) -> Result<(JournalConfig, JournalConfig, &'static str)> {
    if config.kafka.brokers.is_empty() {
        return Err(Stop::error(Exit::Usage, "kafka.brokers is empty: name the brokers to copy to or from"));
    }
    let (embedded, kafka) = (config.journal_on(Backend::Embedded)?, config.journal_on(Backend::Kafka)?);
    match to {
        To::Kafka => {
            let file = config.embedded_file();
            if !file.is_file() {
                let problem = format!("{} is not there: there is no embedded log to copy", file.display());
                return Err(Stop::error(Exit::Usage, problem));
            }
            Ok((embedded, kafka, "kafka"))
        }
        To::Embedded => Ok((kafka, embedded, "embedded")),
    }
}

fn show(bar: &ProgressBar, progress: CopyProgress) {
    let doing = if progress.is_comparing { "comparing" } else { "copying" };
    bar.set_length(progress.of);
    bar.set_position(progress.done);
    bar.set_message(format!("{doing} {}", progress.topic.suffix()));
}

fn tell(context: &Context, report: &CopyReport, backend: &str) -> Result<()> {
    let messages = report.messages.iter();
    if context.json {
        let topics: serde_json::Map<String, serde_json::Value> =
            messages.map(|(topic, count)| (topic.suffix().to_owned(), json!(count))).collect();
        return print::json(&json!({"deployment": report.identity.deployment, "messages": topics}));
    }
    let row = |(topic, count): &(Topic, u64)| vec![topic.suffix().to_owned(), count.to_string()];
    print::table(&["topic", "messages copied and compared"], messages.map(row).collect(), "nothing")?;
    print::line(&format!(
        "deployment {} is on both now. Set log.backend = \"{backend}\" and start again; append no more to the other",
        report.identity.deployment
    ))
}

fn refusal(error: CopyError) -> anyhow::Error {
    let exit = match &error {
        CopyError::From(OpenError::Held(_) | OpenError::Unavailable(_))
        | CopyError::To(OpenError::Held(_) | OpenError::Unavailable(_))
        | CopyError::Read(_)
        | CopyError::Write(_)
        | CopyError::Moved => Exit::Unavailable,
        CopyError::From(_) | CopyError::To(_) | CopyError::NotEmpty { .. } => Exit::Usage,
        CopyError::Differs { .. } => Exit::Failed,
    };
    Stop::error(exit, error.to_string())
}
