//! Envelope encryption: a fresh DEK seals the value, the KEK's wrapping key seals the DEK, and both are bound to their place.

use crate::crypto::aead::{self, AeadError};
use crate::crypto::hash::framed;
use crate::domain::entropy::Entropy;
use crate::domain::id::{InstallationId, KekId};
use crate::domain::secret::{Dek, Kek, Secret};
use crate::vault::VaultError;

/// What a sealed value is, whose, and which version: moved anywhere else it does not open (VL-01).
pub(in crate::vault) struct Place<'a> {
    pub(in crate::vault) purpose: &'a str,
    pub(in crate::vault) subject: &'a str,
    pub(in crate::vault) version: String,
}

pub(in crate::vault) struct Sealed {
    pub(in crate::vault) wrapped_dek: Vec<u8>,
    pub(in crate::vault) sealed: Vec<u8>,
}

type Home<'a> = (&'a InstallationId, &'a KekId);

fn aad(layer: &str, (installation, kek_id): Home<'_>, place: &Place<'_>) -> Vec<u8> {
    framed(&[
        layer.as_bytes(),
        installation.as_str().as_bytes(),
        place.subject.as_bytes(),
        place.version.as_bytes(),
        place.purpose.as_bytes(),
        kek_id.as_str().as_bytes(),
    ])
}

fn refused(error: AeadError) -> VaultError {
    match error {
        AeadError::DoesNotOpen => VaultError::DoesNotOpen,
        AeadError::UnknownFormat(format) => VaultError::UnknownFormat(format),
    }
}

pub(in crate::vault) fn seal<K>(
    wrapping: &Secret<Kek>,
    home: Home<'_>,
    place: &Place<'_>,
    plain: &Secret<K>,
    entropy: &Entropy,
) -> Result<Sealed, VaultError> {
    let dek = Secret::<Dek>::random(entropy);
    let sealed = aead::seal(&dek, plain, &aad("value", home, place), entropy).map_err(refused)?;
    let wrapped_dek = aead::seal(wrapping, &dek, &aad("dek", home, place), entropy).map_err(refused)?;
    Ok(Sealed { wrapped_dek, sealed })
}

pub(in crate::vault) fn open<K>(
    wrapping: &Secret<Kek>,
    home: Home<'_>,
    place: &Place<'_>,
    sealed: &Sealed,
) -> Result<Secret<K>, VaultError> {
    let dek: Secret<Dek> = aead::open(wrapping, &sealed.wrapped_dek, &aad("dek", home, place)).map_err(refused)?;
    aead::open(&dek, &sealed.sealed, &aad("value", home, place)).map_err(refused)
}
