//! Files that an operator or an auditor hands us: settings, `apply`, an exported log.

use std::path::Path;

use serde_json::Value;

use mailwarden::audit::offline::verify;
use mailwarden::audit::record::Record;
use mailwarden::cli::apply;
use mailwarden::config::Config;
use mailwarden::crypto::encoding::hex;

/// Settings in TOML, and the same as a value from the environment.
pub(super) fn config(data: &[u8]) {
    let Some((first, rest)) = super::halves(data) else { return };
    let environment = [
        ("MAILWARDEN_LIMITS_MAX_CONNECTIONS".to_owned(), first.to_owned()),
        ("MAILWARDEN_LOG_FILTER".to_owned(), first.to_owned()),
    ];
    for (text, environment) in
        [(first, &[][..]), (rest, &environment[..]), (super::text(data).unwrap_or_default(), &[][..])]
    {
        match Config::parse(text, "file.toml", environment) {
            Ok(config) => {
                let _ = (config.issuer(None), config.database_url());
                assert!(environment.is_empty() || config.log.filter == first);
            }
            Err(error) => {
                assert!(error.to_string().contains("file.toml") || error.to_string().contains("must be set"), "{error}")
            }
        }
    }
}

/// A file for `apply`, in both of its languages. A refusal is one that can be read, and names the file.
pub(super) fn apply(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    for name in ["wanted.toml", "wanted.yaml"] {
        if let Err(error) = apply::check(text, Path::new(name)) {
            assert!(format!("{error:#}").contains(name));
        }
    }
}

/// An exported log: as it is, and with every record chained to the one before it, so that the walk goes on. The key is nobody's: no
/// checkpoint is good, and nothing is ever found to be whole.
pub(super) fn export(data: &[u8]) {
    let mut chained = String::new();
    let (mut hash, mut seq) = (vec![0; 32], 0);
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(mut value) = serde_json::from_slice::<Value>(line) else { break };
        let kind = value.as_object_mut().and_then(|members| members.remove("type"));
        if kind.as_ref().and_then(Value::as_str) == Some("event") {
            let Ok(mut record) = serde_json::from_value::<Record>(value) else { break };
            seq += 1;
            record.seq = seq;
            hash = record.computed_hash(&hash).to_vec();
            record.hash = hex(&hash);
            value = serde_json::to_value(&record).expect("JSON");
        }
        let Some(members) = value.as_object_mut() else { break };
        members.extend(kind.map(|kind| ("type".to_owned(), kind)));
        chained.push_str(&value.to_string());
        chained.push('\n');
    }
    let chain_breaks_after = seq;
    for (export, whole) in [(data, 0), (chained.as_bytes(), chain_breaks_after)] {
        let error = verify(export, &[7; 32], None).expect_err("nobody signed it");
        let first_bad = error.first_bad_seq().expect("it names a record");
        assert!((1..=i64::MAX).contains(&first_bad), "{error}");
        assert!(whole == 0 || first_bad <= whole + 1);
    }
}
