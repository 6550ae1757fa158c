//! A certificate authority of our own for one test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// The authority and where its files lie.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    dir: PathBuf,
}

/// A certificate and its key, both PEM files.
pub(crate) struct Leaf {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Ca {
    /// Makes an authority whose certificate lies at [`Ca::file`].
    pub(crate) fn create(dir: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names, no error");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Mailwarden test CA");
        let key = KeyPair::generate().expect("make a key");
        let certificate = params.self_signed(&key).expect("sign the authority");
        fs::create_dir_all(dir).expect("make the authority's folder");
        fs::write(dir.join("ca.pem"), certificate.pem()).expect("write the authority");
        Self { issuer: Issuer::new(params, key), dir: dir.to_owned() }
    }

    /// The authority's certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Issues a server certificate for `localhost` and 127.0.0.1.
    pub(crate) fn issue(&self, name: &str) -> Leaf {
        self.issue_for(name, &["localhost", "127.0.0.1"])
    }

    /// Issues a server certificate for `hosts`.
    pub(crate) fn issue_for(&self, name: &str, hosts: &[&str]) -> Leaf {
        let names = hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).expect("good host names");
        params.distinguished_name.push(DnType::CommonName, hosts[0]);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("make a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("sign a server certificate");
        let leaf =
            Leaf { certificate: self.dir.join(format!("{name}.pem")), key: self.dir.join(format!("{name}.key")) };
        fs::write(&leaf.certificate, certificate.pem()).expect("write the certificate");
        fs::write(&leaf.key, key.serialize_pem()).expect("write the key");
        leaf
    }
}
