//! Where the key encryption key comes from: a file, the environment, or a systemd credential. Never from the settings themselves.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::crypto::encoding::{base64url, from_base64url};
use crate::domain::entropy::Entropy;
use crate::domain::secret::{Kek, Secret};
use crate::vault::VaultError;

/// Looks an environment variable up.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads the KEK that `reference` points to: `file:PATH` (its owner's only), `env:NAME` or `credential:NAME`.
pub fn load(reference: &str, environment: &Lookup<'_>) -> Result<Secret<Kek>, VaultError> {
    let text = if let Some(path) = reference.strip_prefix("file:") {
        strict(Path::new(path))?
    } else if let Some(name) = reference.strip_prefix("env:") {
        environment(name).ok_or_else(|| VaultError::NoKek(format!("environment variable {name} is not set")))?
    } else if let Some(name) = reference.strip_prefix("credential:") {
        let folder = environment("CREDENTIALS_DIRECTORY")
            .ok_or_else(|| VaultError::NoKek("credential: works under systemd only (LoadCredential=)".to_owned()))?;
        strict(&Path::new(&folder).join(name))?
    } else {
        return Err(VaultError::NoKek("vault.kek must be a reference: file:PATH, env:NAME or credential:NAME".to_owned()));
    };
    let text = zeroize::Zeroizing::new(text);
    match from_base64url(text.trim_end()) {
        Some(bytes) if bytes.len() == 32 => Ok(Secret::from_bytes(bytes)),
        _ => Err(VaultError::NoKek("the KEK must be 32 bytes in base64url, 43 characters".to_owned())),
    }
}

/// Makes a KEK file that only its owner can read. An existing file is never touched.
pub fn create_file(path: &Path, entropy: &Entropy) -> Result<(), VaultError> {
    let fail = |error: std::io::Error| VaultError::NoKek(format!("cannot make {}: {error}", path.display()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
    let bytes = zeroize::Zeroizing::new(entropy.bytes::<32>());
    let text = zeroize::Zeroizing::new(base64url(&*bytes));
    file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all()).map_err(fail)
}

fn strict(path: &Path) -> Result<String, VaultError> {
    let fail = |error: std::io::Error| VaultError::NoKek(format!("cannot read {}: {error}; `mailwarden init` makes it", path.display()));
    let mode = std::fs::metadata(path).map_err(fail)?.mode();
    if mode & 0o077 != 0 {
        return Err(VaultError::NoKek(format!("{} can be read by others: chmod 600 it", path.display())));
    }
    std::fs::read_to_string(path).map_err(fail)
}
