//! The demo's own certificate authority: made once per data folder, so that a tool has to be told of it once.

use std::path::Path;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::app::dev_env::write_private;
use crate::gateway::tls::Identity;

/// The CA's certificate in PEM, and an identity for `localhost` and 127.0.0.1 signed by it.
pub(super) fn load_or_create(folder: &Path) -> anyhow::Result<(String, Identity)> {
    let (ca_file, key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "Mailwarden demo CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if !(ca_file.exists() && key_file.exists()) {
        let key = KeyPair::generate()?;
        write_private(&key_file, &key.serialize_pem())?;
        let certificate = params.self_signed(&key)?;
        std::fs::write(&ca_file, certificate.pem()).with_context(|| format!("cannot write {}", ca_file.display()))?;
    }
    let ca_pem = std::fs::read_to_string(&ca_file).with_context(|| format!("cannot read {}", ca_file.display()))?;
    let key_pem = std::fs::read_to_string(&key_file).with_context(|| format!("cannot read {}", key_file.display()))?;
    let issuer = Issuer::new(params, KeyPair::from_pem(&key_pem)?);
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    let certificate = params.signed_by(&key, &issuer)?;
    let identity = Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())?;
    Ok((ca_pem, identity))
}
