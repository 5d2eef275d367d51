//! `flagtrail keys init`, `rotate`, `show`: the keys that checkpoints of the log, and exports, are signed with. Works on the key files; a
//! process that is running reads them at its next start.

use anyhow::{Context as _, Result};
use audit_export::{ExportKey, SealKeys};
use audit_proof::origin;
use serde_json::json;

use super::Context;
use crate::exit::{Exit, Stop};
use crate::{key_file, print};

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make the files with the keys that checkpoints of the log (seal.key_file) and exports (seal.export_key_file) are signed
    /// with, as far as they are missing
    Init,
    /// Make a new key that signs checkpoints; the one in use signs beside it until --finish
    ///
    /// Between the two, tell everybody who checks checkpoints the new verifier keys, and start every sealer again: one goes on only
    /// from what a key of its file signed.
    Rotate {
        /// Leave the former key behind
        #[arg(long)]
        finish: bool,
    },
    /// Show the verifier keys of a partition's checkpoints, and of exports, for those who check them
    ///
    /// The deployment stands in `flagtrail log show` and in every checkpoint's origin.
    Show {
        /// The log's deployment
        #[arg(long)]
        deployment: String,
        /// The partition
        #[arg(long)]
        partition: u32,
        /// The log's epoch
        #[arg(long, default_value_t = 0)]
        epoch: u32,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, command: Command) -> Result<()> {
    let file = context.config.seal_key_file();
    match command {
        Command::Init if file.exists() && context.config.export_key_file().exists() => Err(Stop::error(
            Exit::Usage,
            format!("{} is there already: `flagtrail keys rotate` exchanges its key", file.display()),
        )),
        Command::Init => {
            if !file.exists() {
                key_file::write(&file, &SealKeys::generate())?;
                print::line(&format!("{} made; keep a copy elsewhere", file.display()))?;
            }
            let exports = context.config.export_key_file();
            if !exports.exists() {
                key_file::write_export(&exports, &ExportKey::generate())?;
                print::line(&format!("{} made", exports.display()))?;
            }
            Ok(())
        }
        Command::Rotate { finish } => {
            let keys = key_file::read(&file)?;
            key_file::write(&file, &if finish { keys.without_former() } else { keys.rotated() })?;
            let done =
                if finish { "signs with the new key alone" } else { "signs with the new key and the former" };
            print::line(&format!("{} {done} from the sealer's next start on", file.display()))
        }
        Command::Show { deployment, partition, epoch } => {
            let keys = key_file::read(&file)?;
            let origin = origin(&deployment, partition, epoch);
            let mut verifiers = keys.verifiers(&origin, &deployment).context("the names of the keys")?;
            let exports = context.config.export_key_file();
            if exports.exists() {
                let signer =
                    key_file::read_export(&exports)?.signer(&deployment).context("the key's name")?;
                verifiers.push(signer.verifier().clone());
            }
            if context.json {
                let verifiers: Vec<String> = verifiers.iter().map(ToString::to_string).collect();
                return print::json(&json!({"origin": origin, "verifier_keys": verifiers}));
            }
            verifiers.iter().try_for_each(|verifier| print::line(&verifier.to_string()))
        }
    }
}
