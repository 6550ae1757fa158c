//! A certificate authority of our own for one test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber,
};

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
        self.issue_with(name, hosts, |_| ())
    }

    /// Issues a certificate for `localhost` that has expired.
    pub(crate) fn issue_expired(&self, name: &str) -> Leaf {
        self.issue_with(name, &["localhost"], |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        })
    }

    /// Issues a certificate for `localhost` and puts it on a revocation list; gives a file with the authority and the list.
    pub(crate) fn issue_revoked(&self, name: &str) -> (Leaf, PathBuf) {
        let serial = SerialNumber::from(4711);
        let leaf = self.issue_with(name, &["localhost"], |params| params.serial_number = Some(serial.clone()));
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: serial,
                revocation_time: rcgen::date_time_ymd(2024, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("sign the list").pem().expect("the list as PEM");
        let file = self.dir.join(format!("{name}-ca-and-list.pem"));
        fs::write(&file, format!("{}{list}", fs::read_to_string(self.file()).expect("read the authority")))
            .expect("write");
        (leaf, file)
    }

    fn issue_with(&self, name: &str, hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let names = hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).expect("good host names");
        params.distinguished_name.push(DnType::CommonName, hosts[0]);
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().expect("make a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("sign a server certificate");
        let leaf =
            Leaf { certificate: self.dir.join(format!("{name}.pem")), key: self.dir.join(format!("{name}.key")) };
        fs::write(&leaf.certificate, certificate.pem()).expect("write the certificate");
        fs::write(&leaf.key, key.serialize_pem()).expect("write the key");
        leaf
    }
}
