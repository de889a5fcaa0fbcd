//! Certificates for nginx as a TLS server and as a TLS client.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use crate::nginx::Nginx;

/// A certificate authority of one test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub struct Certificate {
    pub pem: String,
    pub key: String,
    /// The certificate's bytes.
    pub der: Vec<u8>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// # Panics
    /// When there is no randomness for a key.
    pub fn new() -> Self {
        Self::named("the authority")
    }

    /// # Panics
    /// When there is no randomness for a key.
    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("the authority's certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for `CN=name,O=WasmX`; an alternative name with `://` in it is a URI, any other a DNS name.
    ///
    /// # Panics
    /// When a name is not ASCII.
    pub fn sign(&self, name: &str, alternatives: &[&str]) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "WasmX");
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = alternatives
            .iter()
            .map(|name| {
                let text = (*name).try_into().expect("an ASCII name");
                if name.contains("://") { SanType::URI(text) } else { SanType::DnsName(text) }
            })
            .collect();
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate { pem: signed.pem(), key: key.serialize_pem(), der: signed.der().to_vec() }
    }
}

impl Nginx {
    /// Puts a certificate and its key into the prefix: `NAME.crt` and `NAME.key`.
    pub fn certificate(self, name: &str, certificate: &Certificate) -> Self {
        self.file(&format!("{name}.crt"), &certificate.pem).file(&format!("{name}.key"), &certificate.key)
    }

    /// Puts the certificate of an authority into the prefix: `NAME.crt`.
    pub fn authority(self, name: &str, authority: &Authority) -> Self {
        self.file(&format!("{name}.crt"), &authority.pem)
    }
}
