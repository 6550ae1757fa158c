//! Where the secrets of new clients go: to files that only this user can read, or to the output when that was asked for.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

pub(super) enum Secrets {
    Shown,
    Files(PathBuf),
}

/// Where one secret will go; a file is there before the client is made.
pub(super) enum Place {
    Shown,
    File { file: File, temporary: PathBuf, dir: PathBuf },
}

impl Secrets {
    /// Into files in `dir`, which is made where it is missing.
    pub(super) fn into_files(dir: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self::Files(dir.to_owned()))
    }

    /// Makes room for one.
    pub(super) fn place(&self) -> anyhow::Result<Place> {
        let Self::Files(dir) = self else { return Ok(Place::Shown) };
        let temporary = dir.join(format!(".new-client-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.with_context(|| format!("cannot write to {}", dir.display()))?;
        Ok(Place::File { file, temporary, dir: dir.clone() })
    }
}

impl Place {
    /// Keeps the secret; gives a line and data that tell of it.
    pub(super) fn keep(mut self, name: &str, id: &str, secret: &str) -> anyhow::Result<(String, Value)> {
        let Self::File { file, temporary, dir } = &mut self else {
            let data = json!({ "name": name, "client_id": id, "client_secret": secret });
            return Ok((format!("client {name} id={id} secret={secret}"), data));
        };
        let path = dir.join(format!("{id}.secret"));
        let written =
            writeln!(file, "{secret}").and_then(|()| file.sync_all()).and_then(|()| fs::rename(&*temporary, &path));
        written.with_context(|| {
            let to = path.display();
            format!("client {id} is made but its secret could not be written to {to}; `mailwarden client rotate-secret {id}` makes one")
        })?;
        let shown = path.display().to_string();
        Ok((
            format!("client {name} id={id} secret in {shown}"),
            json!({ "name": name, "client_id": id, "secret_file": shown }),
        ))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::File { temporary, .. } = self {
            // It is not there any more when the secret was kept.
            let _ = fs::remove_file(temporary);
        }
    }
}
