//! Files that hold one secret: written so that nobody else can read them, there whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

/// Most bytes of such a file: a chain of certificates has some kilobytes, a key or token far less.
const BYTES_MAX: u64 = 256 * 1024;

/// The user who may give a file to a group that he is not in.
#[cfg(unix)]
const ROOT: u32 = 0;

/// Why a secret was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("can't be read: {0}")]
    Io(#[from] io::Error),
    #[error("is larger than {BYTES_MAX} bytes, which no secret is")]
    TooLarge,
    #[error("can be read by everybody on this machine: take that away with `chmod o= FILE`")]
    Open,
    #[error(
        "can be read or written by others than its owner: take that away with `chmod 600 FILE` (Kubernetes: mount it with `defaultMode: 0440` and an `fsGroup`, and run as another user than root)"
    )]
    NotOwn,
}

/// Reads a secret, whoever may read it.
pub(crate) fn read(path: &Path) -> Result<SecretString, ReadError> {
    if std::fs::metadata(path)?.len() > BYTES_MAX {
        return Err(ReadError::TooLarge);
    }
    Ok(std::fs::read_to_string(path)?.into())
}

/// Reads a secret that others than its owner and group may not.
pub(crate) fn read_private(path: &Path) -> Result<SecretString, ReadError> {
    if is_open_to_others(&std::fs::metadata(path)?) {
        return Err(ReadError::Open);
    }
    read(path)
}

/// Reads a secret that nobody but its owner may read or write, not his group either; save for one of root's that a process
/// of another user can only read by its group, as Kubernetes mounts secrets.
pub(crate) fn read_own(path: &Path) -> Result<SecretString, ReadError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let file = std::fs::metadata(path)?;
        if !is_own(file.mode(), file.uid(), our_uid()) {
            return Err(ReadError::NotOwn);
        }
    }
    read(path)
}

/// Whether a file of this mode and owner is for `us` alone, as far as the owner can see to it.
#[cfg(unix)]
fn is_own(mode: u32, owner: u32, us: Option<u32>) -> bool {
    match mode & 0o077 {
        0 => true,
        0o040 => owner == ROOT && us.is_some_and(|us| us != ROOT),
        _ => false,
    }
}

/// As whom this process runs: it owns its entry among the processes. `None` where the system has no such list.
#[cfg(unix)]
fn our_uid() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|process| process.uid())
}

#[cfg(unix)]
fn is_open_to_others(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o007 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &std::fs::Metadata) -> bool {
    false
}

/// Writes a secret beside its place and renames it there, readable by its owner alone. If we crash before the rename, there
/// is no such file.
pub(crate) fn write(path: &Path, secret: &SecretString) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    // One that is left there may be open to others, or lead elsewhere.
    if let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(&beside)?;
    writeln!(file, "{}", secret.expose_secret())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    // The name is durable, too: what is sealed with a key must not outlive it.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_can_read_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secrets.key");
        write(&file, &"hush".into()).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_private(&file).unwrap().expose_secret(), "hush\n");
        // Whatever a crash or somebody else left beside it.
        let beside = file.with_extension("tmp");
        std::fs::write(&beside, "").unwrap();
        std::fs::set_permissions(&beside, PermissionsExt::from_mode(0o666)).unwrap();
        write(&file, &"hush again".into()).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_is_for_its_owner_alone_but_where_root_gives_it_to_our_group() {
        const US: u32 = 1_000;
        for (mode, owner, us, is_ours) in [
            (0o600, US, Some(US), true),
            (0o400, ROOT, Some(ROOT), true),
            (0o400, US, None, true),
            // As Kubernetes mounts it with an fsGroup.
            (0o440, ROOT, Some(US), true),
            (0o640, ROOT, Some(US), true),
            (0o440, ROOT, Some(ROOT), false),
            (0o440, ROOT, None, false),
            (0o440, US, Some(US), false),
            (0o440, 1_001, Some(US), false),
            (0o460, ROOT, Some(US), false),
            (0o444, ROOT, Some(US), false),
            (0o604, ROOT, Some(US), false),
        ] {
            assert_eq!(is_own(0o100_000 | mode, owner, us), is_ours, "{mode:o} of {owner} for {us:?}");
        }
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused_and_one_for_a_group_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secrets.key");
        write(&file, &"hush".into()).unwrap();
        for (mode, is_refused) in
            [(0o644, true), (0o604, true), (0o602, true), (0o640, false), (0o400, false)]
        {
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(matches!(read_private(&file), Err(ReadError::Open)), is_refused, "{mode:o}");
        }
    }
}
