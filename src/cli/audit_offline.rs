//! `audit export`, and `audit verify` for an exported file: the latter needs the public key and nothing else.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::audit::offline::{self, VerifiedExport};
use crate::cli::api::Api;
use crate::crypto::encoding::from_base64url;

#[derive(Debug, Subcommand)]
pub(super) enum FileCommand {
    /// Write all events and checkpoints as JSON lines
    Export {
        /// Where to; an existing file is not touched [default: standard output]
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Walk the whole chain; names the first bad record
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// An export, verified here with no server and no database
    #[arg(long, requires = "key")]
    file: Option<PathBuf>,
    /// The public key that `audit verify` printed when all was well
    #[arg(long, requires = "file", allow_hyphen_values = true)]
    key: Option<String>,
    /// A record that the log is known to have reached: an older copy is refused
    #[arg(long, requires = "file")]
    expect_seq: Option<i64>,
}

impl Verify {
    /// Verifies the file, if there is one.
    pub(super) fn offline(&self) -> anyhow::Result<Option<VerifiedExport>> {
        let (Some(file), Some(key)) = (&self.file, &self.key) else { return Ok(None) };
        let key = from_base64url(key).filter(|key| key.len() == 32).context("--key is not 32 octets in base64url")?;
        let export = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Some(offline::verify(BufReader::new(export), &key, self.expect_seq)?))
    }
}

/// Copies the export to a new file or standard output.
pub(super) async fn export(api: &Api, output: Option<&Path>) -> anyhow::Result<()> {
    let mut answer = api.open("/audit/export").await?;
    let mut target: Box<dyn Write + Send> = match output {
        Some(path) => {
            let file = File::options().write(true).create_new(true).open(path);
            Box::new(BufWriter::new(file.with_context(|| format!("cannot make {}", path.display()))?))
        }
        None => Box::new(std::io::stdout()),
    };
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => target.write_all(&chunk)?,
            Ok(None) => return Ok(target.flush()?),
            Err(_) => bail!("the export broke off; what was written is not whole"),
        }
    }
}
