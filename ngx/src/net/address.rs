//! Addresses of peers.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

use crate::sys;

/// Where a peer listens: IPv4, IPv6 or a unix socket. Printed as nginx prints it: `127.0.0.1:80`, `[::1]:80`,
/// `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Ip(SocketAddr),
    Unix(Box<[u8]>),
}

/// An address as the system takes it, with room for any.
pub(super) struct Raw {
    pub storage: libc::sockaddr_storage,
    pub len: libc::socklen_t,
}

impl Address {
    pub fn ip(ip: IpAddr, port: u16) -> Self {
        Self(Kind::Ip(SocketAddr::new(ip, port)))
    }

    /// `None` for a path that is empty, has a zero in it or is too long for the system (107 bytes on Linux).
    pub fn unix(path: &[u8]) -> Option<Self> {
        let room = size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path);
        let fits = !path.is_empty() && path.len() < room && !path.contains(&0);
        fits.then(|| Self(Kind::Unix(path.into())))
    }

    /// `None` for a unix socket.
    pub fn as_ip(&self) -> Option<IpAddr> {
        match &self.0 {
            Kind::Ip(address) => Some(address.ip()),
            Kind::Unix(_) => None,
        }
    }

    /// `None` for families that we do not know.
    ///
    /// # Safety
    /// `address` must point to an address of that length.
    pub(crate) unsafe fn from_raw(address: *const sys::sockaddr, len: sys::socklen_t) -> Option<Self> {
        let len = len as usize;
        if address.is_null() || len < size_of::<libc::sa_family_t>() {
            return None;
        }
        // SAFETY: the caller's promise; each family is read only when its struct is that long. nginx aligns addresses,
        // but we need not know it.
        unsafe {
            match libc::c_int::from((*address).sa_family) {
                libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
                    let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
                    let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                    Some(Self(Kind::Ip(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())))
                }
                libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
                    let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
                    let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
                    Some(Self(Kind::Ip(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())))
                }
                libc::AF_UNIX => {
                    let start = std::mem::offset_of!(libc::sockaddr_un, sun_path);
                    let path =
                        crate::str::from_parts(address.cast::<u8>().wrapping_add(start), len.saturating_sub(start));
                    Self::unix(path.split(|byte| *byte == 0).next().unwrap_or_default())
                }
                _ => None,
            }
        }
    }

    pub(super) fn to_raw(&self) -> Raw {
        // SAFETY: integers and arrays of them: zero is a value.
        let mut raw = Raw { storage: unsafe { std::mem::zeroed() }, len: 0 };
        match &self.0 {
            Kind::Ip(SocketAddr::V4(address)) => raw.put(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                // SAFETY: as above; some systems have more fields.
                ..unsafe { std::mem::zeroed() }
            }),
            Kind::Ip(SocketAddr::V6(address)) => raw.put(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            }),
            Kind::Unix(path) => {
                // SAFETY: as above.
                let mut unix: libc::sockaddr_un = unsafe { std::mem::zeroed() };
                unix.sun_family = libc::AF_UNIX as libc::sa_family_t;
                for (to, from) in unix.sun_path.iter_mut().zip(path.iter()) {
                    *to = *from as libc::c_char;
                }
                raw.put(unix);
            }
        }
        raw
    }
}

impl Raw {
    fn put<T: Copy>(&mut self, address: T) {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        const { assert!(align_of::<T>() <= align_of::<libc::sockaddr_storage>()) };
        // SAFETY: it fits, as just asserted.
        unsafe { (&raw mut self.storage).cast::<T>().write(address) };
        self.len = size_of::<T>() as libc::socklen_t;
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Ip(address) => address.fmt(f),
            Kind::Unix(path) => write!(f, "unix:{}", String::from_utf8_lossy(path)),
        }
    }
}

/// An IP address in text, in brackets or not.
pub fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_through_c() {
        let addresses = [
            Address::ip(Ipv4Addr::LOCALHOST.into(), 80),
            Address::ip(Ipv6Addr::LOCALHOST.into(), 443),
            Address::unix(b"/run/x").expect("a path"),
        ];
        for address in addresses {
            let raw = address.to_raw();
            // SAFETY: an address of that length.
            let again = unsafe { Address::from_raw((&raw const raw.storage).cast(), raw.len) };
            assert_eq!(again, Some(address));
        }
    }

    #[test]
    fn addresses_are_printed_as_nginx_does() {
        assert_eq!(Address::ip(Ipv4Addr::LOCALHOST.into(), 80).to_string(), "127.0.0.1:80");
        assert_eq!(Address::ip(Ipv6Addr::LOCALHOST.into(), 80).to_string(), "[::1]:80");
        assert_eq!(Address::unix(b"/x").map(|a| a.to_string()).as_deref(), Some("unix:/x"));
    }

    #[test]
    fn paths_that_no_socket_can_have_are_refused() {
        assert_eq!(Address::unix(b""), None);
        assert_eq!(Address::unix(b"/a\0b"), None);
        assert!(Address::unix(&[b'x'; 107]).is_some());
        assert_eq!(Address::unix(&[b'x'; 108]), None);
    }
}
