//! The witnesses that the configuration names: who they are, and the way to them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use audit_archive::Reader;
use audit_export::{SealStanding, WITNESSES_MAX, WitnessAnswer, WitnessTransport, Witnessing};
use audit_journal::Journal;
use audit_proof::{NoteVerifier, SignatureKind};
use audit_webhook::{Egress, TextAddress, TextAnswer, TextPoster};

use crate::config::Witness;
use crate::exit::{Exit, Stop};

/// What is asked of a witness, beneath its address.
const ADD_CHECKPOINT: &str = "add-checkpoint";

/// The keys of the witnesses; an error names the one that is wrong.
pub(crate) fn keys(witnesses: &[Witness]) -> Result<Vec<NoteVerifier>> {
    let refuse = |problem: String| Stop::error(Exit::Usage, format!("[[seal.witness]]: {problem}"));
    if witnesses.len() > WITNESSES_MAX {
        return Err(refuse(format!("at most {WITNESSES_MAX} witnesses are asked")));
    }
    let key = |witness: &Witness| {
        let key = NoteVerifier::parse(&witness.key)
            .map_err(|error| refuse(format!("the key of {}: {error}", witness.url)))?;
        if key.kind() != SignatureKind::Cosignature {
            return Err(refuse(format!("the key of {} is none that cosigns (kind 0x04)", witness.url)));
        }
        Ok(key)
    };
    witnesses.iter().map(key).collect()
}

/// Asks the witnesses; `None` where none are named. `standing` is told what they say.
pub(crate) fn witnessing(
    witnesses: &[Witness],
    journal: &Journal,
    reader: &Reader,
    egress: &Egress,
    standing: SealStanding,
) -> Result<Option<Witnessing>> {
    if witnesses.is_empty() {
        return Ok(None);
    }
    let address = |witness: &Witness| {
        let base = witness.url.trim_end_matches('/');
        let address = TextAddress::parse(&format!("{base}/{ADD_CHECKPOINT}"));
        address.map_err(|error| Stop::error(Exit::Usage, format!("[[seal.witness]]: url {base:?}: {error}")))
    };
    let addresses = witnesses.iter().map(address).collect::<Result<Vec<TextAddress>>>()?;
    let transport = Addresses { addresses, poster: TextPoster::new(egress.clone())? };
    let (keys, transport) = (keys(witnesses)?, Arc::new(transport));
    Ok(Some(Witnessing::new(journal.clone(), reader.clone(), keys, transport, standing)))
}

/// Reaches witnesses over HTTP, as far as the egress policy allows.
struct Addresses {
    addresses: Vec<TextAddress>,
    poster: TextPoster,
}

impl WitnessTransport for Addresses {
    fn add_checkpoint(
        &self,
        witness: usize,
        body: String,
    ) -> Pin<Box<dyn Future<Output = WitnessAnswer> + Send + '_>> {
        Box::pin(async move {
            let url = self.addresses.get(witness).ok_or_else(|| "there is no such witness".to_owned())?;
            let TextAnswer { status, text } = self.poster.post(url, body).await?;
            Ok((status, text))
        })
    }
}
