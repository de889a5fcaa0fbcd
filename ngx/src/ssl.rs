//! TLS of a connection (src/event/ngx_event_openssl.h), as far as nginx has it.

pub(crate) mod client;

use std::{ffi::c_void, marker::PhantomData};

pub use self::client::{Client, Options, TlsError};
use crate::{guard::guard, str::from_parts, sys};

/// The TLS of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    connection: *mut sys::ngx_connection_t,
    lives: PhantomData<&'a ()>,
}

/// Whose certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// nginx's own.
    Local,
    Peer,
}

/// What can be told of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateField {
    /// The subject, as `$ssl_client_s_dn` has it (RFC 2253).
    Subject,
    /// The first DNS name among the alternative names.
    DnsSan,
    /// The first URI among the alternative names.
    UriSan,
    /// The digest in hexadecimal.
    Sha256,
    /// The certificate in PEM, percent-encoded.
    Pem,
}

impl CertificateField {
    fn number(self) -> u32 {
        match self {
            Self::Subject => sys::WASMX_CERTIFICATE_SUBJECT,
            Self::DnsSan => sys::WASMX_CERTIFICATE_DNS,
            Self::UriSan => sys::WASMX_CERTIFICATE_URI,
            Self::Sha256 => sys::WASMX_CERTIFICATE_SHA256,
            Self::Pem => sys::WASMX_CERTIFICATE_PEM,
        }
    }
}

impl<'a> Tls<'a> {
    /// `None` when the connection has none.
    ///
    /// # Safety
    /// The connection lives as long as `'a`.
    pub(crate) unsafe fn of(connection: *mut sys::ngx_connection_t) -> Option<Self> {
        #[cfg(any(ngx_feature = "ssl", ngx_feature = "compat"))]
        // SAFETY: the caller's promise.
        return unsafe { !(*connection).ssl.is_null() }.then_some(Tls { connection, lives: PhantomData });
        #[cfg(not(any(ngx_feature = "ssl", ngx_feature = "compat")))]
        None
    }

    /// Appends the version, such as `TLSv1.3`.
    pub fn version(self, out: &mut Vec<u8>) -> bool {
        // SAFETY: the connection lives; the shim calls `append` with bytes of its own and with `out`.
        unsafe { sys::wasmx_ssl_version(self.connection, Some(append), (&raw mut *out).cast()) != 0 }
    }

    /// Appends what is asked for; false when there is no such certificate, or it has no such thing.
    pub fn certificate(self, whose: Whose, field: CertificateField, out: &mut Vec<u8>) -> bool {
        let mut raw = Vec::new();
        let (peer, number) = (usize::from(whose == Whose::Peer), field.number() as usize);
        // SAFETY: as in version().
        let found =
            unsafe { sys::wasmx_ssl_certificate(self.connection, peer, number, Some(append), (&raw mut raw).cast()) };
        match field {
            CertificateField::Subject | CertificateField::DnsSan | CertificateField::UriSan => out.append(&mut raw),
            CertificateField::Sha256 => raw.iter().for_each(|byte| out.extend(hex(*byte))),
            CertificateField::Pem => raw.iter().for_each(|byte| percent_encode(*byte, out)),
        }
        found != 0
    }
}

unsafe extern "C" fn append(to: *mut c_void, data: *const u8, len: usize) {
    guard((), || {
        // SAFETY: `to` is the vector that was given to the shim, and the bytes are the shim's for this call.
        unsafe { (*to.cast::<Vec<u8>>()).extend_from_slice(from_parts(data, len)) };
    });
}

fn hex(byte: u8) -> [u8; 2] {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

fn percent_encode(byte: u8, out: &mut Vec<u8>) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        out.push(byte);
    } else {
        out.push(b'%');
        out.extend(hex(byte).map(|digit| digit.to_ascii_uppercase()));
    }
}
