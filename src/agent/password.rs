//! The one fixed password that tools show to the agent. It opens nothing but the agent's doors on this machine.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::crypto::encoding::{AGENT_PASSWORD, generate_short};
use crate::crypto::hash::Mac;
use crate::domain::entropy::Entropy;
use crate::domain::secret::{Password, Secret};

/// Shortest password taken.
const SHORTEST: usize = 16;

/// Why there is no local password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The file cannot be read or made.
    #[error("the password file {0} cannot be used: {1}")]
    File(String, std::io::Error),
    /// Others may read it.
    #[error("the password file {0} can be read by others; take that away with chmod 600")]
    Open(String),
    /// Too easily guessed.
    #[error("the agent's password must have at least {SHORTEST} characters")]
    Short,
}

/// Recognises the password; does not keep it.
#[derive(Debug)]
pub struct LocalPassword {
    mac: Mac,
    digest: [u8; 32],
}

impl LocalPassword {
    /// Recognises `text`.
    pub fn new(text: &str, entropy: &Entropy) -> Result<Self, PasswordError> {
        if text.chars().count() < SHORTEST {
            return Err(PasswordError::Short);
        }
        let mac = Mac::new(&Secret::random(entropy));
        let digest = mac.sign(text.as_bytes());
        Ok(Self { mac, digest })
    }

    /// Recognises what is in the file; where there is none, makes one that only its owner may read. Says whether it did.
    pub fn in_file(path: &Path, entropy: &Entropy) -> Result<(Self, bool), PasswordError> {
        let failed = |error| PasswordError::File(path.display().to_string(), error);
        match std::fs::metadata(path) {
            Ok(known) if known.mode() & 0o077 != 0 => Err(PasswordError::Open(path.display().to_string())),
            Ok(_) => {
                let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
                Ok((Self::new(text.trim_end_matches(['\r', '\n']), entropy)?, false))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if let Some(folder) = path.parent() {
                    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
                }
                let made: Secret<Password> = generate_short(AGENT_PASSWORD, entropy);
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
                made.expose(|bytes| file.write_all(bytes)).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
                file.sync_all().map_err(failed)?;
                let known = made.expose_text(|text| Self::new(text, entropy));
                Ok((known.ok_or(PasswordError::Short)??, true))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether `shown` is it. Digests of one length are compared, in constant time.
    pub(in crate::agent) fn is(&self, shown: &[u8]) -> bool {
        self.mac.verify(shown, &self.digest)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{LocalPassword, PasswordError};
    use crate::crypto::random;

    #[test]
    fn the_password_is_made_once_and_only_for_its_owner() {
        let (dir, entropy) = (tempfile::tempdir().unwrap(), random::system());
        let path = dir.path().join("new/folder/agent-password");
        let (first, made) = LocalPassword::in_file(&path, &entropy).unwrap();
        assert!(made);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("mwa_") && text.ends_with('\n') && text.len() == 43);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let (again, made) = LocalPassword::in_file(&path, &entropy).unwrap();
        assert!(!made);
        for known in [first, again] {
            assert!(known.is(text.trim_end().as_bytes()));
            assert!(!known.is(text.as_bytes()) && !known.is(b"") && !known.is(b"mwa_"));
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(matches!(LocalPassword::in_file(&path, &entropy), Err(PasswordError::Open(_))));
        assert!(matches!(LocalPassword::new("short", &entropy), Err(PasswordError::Short)));
    }
}
