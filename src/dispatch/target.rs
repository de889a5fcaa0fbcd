//! Where a call goes: what the guest names as the upstream.

use std::net::{IpAddr, Ipv6Addr};

use super::refusal::Refusal;

const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// The longest name that DNS has.
const MAX_HOST: usize = 255;

/// A server that a guest names: an address, or a name to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Host { name: String, port: Option<u16> },
    Ip { address: IpAddr, port: Option<u16> },
    Unix(Vec<u8>),
}

impl Target {
    /// `host`, `host:port`, an IPv4 address, an IPv6 address in brackets or alone, each with a port or without, or
    /// `unix:path`.
    ///
    /// # Errors
    /// When it can be none of these.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let invalid = || Refusal::Upstream(String::from_utf8_lossy(text).into_owned());
        if let Some(path) = text.strip_prefix(b"unix:") {
            return if path.is_empty() || path.contains(&0) { Err(invalid()) } else { Ok(Self::Unix(path.to_vec())) };
        }
        let text = std::str::from_utf8(text).map_err(|_| invalid())?;
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self::Ip { address: address.into(), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            // A colon within brackets is one of an IPv6 address.
            Some((host, port)) if !port.contains(']') => (host, Some(parse_port(port).ok_or_else(invalid)?)),
            _ => (text, None),
        };
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            let address: Ipv6Addr = address.parse().map_err(|_| invalid())?;
            return Ok(Self::Ip { address: address.into(), port });
        }
        if let Ok(address) = host.parse() {
            return Ok(Self::Ip { address, port });
        }
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if host.is_empty() || host.len() > MAX_HOST || !host.bytes().all(known) {
            return Err(invalid());
        }
        Ok(Self::Host { name: host.to_owned(), port })
    }

    /// The port, where it has one of its own.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Self::Host { port, .. } | Self::Ip { port, .. } => *port,
            Self::Unix(_) => None,
        }
    }

    /// The `Host` of a request that names no other; as it was written.
    pub(super) fn authority(&self, written: &[u8]) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            _ => String::from_utf8_lossy(written).into_owned(),
        }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// The port of a scheme.
pub(super) fn default_port(tls: bool) -> u16 {
    if tls { HTTPS } else { HTTP }
}

/// Whether a call that does not name its scheme is one over TLS.
pub(super) fn implies_tls(port: Option<u16>) -> bool {
    port == Some(HTTPS)
}

/// The name that a certificate must have: the authority without its port.
pub(super) fn tls_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if parse_port(port).is_some() && !host.ends_with(':') => host,
        _ => authority,
    }
    .trim_start_matches('[')
    .trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: Option<u16>) -> Target {
        Target::Host { name: name.to_owned(), port }
    }

    fn ip(address: &str, port: Option<u16>) -> Target {
        Target::Ip { address: address.parse().unwrap(), port }
    }

    #[test]
    fn what_a_guest_may_name() {
        for (text, target) in [
            ("example.com", host("example.com", None)),
            ("my_svc-1.local:8080", host("my_svc-1.local", Some(8080))),
            ("127.0.0.1", ip("127.0.0.1", None)),
            ("127.0.0.1:1", ip("127.0.0.1", Some(1))),
            ("[::1]:65535", ip("::1", Some(65535))),
            ("[::1]", ip("::1", None)),
            ("::1", ip("::1", None)),
            ("unix:/tmp/a b", Target::Unix(b"/tmp/a b".to_vec())),
        ] {
            assert_eq!(Target::parse(text.as_bytes()), Ok(target), "{text}");
        }
    }

    #[test]
    fn what_it_may_not() {
        let long = "a".repeat(256);
        for text in [
            "", ":80", "a:", "a:0", "a:65536", "a:+1", "a b", "a/b", "http://a", "[::1", "::1]", "[a]:1", "a:b:1",
            "unix:", "unix:\0", "é.com", &long,
        ] {
            assert_eq!(Target::parse(text.as_bytes()), Err(Refusal::Upstream(text.to_owned())), "{text}");
        }
        assert!(Target::parse(b"\xff").is_err());
    }

    #[test]
    fn a_certificate_is_for_the_host_without_its_port() {
        for (authority, name) in [
            ("a.com", "a.com"),
            ("a.com:8443", "a.com"),
            ("[::1]:443", "::1"),
            ("[::1]", "::1"),
            ("1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(tls_name(authority), name);
        }
    }
}
