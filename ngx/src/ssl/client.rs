//! TLS towards peers.

use std::{
    borrow::Cow,
    ffi::{CStr, CString},
    fmt,
    ptr::{self, NonNull},
};

use crate::{Cycle, Failed, Level, net::parse_ip, str::lend, sys};

/// OpenSSL's context for connections to peers (`ngx_ssl_t`), made while the configuration is read, and gone with its
/// cycle.
#[derive(Clone, Copy, Debug)]
pub struct Client(NonNull<sys::ngx_ssl_t>);

/// How one connection is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// The peer's name: for SNI, unless it is an IP address (in brackets or not), and for the check of the host.
    pub name: Option<&'a [u8]>,
    /// The certificate must be signed by one that the client trusts.
    pub verify_cert: bool,
    /// The certificate must be for the name.
    pub verify_host: bool,
    /// Protocols to offer, each with its length before it: `\x02h2\x08http/1.1`. Empty: none.
    pub alpn: &'a [u8],
}

/// Why there is no TLS with a peer. Displayed as a line of the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// It could not begin.
    Setup(&'static str),
    /// It was begun and failed. The first error of OpenSSL's, or that there was none: then the peer has closed the
    /// connection.
    Handshake(Cow<'static, str>),
    TimedOut,
    /// The certificate is not to be trusted; OpenSSL's number and words.
    Certificate {
        code: i64,
        reason: Cow<'static, str>,
    },
    /// The certificate is not that of this host.
    Host(String),
}

impl std::error::Error for TlsError {}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup(text) => f.write_str(text),
            Self::Handshake(reason) => write!(f, "tls handshake failed: {reason}"),
            Self::TimedOut => f.write_str("tls handshake timed out"),
            Self::Certificate { code, reason } => write!(f, "tls certificate verify error: ({code}:{reason})"),
            Self::Host(name) => write!(f, "tls certificate does not match \"{name}\""),
        }
    }
}

impl TlsError {
    /// Why a handshake has failed.
    ///
    /// # Safety
    /// `c` must be a connection with TLS.
    pub(crate) unsafe fn of_handshake(c: *mut sys::ngx_connection_t) -> Self {
        let mut text = ptr::null();
        // SAFETY: the caller's promise; OpenSSL's texts are static.
        let (code, text) = unsafe {
            let code = sys::wasmx_ssl_handshake_error(c, &raw mut text);
            (code, if text.is_null() { None } else { Some(CStr::from_ptr(text)) })
        };
        Self::Handshake(match text {
            Some(text) => text.to_string_lossy(),
            None if code == 0 => "peer closed connection".into(),
            None => format!("error {code:#x}").into(),
        })
    }
}

impl Client {
    /// With the certificates of a PEM file, relative to the folder of nginx.conf, to trust; without one, nothing is
    /// trusted. TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// When nginx has no TLS, or cannot read the file; it has been logged.
    pub fn new(cycle: Cycle<'_>, trusted: Option<&[u8]>) -> Result<Self, Failed> {
        if !Self::is_supported() {
            cycle.log().write(Level::Emerg, format_args!("this nginx has no TLS"));
            return Err(Failed);
        }
        // nginx takes the path as one that ends with a zero.
        let path = [trusted.unwrap_or_default(), b"\0"].concat();
        let mut path = cycle.pool().copy_str(&path).ok_or(Failed)?;
        path.len -= 1;
        // SAFETY: the cycle is valid; what is made lives in its pool.
        NonNull::new(unsafe { sys::wasmx_ssl_client(cycle.as_ptr(), &raw mut path) }).map(Self).ok_or(Failed)
    }

    /// Whether the nginx that runs has TLS, with all that we need of OpenSSL.
    pub fn is_supported() -> bool {
        // SAFETY: no preconditions.
        unsafe { sys::wasmx_ssl_client_is_there() != 0 }
    }

    pub(crate) fn as_ptr(self) -> *mut sys::ngx_ssl_t {
        self.0.as_ptr()
    }
}

/// What is checked once the handshake is done.
pub(crate) struct Verify {
    name: CString,
    is_ip: bool,
    cert: bool,
    host: bool,
}

impl Verify {
    pub(crate) fn new(options: &Options<'_>) -> Result<Self, TlsError> {
        let name = options.name.unwrap_or_default();
        let ip = parse_ip(name);
        let name = ip.map_or_else(|| name.to_vec(), |ip| ip.to_string().into_bytes());
        let name = CString::new(name).map_err(|_| TlsError::Setup("tls server name with a zero in it"))?;
        Ok(Self { name, is_ip: ip.is_some(), cert: options.verify_cert, host: options.verify_host })
    }

    /// For SNI; RFC 6066 knows no IP addresses in it.
    pub(crate) fn server_name(&self) -> Option<&CStr> {
        (!self.is_ip && !self.name.is_empty()).then_some(self.name.as_c_str())
    }

    /// # Safety
    /// `c` must be a connection with TLS, whose handshake is done.
    pub(crate) unsafe fn check(&self, c: *mut sys::ngx_connection_t) -> Result<(), TlsError> {
        if self.cert {
            let mut reason = ptr::null();
            // SAFETY: the caller's promise; OpenSSL's texts are static.
            let (code, reason) = unsafe {
                let code = sys::wasmx_ssl_verify(c, &raw mut reason);
                (code, if reason.is_null() { c"no certificate" } else { CStr::from_ptr(reason) })
            };
            if code != 0 {
                return Err(TlsError::Certificate { code, reason: reason.to_string_lossy() });
            }
        }
        if self.host {
            let mut name = lend(self.name.as_bytes());
            // SAFETY: the caller's promise; the name is only read, and a zero follows it.
            if unsafe { sys::wasmx_ssl_check_host(c, &raw mut name, usize::from(self.is_ip)) } == 0 {
                return Err(TlsError::Host(self.name.to_string_lossy().into_owned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_name(name: &[u8]) -> Option<Vec<u8>> {
        let options = Options { name: Some(name), ..Options::default() };
        Verify::new(&options).expect("a name").server_name().map(|name| name.to_bytes().to_vec())
    }

    #[test]
    fn addresses_are_no_server_names() {
        assert_eq!(server_name(b"example.com").as_deref(), Some(b"example.com".as_slice()));
        for ip in [b"127.0.0.1".as_slice(), b"::1", b"[::1]", b""] {
            assert_eq!(server_name(ip), None);
        }
    }

    #[test]
    fn names_with_zeros_are_refused() {
        assert!(Verify::new(&Options { name: Some(b"a\0b"), ..Options::default() }).is_err());
    }
}
