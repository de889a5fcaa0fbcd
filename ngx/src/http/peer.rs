//! Who is at the two ends of the client's connection (src/core/ngx_connection.h).

use crate::{
    http::Request,
    ssl::Tls,
    str::{bytes, from_parts},
    sys,
};

/// A printed address fits (NGX_SOCKADDR_STRLEN).
const ADDRESS: usize = 128;

impl<'a> Request<'a> {
    /// The client's address as text, `$remote_addr`; what the realip module made of it.
    #[inline]
    pub fn client_addr(self) -> &'a [u8] {
        // SAFETY: the connection outlives the request; its text is in the connection's pool or the request's.
        unsafe { bytes(&raw const (*self.connection()).addr_text) }
    }

    /// The client's port, `$remote_port`; 0 for unix sockets.
    pub fn client_port(self) -> u16 {
        // SAFETY: as in client_addr(); ngx_inet_get_port only reads.
        unsafe { sys::ngx_inet_get_port((*self.connection()).sockaddr) }
    }

    /// The address that the client connected to, `$server_addr`. `None` when the system does not tell.
    pub fn server_addr(self) -> Option<&'a [u8]> {
        let text = self.pool().alloc(ADDRESS);
        if text.is_null() || !self.find_local_address() {
            return None;
        }
        // SAFETY: nginx writes at most ADDRESS bytes at text, memory of the request's pool.
        unsafe {
            let c = self.connection();
            let len = sys::ngx_sock_ntop((*c).local_sockaddr, (*c).local_socklen, text, ADDRESS, 0);
            Some(from_parts(text, len))
        }
    }

    /// The port that the client connected to, `$server_port`; 0 for unix sockets.
    pub fn server_port(self) -> u16 {
        if !self.find_local_address() {
            return 0;
        }
        // SAFETY: the local address was just found; ngx_inet_get_port only reads.
        unsafe { sys::ngx_inet_get_port((*self.connection()).local_sockaddr) }
    }

    /// For listeners on any address: asks the system, once.
    fn find_local_address(self) -> bool {
        // SAFETY: the connection outlives the request; without a string to fill, nginx only finds the address.
        unsafe { sys::ngx_connection_local_sockaddr(self.connection(), std::ptr::null_mut(), 0) == 0 }
    }

    /// Whether the client's connection is encrypted. TLS's details are nginx's variables: `$ssl_protocol`,
    /// `$ssl_server_name`, `$ssl_client_verify`.
    #[inline]
    pub fn is_tls(self) -> bool {
        #[cfg(any(ngx_feature = "ssl", ngx_feature = "compat"))]
        // SAFETY: the connection outlives the request.
        return unsafe { !(*self.connection()).ssl.is_null() };
        #[cfg(not(any(ngx_feature = "ssl", ngx_feature = "compat")))]
        false
    }

    /// The TLS version, such as `TLSv1.3`; `None` without TLS.
    pub fn tls_version(self) -> Option<&'a [u8]> {
        self.is_tls().then(|| self.variable(b"ssl_protocol"))?
    }

    /// The name that the client asked for in TLS; `None` when it did not.
    pub fn sni(self) -> Option<&'a [u8]> {
        self.is_tls().then(|| self.variable(b"ssl_server_name"))?.filter(|name| !name.is_empty())
    }

    /// TLS with the client.
    pub fn client_tls(self) -> Option<Tls<'a>> {
        // SAFETY: the connection outlives the request.
        unsafe { Tls::of(self.connection()) }
    }

    /// TLS with the upstream, while the request has a connection to it.
    pub fn upstream_tls(self) -> Option<Tls<'a>> {
        // SAFETY: a connection of the request; nginx forgets it when it closes it or gives it away.
        unsafe { Tls::of(self.upstream_connection()?) }
    }

    /// Appends nginx's address and port in the connection to the upstream, while the request has one.
    pub fn upstream_local_addr(self, out: &mut Vec<u8>) -> bool {
        let Some(c) = self.upstream_connection() else { return false };
        let mut text = [0; ADDRESS];
        let mut lent = sys::ngx_str_t { len: ADDRESS, data: text.as_mut_ptr() };
        // SAFETY: nginx writes at most the length of the string, and sets it to what it wrote.
        if unsafe { sys::ngx_connection_local_sockaddr(c, &mut lent, 1) } != 0 {
            return false;
        }
        let len = lent.len;
        out.extend_from_slice(text.get(..len).unwrap_or_default());
        true
    }

    fn upstream_connection(self) -> Option<*mut sys::ngx_connection_t> {
        // SAFETY: the request is valid, and its upstream, if it has one, in its pool.
        let connection = unsafe { (*self.as_ptr()).upstream.as_ref()?.peer.connection };
        (!connection.is_null()).then_some(connection)
    }
}
