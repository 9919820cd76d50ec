//! A certificate authority of our own, and certificates by it.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// A certificate authority; its certificate is in a file.
pub struct Authority {
    /// PEM file of its certificate, for `ca_file`.
    pub file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, whose files are in `folder`.
    pub fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = params("gristmill test authority", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a certificate");
        let file = folder.join("ca.pem");
        fs::write(&file, certificate.pem()).expect("the authority's file");
        let issuer = Issuer::new(params, key);
        Self { file, issuer }
    }

    /// A valid certificate for a host, in `folder`.
    pub fn issue(&self, folder: &Path, host: &str) -> Certificate {
        self.issue_until(folder, host, 2099)
    }

    /// One that is valid until the first day of a year.
    pub fn issue_until(&self, folder: &Path, host: &str, year: i32) -> Certificate {
        self.issue_until_day(folder, host, (year, 1, 1))
    }

    /// One that is valid until a year, month and day.
    fn issue_until_day(&self, folder: &Path, host: &str, end: (i32, u8, u8)) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(host, vec![host.to_owned()]);
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        write(folder, host, &certificate.pem(), &key)
    }
}

/// A certificate that nobody vouches for.
pub fn self_signed(folder: &Path, host: &str) -> Certificate {
    let key = KeyPair::generate().expect("a key");
    let params = params(host, vec![host.to_owned()]);
    let certificate = params.self_signed(&key).expect("a certificate");
    write(folder, host, &certificate.pem(), &key)
}

/// Year, month and day of the tenth day from now.
fn in_some_days() -> (i32, u8, u8) {
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(10 * 24);
    let end = end.to_zoned(jiff::tz::TimeZone::UTC);
    let number = |number: i8| u8::try_from(number).expect("a date");
    (end.year().into(), number(end.month()), number(end.day()))
}

fn params(name: &str, hosts: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(hosts).expect("host names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params
}

fn write(folder: &Path, host: &str, pem: &str, key: &KeyPair) -> Certificate {
    let chain = folder.join(format!("{host}.crt"));
    let key_file = folder.join(format!("{host}.key"));
    fs::write(&chain, pem).expect("a certificate's file");
    fs::write(&key_file, key.serialize_pem()).expect("a key's file");
    let key = key_file;
    Certificate { chain, key }
}

/// How a server proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// With a good certificate.
    Valid,
    /// With one that is good for some days more.
    EndsSoon,
    /// With one that was good once.
    Expired,
    /// With somebody else's.
    OtherHost,
    /// With one that nobody vouches for.
    SelfSigned,
}

impl Identity {
    /// Makes the certificate, in `folder`.
    pub fn certificate(self, authority: &Authority, folder: &Path, host: &str) -> Certificate {
        match self {
            Self::Valid => authority.issue(folder, host),
            Self::EndsSoon => authority.issue_until_day(folder, host, in_some_days()),
            Self::Expired => authority.issue_until(folder, host, 2021),
            Self::OtherHost => authority.issue(folder, "other.test"),
            Self::SelfSigned => self_signed(folder, host),
        }
    }
}
