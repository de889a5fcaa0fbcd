//! TLS of a connection to a peer, as ngx_http_upstream_ssl_init_connection does it.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use super::{
    Connection,
    state::{Handshake, on_handshake},
};
use crate::{
    ssl::client::{Client, Options, TlsError, Verify},
    str::from_parts,
    sys,
};

const OK: sys::ngx_int_t = sys::NGX_OK as sys::ngx_int_t;

impl Connection {
    /// Makes a connected connection one of TLS; [`Connection::poll_handshake`] begins the handshake.
    ///
    /// # Errors
    /// When nginx has no TLS, the connection has it already, or the options are not ones that OpenSSL can take.
    pub fn start_tls(&self, client: Client, options: &Options<'_>) -> Result<(), TlsError> {
        if !Client::is_supported() || self.is_tls() {
            return Err(TlsError::Setup("tls is not available"));
        }
        let verify = Verify::new(options)?;
        let sni = verify.server_name().map_or(std::ptr::null(), |name| name.as_ptr().cast());
        let alpn = options.alpn;
        // SAFETY: the connection is ours and has a pool, the client lives as long as the cycle, and OpenSSL copies both
        // the name, which ends with a zero, and the list.
        let status =
            unsafe { sys::wasmx_ssl_start(client.as_ptr(), self.as_ptr(), sni, alpn.as_ptr(), alpn.len() as u32) };
        if status != OK {
            return Err(TlsError::Setup("tls could not be started"));
        }
        self.state().verify.set(Some(Box::new(verify)));
        Ok(())
    }

    /// Ready when the handshake is done and the peer is who it should be.
    ///
    /// # Errors
    /// Why not, in OpenSSL's words where it has some.
    pub fn poll_handshake(&self, cx: &mut Context<'_>, timeout: Duration) -> Poll<Result<(), TlsError>> {
        let c = self.as_ptr();
        if !self.is_tls() {
            return Poll::Ready(Err(TlsError::Setup("tls was not started")));
        }
        self.state().doing(c"SSL handshaking to upstream");
        // SAFETY: the connection is ours, and has TLS.
        if unsafe { sys::wasmx_ssl_is_handshaken(c) } == 0 {
            if self.write_timed_out() {
                return Poll::Ready(Err(TlsError::TimedOut));
            }
            // nginx goes on by itself once it has begun, and says when it is at an end.
            let status = match self.state().handshake.get() {
                // SAFETY: as above; nginx calls the handler with this connection, while it lives.
                Handshake::Ahead => unsafe { sys::wasmx_ssl_handshake(c, Some(on_handshake)) },
                Handshake::Runs => sys::NGX_AGAIN as sys::ngx_int_t,
                Handshake::Ended => sys::NGX_ERROR as sys::ngx_int_t,
            };
            if status == sys::NGX_AGAIN as sys::ngx_int_t {
                self.state().handshake.set(Handshake::Runs);
                self.wait_for_handshake(cx, timeout);
                return Poll::Pending;
            }
            self.state().handshake.set(Handshake::Ended);
            if status != OK {
                // SAFETY: as above; the handshake has failed.
                return Poll::Ready(Err(unsafe { TlsError::of_handshake(c) }));
            }
        }
        self.stop_timers();
        Poll::Ready(self.check_peer())
    }

    fn check_peer(&self) -> Result<(), TlsError> {
        // The check is done once; a connection that failed it is of no use.
        let verify = self.state().verify.take();
        // SAFETY: the connection is ours, and its handshake is done.
        verify.map_or(Ok(()), |verify| unsafe { verify.check(self.as_ptr()) })
    }

    /// What was agreed on in the handshake, such as `h2`; `None` when nothing was.
    pub fn alpn(&self) -> Option<&[u8]> {
        let (mut data, mut len) = (std::ptr::null(), 0);
        if !self.is_tls() {
            return None;
        }
        // SAFETY: the connection is ours and has TLS; the bytes are OpenSSL's, for as long as the connection.
        let protocol = unsafe {
            sys::wasmx_ssl_alpn(self.as_ptr(), &raw mut data, &raw mut len);
            from_parts(data, len as usize)
        };
        (!protocol.is_empty()).then_some(protocol)
    }
}
