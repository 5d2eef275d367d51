//! The keys of a serving process: which it has, which the settings need, and the first one.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use audit_journal::Control;
use audit_secret::{KeyId, Keyring, Sealed, SecretKey};

use crate::config::{Config, Keys};
use crate::exit::{Exit, Stop};
use crate::secret_file;

/// Most settings that a message names one by one.
const NAMED_MAX: usize = 5;

/// What to do where no key is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MissingKey {
    /// Make one in its usual place, unless something is sealed already: then that key is what is missing.
    Make,
    /// Go without: secrets can't be stored.
    GoWithout,
}

/// The keyring of a process, checked against what is sealed among the settings. One that takes webhooks in or delivers
/// (`must_open`) can't do that without the key; others only can't change secrets.
pub(crate) fn open(
    config: &Config,
    keys: Option<Keys>,
    control: &Control,
    missing: MissingKey,
    must_open: bool,
) -> Result<Keyring> {
    let needed = needed(control);
    let keyring = Keyring::empty();
    let keys = match keys {
        Some(keys) => keys,
        None if !needed.is_empty() && must_open => return Err(without_key(config, &needed)),
        None if missing == MissingKey::Make && needed.is_empty() => {
            Keys { current: make(config)?, former: Vec::new() }
        }
        None => {
            tracing::warn!(
                "there is no secrets key: sources and endpoints with secrets can't be made; name a key's file in secrets.key_file"
            );
            return Ok(keyring);
        }
    };
    replace(&keyring, keys)?;
    for (key, settings) in needed.iter().filter(|(key, _)| !keyring.has(**key)) {
        tracing::error!(
            %key, settings = named(settings),
            "secrets are sealed with a key that is not there: name its file in secrets.former_key_files, or set these secrets anew if it is lost"
        );
    }
    Ok(keyring)
}

/// Puts the keys of a configuration into a keyring. True if they are others than before.
pub(crate) fn replace(keyring: &Keyring, keys: Keys) -> Result<bool> {
    keyring
        .replace(keys.current, keys.former)
        .map_err(|error| Stop::error(Exit::Usage, format!("secrets.former_key_files: {error}")))
}

/// The first start makes the key. If we crash before it is durable, nothing was sealed with it, and the next start makes
/// another.
fn make(config: &Config) -> Result<SecretKey> {
    let file = config.secrets_key_file();
    let key = SecretKey::generate();
    secret_file::write(&file, &key.to_text())
        .with_context(|| format!("the secrets key {}", file.display()))?;
    tracing::info!(file = %file.display(), key = %key.id(), "secrets key made; keep a copy of it elsewhere");
    Ok(key)
}

/// The settings that have something sealed, by key.
fn needed(control: &Control) -> BTreeMap<KeyId, Vec<String>> {
    let mut needed: BTreeMap<KeyId, Vec<String>> = BTreeMap::new();
    for entity in control.all() {
        for key in Sealed::keys_in(&entity.value) {
            let name = entity.value.get("name").and_then(|name| name.as_str()).unwrap_or(&entity.id);
            needed.entry(key).or_default().push(format!("{} {name}", entity.kind));
        }
    }
    needed
}

fn without_key(config: &Config, needed: &BTreeMap<KeyId, Vec<String>>) -> anyhow::Error {
    let keys: Vec<_> = needed.iter().map(|(key, settings)| format!("{key} ({})", named(settings))).collect();
    let file = config.secrets_key_file();
    let problem = format!(
        "settings hold secrets that are sealed with key {}, and there is no key: name its file in secrets.key_file, or put it back at {}; if it is lost, make another with `flagtrail keys new {}` and give these settings new secrets",
        keys.join(", "),
        file.display(),
        file.display(),
    );
    Stop::error(Exit::Usage, problem)
}

fn named(settings: &[String]) -> String {
    let mut text = settings.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if settings.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", settings.len() - NAMED_MAX));
    }
    text
}
