//! `flagtrail keys init`, `rotate`, `show`: the keys that checkpoints of the log, and exports, are signed with. Works on the key files; a
//! process that is running reads them at its next start.

mod show;

use anyhow::{Context as _, Result};
use audit_export::{ExportKey, SealKeys};
use audit_proof::{Checkpoint, NoteVerifier, SignedNote};
use serde_json::Value;

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
    /// where one is not, or where a partition that has records has none.
    Rotate {
        /// Leave the former key behind
        #[arg(long)]
        finish: bool,
        /// Do so without asking the server: a partition that was not sealed with the new key is not sealed any further
        #[arg(long, requires = "finish")]
        unchecked: bool,
    },
    /// Show the verifier keys of checkpoints, and of exports, for those who check them
    ///
    /// A key of the log signs under the name of each partition and epoch, so it is another text for each. Before each stands, in
    /// a line that begins with #, what it signs, and whether it is the current one; while keys are exchanged, the incoming and
    /// the outgoing one, which both sign; or a former one, which signs no more: what it signed still counts. As it is
    /// printed, it is a file for `verify --key`.
    ///
    /// The deployment, its epoch and how many partitions there are stand in `flagtrail log show`; all but the last in every
    /// checkpoint's origin, too.
    Show(show::Args),
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
        Command::Show(args) => show::run(context, &args),
    }
}

/// Refuses where not every partition is known to be sealed with what is to be the only key.
async fn check_signed(context: &Context, keys: &SealKeys) -> Result<()> {
    let answer = context.client()?.get("/v1/checkpoints").await.context(
        "whether every partition was sealed with the new key is not known; --unchecked leaves the former one behind all the same",
    )?;
    match not_signed(&answer, keys)? {
        Some(problem) => Err(Stop::error(Exit::Failed, problem)),
        None => Ok(()),
    }
}

/// What of a server's list of the latest checkpoints stands against leaving the former key behind. A partition that it has
/// none of does as well: what was signed last of that one is not known.
fn not_signed(answer: &Value, keys: &SealKeys) -> Result<Option<String>> {
    const MEND: &str = "start every sealer again and let it seal once";
    let Some(unsealed) = answer["unsealed"].as_array() else {
        let problem =
            "the server does not say which partitions have no checkpoint: it is of an earlier release";
        return Ok(Some(problem.to_owned()));
    };
    if !unsealed.is_empty() {
        let partitions = unsealed.iter().map(print::cell).collect::<Vec<_>>().join(", ");
        return Ok(Some(format!(
            "the server has no checkpoint that its archive bears out of these partitions: {partitions}; {MEND}, and look at `flagtrail archive status`"
        )));
    }
    let checkpoints = answer["checkpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
    if checkpoints.is_empty() {
        return Ok(Some(format!("nothing is sealed yet, with neither key: {MEND}")));
    }
    for checkpoint in checkpoints {
        let (origin, note) = (checkpoint["origin"].as_str(), checkpoint["note"].as_str());
        let (origin, note) = (origin.unwrap_or_default(), note.unwrap_or_default());
        let signers = keys.signers(origin).context("the names of the keys")?;
        let known: Vec<NoteVerifier> = signers.iter().map(|signer| signer.verifier().clone()).collect();
        let is_signed = SignedNote::parse(note.as_bytes())
            .is_ok_and(|note| Checkpoint::open(&note, origin, &known).is_ok());
        if !is_signed {
            return Ok(Some(format!(
                "the latest checkpoint of {origin} is not signed with the new key yet: {MEND}"
            )));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use audit_proof::{NodeHash, origin};
    use serde_json::json;

    use super::*;

    /// What a server lists of two partitions, each signed with all of these keys.
    fn list(signed_with: [&SealKeys; 2]) -> Value {
        let checkpoint = |(partition, keys): (u32, &SealKeys)| {
            let origin = origin(&"deployment", partition, 0);
            let root = NodeHash::from_bytes([7; 32]);
            let mut note = Checkpoint { origin: origin.clone(), size: 3, root }.to_note().unwrap();
            keys.signers(&origin).unwrap().iter().for_each(|signer| note.sign(signer));
            json!({"partition": partition, "origin": origin, "note": note.to_string()})
        };
        let checkpoints: Vec<Value> = (0..).zip(signed_with).map(checkpoint).collect();
        json!({"checkpoints": checkpoints, "unsealed": []})
    }

    #[test]
    fn the_former_key_is_left_behind_once_every_partition_is_known_to_be_sealed_with_the_new_one() {
        let former = SealKeys::generate();
        let both = former.rotated().unwrap();
        let new = both.without_former().unwrap();
        let refusal = |answer: &Value| not_signed(answer, &new).unwrap().unwrap_or_default();
        assert_eq!(refusal(&list([&both, &both])), "");
        assert!(refusal(&list([&both, &former])).contains("records/1/0 is not signed with the new key"));
        let mut partial = list([&both, &both]);
        partial["unsealed"] = json!([2, 5]);
        assert!(refusal(&partial).contains("partitions: 2, 5"), "{}", refusal(&partial));
        assert!(refusal(&json!({"checkpoints": [], "unsealed": []})).contains("nothing is sealed yet"));
        // One that does not know of partitions that are missing.
        let mut earlier = list([&both, &both]);
        earlier.as_object_mut().unwrap().remove("unsealed");
        assert!(refusal(&earlier).contains("earlier release"));
    }
}
