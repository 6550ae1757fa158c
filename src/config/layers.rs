//! How the layers are laid over each other.

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use crate::config::{Config, ConfigError};

/// The lowest layer, compiled in.
const DEFAULTS: &str = include_str!("../../config/mailwarden.toml");

/// What the environment variables of settings start with.
const PREFIX: &str = "MAILWARDEN_";

/// Variables with our prefix that are no settings: they belong to the command line (design section 6) and to a restart of our own.
const NOT_SETTINGS: [&str; 4] =
    ["MAILWARDEN_URL", "MAILWARDEN_CA", "MAILWARDEN_OPERATOR_TOKEN", super::LEFT_ENVIRONMENT];

pub(super) fn merge(file: Option<&Path>, environment: &[(String, String)]) -> Result<Config, ConfigError> {
    let Some(path) = file else { return merge_text(None, environment) };
    let origin = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|reason| ConfigError::Unreadable { path: origin.clone(), reason })?;
    merge_text(Some((&text, &origin)), environment)
}

/// The same with the text of the file, and what it is called.
pub(super) fn merge_text(file: Option<(&str, &str)>, environment: &[(String, String)]) -> Result<Config, ConfigError> {
    let mut settings = parse(DEFAULTS, "the built-in defaults")?;
    if let Some((text, origin)) = file {
        lay_over(&mut settings, parse(text, origin)?, origin)?;
    }
    for (name, value) in environment {
        if name.starts_with(PREFIX) && !NOT_SETTINGS.contains(&name.as_str()) {
            set_from_environment(&mut settings, name, value);
        }
    }
    let config = Config::deserialize(Value::Table(settings)).map_err(|error| ConfigError::Invalid {
        origin: file.map_or("settings", |(_, origin)| origin).to_owned(),
        message: error.message().to_owned(),
    })?;
    if config.tls.certificate.as_os_str().is_empty() || config.tls.private_key.as_os_str().is_empty() {
        return Err(ConfigError::Missing {
            key: "tls.certificate and tls.private_key",
            hint: "name the PEM files of the certificate for server.hostname; `mailwarden dev` needs none",
        });
    }
    Ok(config)
}

fn parse(text: &str, origin: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        let line = error.span().map_or(1, |span| text.get(..span.start).unwrap_or_default().lines().count().max(1));
        ConfigError::Invalid { origin: format!("{origin}, line {line}"), message: error.message().to_owned() }
    })
}

/// Replaces single keys; a key that the defaults do not have is refused.
fn lay_over(base: &mut Table, layer: Table, origin: &str) -> Result<(), ConfigError> {
    let unknown = |key: String| ConfigError::Invalid {
        origin: origin.to_owned(),
        message: format!("unknown key `{key}`; see config/mailwarden.toml for all keys"),
    };
    for (section, keys) in layer {
        let Some(Value::Table(known)) = base.get_mut(&section) else { return Err(unknown(section)) };
        let Value::Table(keys) = keys else { return Err(unknown(section)) };
        for (key, value) in keys {
            match known.get_mut(&key) {
                Some(place) => *place = value,
                None => return Err(unknown(format!("{section}.{key}"))),
            }
        }
    }
    Ok(())
}

/// `MAILWARDEN_SECTION_KEY`; variables that fit no key are not ours (the demo's `dev.env` has such) and are left alone.
fn set_from_environment(settings: &mut Table, name: &str, value: &str) {
    let name = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase();
    for (section, keys) in settings.iter_mut() {
        let Some(key) = name.strip_prefix(section.as_str()).and_then(|rest| rest.strip_prefix('_')) else { continue };
        if let Value::Table(keys) = keys
            && let Some(place) = keys.get_mut(key)
        {
            *place = match place {
                Value::String(_) => Value::String(value.to_owned()),
                _ => format!("x = {value}")
                    .parse::<Table>()
                    .ok()
                    .and_then(|mut table| table.remove("x"))
                    .unwrap_or_else(|| Value::String(value.to_owned())),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::merge;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{text}\n[tls]\ncertificate = \"c\"\nprivate_key = \"k\"\n")).unwrap();
        file
    }

    #[test]
    fn the_environment_beats_the_file_and_the_file_the_defaults() {
        let file = file("[listen]\nimaps = \"127.0.0.1:1\"\nsmtps = \"127.0.0.1:2\"");
        let environment = [
            ("MAILWARDEN_LISTEN_SMTPS".to_owned(), "127.0.0.1:3".to_owned()),
            ("MAILWARDEN_LIMITS_MAX_CONNECTIONS".to_owned(), "7".to_owned()),
        ];
        let config = merge(Some(file.path()), &environment).unwrap();
        assert_eq!((config.listen.imaps.as_str(), config.listen.smtps.as_str()), ("127.0.0.1:1", "127.0.0.1:3"));
        assert_eq!(config.limits.max_connections, 7);
    }

    #[test]
    fn unknown_keys_and_bad_values_are_named() {
        let error = merge(Some(file("[listen]\nimapss = \"x\"").path()), &[]).unwrap_err().to_string();
        assert!(error.contains("listen.imapss"), "{error}");
        assert!(merge(Some(file("[limits]\nmax_connections = \"many\"").path()), &[]).is_err());
        let error = merge(Some(file("[server]\nhostname = \n").path()), &[]).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
