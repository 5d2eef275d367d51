//! `flagtrail keys init`, `rotate`, `show`: the keys that checkpoints of the log, and exports, are signed with. Works on the key files; a
//! process that is running reads them at its next start.

use anyhow::{Context as _, Result};
use audit_export::{ExportKey, SealKeys};
use audit_proof::{Checkpoint, NoteVerifier, SignedNote, origin};
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
    ///
    /// --finish asks the server whether the latest checkpoint of every partition is signed with the new key, and changes nothing
    /// where one is not.
    Rotate {
        /// Leave the former key behind
        #[arg(long)]
        finish: bool,
        /// Do so without asking the server: a partition that was not sealed with the new key is not sealed any further
        #[arg(long, requires = "finish")]
        unchecked: bool,
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
pub(crate) async fn run(context: &Context, command: Command) -> Result<()> {
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
        Command::Rotate { finish, unchecked } => {
            let keys = key_file::read(&file)?;
            let next = if finish { keys.without_former() } else { keys.rotated() };
            let next =
                next.map_err(|error| Stop::error(Exit::Usage, format!("{}: {error}", file.display())))?;
            if finish && !unchecked {
                check_signed(context, &next).await?;
            }
            key_file::write(&file, &next)?;
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

/// Whether the latest checkpoint of every partition is signed with what is to be the only key.
async fn check_signed(context: &Context, keys: &SealKeys) -> Result<()> {
    let answer = context.client()?.get("/v1/checkpoints").await.context(
        "whether every partition was sealed with the new key is not known; --unchecked leaves the former one behind all the same",
    )?;
    for checkpoint in answer["checkpoints"].as_array().into_iter().flatten() {
        let (origin, note) = (checkpoint["origin"].as_str(), checkpoint["note"].as_str());
        let (origin, note) = (origin.unwrap_or_default(), note.unwrap_or_default());
        let signers = keys.signers(origin).context("the names of the keys")?;
        let known: Vec<NoteVerifier> = signers.iter().map(|signer| signer.verifier().clone()).collect();
        let is_signed = SignedNote::parse(note.as_bytes())
            .is_ok_and(|note| Checkpoint::open(&note, origin, &known).is_ok());
        if !is_signed {
            let problem = format!(
                "the latest checkpoint of {origin} is not signed with the new key yet: start every sealer again and let it seal once"
            );
            return Err(Stop::error(Exit::Failed, problem));
        }
    }
    Ok(())
}
