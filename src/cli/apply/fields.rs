//! Values of the file with a form of their own. A refusal never repeats the value: a password may stand where a reference belongs.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::cli::mailbox::one_line;
use crate::domain::clock::Timestamp;
use crate::domain::scope::{Preset, Scope, ScopeSet};

/// Files that the file names are small.
const LARGEST: u64 = 1 << 18;

/// Where a password is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    File(String),
    Env(String),
    Stdin,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{path}"),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Stdin => f.write_str("stdin"),
        }
    }
}

impl Reference {
    /// The password there; `file` is where relative paths begin.
    pub(super) fn read(&self, file: &Path) -> anyhow::Result<Zeroizing<String>> {
        match self {
            Self::File(path) => one_line(text_file(&beside(file, path))?),
            Self::Env(name) => {
                let value = crate::config::secret(name).with_context(|| format!("the variable {name} is not set"))?;
                one_line(value.to_string())
            }
            Self::Stdin => {
                let mut text = String::new();
                let read = std::io::stdin().take(LARGEST).read_to_string(&mut text);
                read.context("cannot read the password from standard input")?;
                one_line(text)
            }
        }
        .with_context(|| format!("password {self}"))
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl Form {
            fn refused<E: Error>() -> E {
                E::custom("password must be file:PATH, env:NAME or stdin, never the password itself")
            }
        }
        impl Visitor<'_> for Form {
            type Value = Reference;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("file:PATH, env:NAME or stdin")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Reference, E> {
                match text.split_once(':') {
                    Some(("file", path)) if !path.is_empty() => Ok(Reference::File(path.to_owned())),
                    Some(("env", name)) if !name.is_empty() => Ok(Reference::Env(name.to_owned())),
                    None if text == "stdin" => Ok(Reference::Stdin),
                    _ => Err(Self::refused()),
                }
            }
            fn visit_bool<E: Error>(self, _: bool) -> Result<Reference, E> {
                Err(Self::refused())
            }
            fn visit_i64<E: Error>(self, _: i64) -> Result<Reference, E> {
                Err(Self::refused())
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<Reference, E> {
                Err(Self::refused())
            }
            fn visit_f64<E: Error>(self, _: f64) -> Result<Reference, E> {
                Err(Self::refused())
            }
        }
        deserializer.deserialize_str(Form)
    }
}

/// `HOST:PORT`, the host in brackets where it is an IPv6 address.
pub(super) fn host_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<(String, u16)>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match port.parse() {
        Ok(port) if !host.is_empty() => Ok(Some((host.to_owned(), port))),
        _ => Err(D::Error::custom("an upstream is HOST:PORT")),
    }
}

pub(super) fn preset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Preset>, D::Error> {
    let Some(name) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let known = Preset::ALL.map(Preset::as_str).join(", ");
    name.parse().map(Some).map_err(|_| D::Error::custom(format!("unknown preset {name:?}; there are {known}")))
}

pub(super) fn scopes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ScopeSet>, D::Error> {
    let Some(names) = Option::<Vec<String>>::deserialize(deserializer)? else { return Ok(None) };
    let known = Scope::ALL.map(Scope::as_str).join(", ");
    let parsed = names.iter().map(|name| {
        name.parse::<Scope>().map_err(|_| D::Error::custom(format!("unknown scope {name:?}; there are {known}")))
    });
    parsed.collect::<Result<ScopeSet, _>>().map(Some)
}

/// RFC 3339, as text or as TOML's own date and time.
pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    struct Form;
    impl<'de> Visitor<'de> for Form {
        type Value = Timestamp;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a moment in RFC 3339, with its time zone")
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<Timestamp, E> {
            Timestamp::parse_rfc3339(text)
                .ok_or_else(|| E::custom("expires must be RFC 3339, such as 2027-01-31T00:00:00Z"))
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Timestamp, A::Error> {
            let date = toml::value::Datetime::deserialize(MapAccessDeserializer::new(map))?;
            self.visit_str(&date.to_string())
        }
    }
    deserializer.deserialize_any(Form).map(Some)
}

/// `name`, from the folder of `file`.
pub(super) fn beside(file: &Path, name: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(name)
}

/// A small text file.
pub(super) fn text_file(path: &Path) -> anyhow::Result<String> {
    let what = || format!("cannot read {}", path.display());
    let mut text = String::new();
    File::open(path).with_context(what)?.take(LARGEST + 1).read_to_string(&mut text).with_context(what)?;
    ensure!(text.len() as u64 <= LARGEST, "{} is larger than {LARGEST} bytes", path.display());
    Ok(text)
}
