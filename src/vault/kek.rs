//! Where the key encryption key comes from: a file, a systemd credential, or the environment. It has 32 random bytes, kept as 64
//! hexadecimal digits or raw.

use std::io::Write;
use std::path::Path;

use zeroize::Zeroizing;

use crate::crypto::encoding::{from_hex, hex};
use crate::domain::entropy::Entropy;
use crate::domain::secret::{Kek, Secret};
use crate::vault::VaultError;

/// Reads the KEK that `reference` names: `file:PATH`, `credential:NAME` or `env:NAME`. `lookup` reads the environment.
pub fn load(reference: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Secret<Kek>, VaultError> {
    match reference.split_once(':') {
        Some(("file", path)) if !path.is_empty() => read_file(Path::new(path)),
        Some(("credential", name)) if !name.is_empty() && !name.contains(['/', '\\']) && name != ".." => {
            let folder = lookup("CREDENTIALS_DIRECTORY").ok_or_else(|| unusable("CREDENTIALS_DIRECTORY is not set"))?;
            // systemd makes the folder unreadable for others; the file's own mode may say 0440.
            let bytes = std::fs::read(Path::new(&folder).join(name)).map_err(|error| unusable(&error.to_string()))?;
            parse(&Zeroizing::new(bytes))
        }
        Some(("env", name)) if !name.is_empty() => {
            let text = lookup(name).ok_or_else(|| unusable("the environment variable is not set"))?;
            parse(Zeroizing::new(text).as_bytes())
        }
        _ => Err(unusable("write file:PATH, credential:NAME or env:NAME")),
    }
}

/// Makes a new KEK in a new file that only its owner may read. Never touches an existing file.
pub fn create_file(path: &Path, entropy: &Entropy) -> Result<(), VaultError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| unusable(&error.to_string()))?;
    let key = Zeroizing::new(entropy.bytes::<32>());
    let text = Zeroizing::new(hex(&*key));
    file.write_all(text.as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all())
        .map_err(|error| unusable(&error.to_string()))
}

fn read_file(path: &Path) -> Result<Secret<Kek>, VaultError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let found = std::fs::metadata(path).map_err(|error| unusable(&error.to_string()))?;
        if found.permissions().mode() & 0o077 != 0 {
            return Err(unusable("the file is readable by others; run chmod 600 on it"));
        }
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(|error| unusable(&error.to_string()))?);
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Secret<Kek>, VaultError> {
    if bytes.len() == 32 {
        return Ok(Secret::from_bytes(bytes.to_vec()));
    }
    std::str::from_utf8(bytes)
        .ok()
        .map(str::trim_ascii)
        .filter(|text| text.len() == 64)
        .and_then(from_hex)
        .map(Secret::from_bytes)
        .ok_or_else(|| unusable("it must hold 64 hexadecimal digits"))
}

fn unusable(why: &str) -> VaultError {
    VaultError::KekUnusable(why.to_owned())
}
