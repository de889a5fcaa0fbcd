//! Certificates for nginx as a TLS server and as a TLS client.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd};

use crate::nginx::Nginx;
use crate::paths::Flavour;

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

    /// A certificate for `CN=name,O=WasmX`; an alternative name with `://` in it is a URI, an address
    /// is one, any other a DNS name.
    ///
    /// # Panics
    /// When a name is not ASCII.
    pub fn sign(&self, name: &str, alternatives: &[&str]) -> Certificate {
        self.finish(CertificateParams::default(), name, alternatives)
    }

    /// The same, of a year that is long gone.
    ///
    /// # Panics
    /// When a name is not ASCII.
    pub fn sign_expired(&self, name: &str, alternatives: &[&str]) -> Certificate {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        self.finish(params, name, alternatives)
    }

    fn finish(&self, mut params: CertificateParams, name: &str, alternatives: &[&str]) -> Certificate {
        describe(&mut params, name, alternatives);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate { pem: signed.pem(), key: key.serialize_pem(), der: signed.der().to_vec() }
    }
}

impl Certificate {
    /// A certificate as those of [`Authority::sign`], signed by nobody but its own key.
    ///
    /// # Panics
    /// When a name is not ASCII.
    pub fn self_signed(name: &str, alternatives: &[&str]) -> Self {
        let mut params = CertificateParams::default();
        describe(&mut params, name, alternatives);
        let key = KeyPair::generate().expect("a key");
        let signed = params.self_signed(&key).expect("a certificate");
        Self { pem: signed.pem(), key: key.serialize_pem(), der: signed.der().to_vec() }
    }
}

fn describe(params: &mut CertificateParams, name: &str, alternatives: &[&str]) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "WasmX");
    params.distinguished_name.push(DnType::CommonName, name);
    let alternative = |name: &&str| {
        if let Ok(address) = name.parse() {
            return SanType::IpAddress(address);
        }
        let text = (*name).try_into().expect("an ASCII name");
        if name.contains("://") { SanType::URI(text) } else { SanType::DnsName(text) }
    };
    params.subject_alt_names = alternatives.iter().map(alternative).collect();
}

impl Nginx {
    /// A listener with TLS and this certificate for the whole server, beside those in the clear. With `http2`, ALPN
    /// offers `h2` as well.
    pub fn tls_listener(self, certificate: &Certificate, http2: bool) -> Self {
        let nginx = self.certificate("server", certificate).server("ssl_certificate server.crt;");
        let nginx = nginx.server("ssl_certificate_key server.key;");
        // 1.25.1 made it a directive, and told of the parameter at warn from then on.
        match (http2, Flavour::current()) {
            (false, _) => nginx.listener("ssl"),
            (true, Flavour::Debian) => nginx.listener("ssl http2"),
            (true, _) => nginx.server("http2 on;").listener("ssl"),
        }
    }

    /// Puts a certificate and its key into the prefix: `NAME.crt` and `NAME.key`.
    pub fn certificate(self, name: &str, certificate: &Certificate) -> Self {
        self.file(&format!("{name}.crt"), &certificate.pem).file(&format!("{name}.key"), &certificate.key)
    }

    /// Puts the certificate of an authority into the prefix: `NAME.crt`.
    pub fn authority(self, name: &str, authority: &Authority) -> Self {
        self.file(&format!("{name}.crt"), &authority.pem)
    }
}
