//! Secrets as types, one per kind: wiped on drop, never cloned, printed, serialised or compared by `==`.
//!
//! ```compile_fail
//! use mailwarden::domain::secret::{Secret, Password};
//! fn clone_it(secret: &Secret<Password>) -> Secret<Password> { secret.clone() }
//! ```
//! ```compile_fail
//! use mailwarden::domain::secret::{Secret, Password};
//! fn print_it(secret: &Secret<Password>) -> String { format!("{secret}") }
//! ```
//! ```compile_fail
//! use mailwarden::domain::secret::{Secret, Password};
//! fn send_it(secret: &Secret<Password>) -> String { serde_json::to_string(secret).unwrap() }
//! ```
//! ```compile_fail
//! use mailwarden::domain::secret::{Secret, Password};
//! fn compare_them(one: &Secret<Password>, other: &Secret<Password>) -> bool { one == other }
//! ```

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::domain::entropy::Entropy;

/// What logs a person or the gateway in at an upstream.
#[derive(Debug)]
pub enum Password {}
/// A client's own secret at the token endpoint (`mws_...`).
#[derive(Debug)]
pub enum ClientSecret {}
/// A signed assertion by which a client proves who it is, as presented.
#[derive(Debug)]
pub enum ClientAssertion {}
/// What an operator presents to the admin API (`mwo_...`).
#[derive(Debug)]
pub enum OperatorToken {}
/// A signed access token, as presented.
#[derive(Debug)]
pub enum AccessToken {}
/// A key encryption key: 32 bytes.
#[derive(Debug)]
pub enum Kek {}
/// A data encryption key: 32 bytes.
#[derive(Debug)]
pub enum Dek {}
/// A private signing key in PKCS#8 form.
#[derive(Debug)]
pub enum PrivateKey {}
/// A key for keyed hashes, derived from the KEK.
#[derive(Debug)]
pub enum MacKey {}

/// Secret bytes of one kind. `Debug` prints a fixed text in every build.
pub struct Secret<Kind> {
    bytes: Zeroizing<Box<[u8]>>,
    kind: PhantomData<fn() -> Kind>,
}

impl<Kind> Secret<Kind> {
    /// Takes ownership of `bytes`; the caller keeps no copy.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        // A Vec with spare capacity would be copied by `into_boxed_slice` and the old allocation left unwiped.
        let bytes = Zeroizing::new(bytes);
        Self { bytes: Zeroizing::new(bytes.as_slice().into()), kind: PhantomData }
    }

    /// 32 random bytes, made in place: no copy is left on the stack.
    pub fn random(entropy: &Entropy) -> Self {
        let mut bytes = Zeroizing::new(vec![0; 32].into_boxed_slice());
        entropy.fill(&mut bytes);
        Self { bytes, kind: PhantomData }
    }

    /// Takes ownership of `text`; the caller keeps no copy.
    pub fn from_text(text: String) -> Self {
        Self::from_bytes(text.into_bytes())
    }

    /// Lends the bytes to `read`. The name is easy to search for: every use is a place to review.
    pub fn expose<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        read(&self.bytes)
    }

    /// Lends the text to `read`, or gives `None` when the bytes are not UTF-8.
    pub fn expose_text<T>(&self, read: impl FnOnce(&str) -> T) -> Option<T> {
        std::str::from_utf8(&self.bytes).ok().map(read)
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl<Kind> fmt::Debug for Secret<Kind> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Secrets arrive in request bodies; they never leave in one (there is no `Serialize`).
impl<'de, Kind> Deserialize<'de> for Secret<Kind> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from_text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Password, Secret};

    use std::marker::PhantomData;

    /// Says of a type which traits it has: an inherent constant hides the one that every type gets.
    struct Has<T>(PhantomData<T>);
    trait Not {
        const CLONE: bool = false;
        const DISPLAY: bool = false;
        const SERIALIZE: bool = false;
        const EQ: bool = false;
    }
    impl<T> Not for Has<T> {}
    impl<T: Clone> Has<T> {
        const CLONE: bool = true;
    }
    impl<T: std::fmt::Display> Has<T> {
        const DISPLAY: bool = true;
    }
    impl<T: serde::Serialize> Has<T> {
        const SERIALIZE: bool = true;
    }
    impl<T: PartialEq> Has<T> {
        const EQ: bool = true;
    }

    #[test]
    fn vl_07_a_secret_is_neither_clone_nor_display_nor_serialize_nor_eq() {
        type S = Has<Secret<Password>>;
        type Text = Has<String>;
        assert_eq!([Text::CLONE, Text::DISPLAY, Text::SERIALIZE, Text::EQ], [true; 4], "the probe sees traits");
        assert_eq!([S::CLONE, S::DISPLAY, S::SERIALIZE, S::EQ], [false; 4]);
    }

    #[test]
    fn vl_07_debug_and_panics_never_show_the_bytes() {
        let secret = Secret::<Password>::from_text("canary-in-debug".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert!(!format!("{:#?}", Some(&secret)).contains("canary"));
        let panic = std::panic::catch_unwind(|| panic!("{secret:?}")).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("Secret(..)") && !message.contains("canary"), "{message}");
    }
}
