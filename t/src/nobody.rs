//! Addresses at which a connection does not come about.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// An address of 127.0.0.1 that is taken and refuses every connection: it is bound, and nobody listens.
#[derive(Debug)]
pub struct Nobody {
    _socket: OwnedFd,
    address: SocketAddr,
}

impl Default for Nobody {
    fn default() -> Self {
        Self::new()
    }
}

impl Nobody {
    /// # Panics
    /// When there is no port left.
    pub fn new() -> Self {
        // SAFETY: socket has no preconditions.
        let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        assert!(fd >= 0, "a socket: {}", io::Error::last_os_error());
        // SAFETY: the descriptor was opened here, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut address = libc::sockaddr_in {
            sin_family: libc::AF_INET as libc::sa_family_t,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
            sin_zero: [0; 8],
        };
        let mut size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        // SAFETY: address and size are those of a sockaddr_in.
        let named = unsafe {
            libc::bind(fd, (&raw const address).cast(), size) == 0
                && libc::getsockname(fd, (&raw mut address).cast(), &raw mut size) == 0
        };
        assert!(named, "bind to 127.0.0.1:0: {}", io::Error::last_os_error());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::from_be(address.sin_port)));
        Self { _socket: socket, address }
    }

    /// Where nobody listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A listener of 127.0.0.1 whose backlog is full: a connection to it is never made and never refused.
#[derive(Debug)]
pub struct Full {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Default for Full {
    fn default() -> Self {
        Self::new()
    }
}

impl Full {
    /// # Panics
    /// When its backlog does not get full.
    pub fn new() -> Self {
        const MOST: usize = 16;
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind to 127.0.0.1:0");
        // SAFETY: the descriptor is that of a listener, whose backlog may be changed.
        let listens = unsafe { libc::listen(listener.as_raw_fd(), 0) };
        assert_eq!(listens, 0, "a backlog of 0: {}", io::Error::last_os_error());
        let address = listener.local_addr().expect("the address of a bound listener");
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            waiting.push(stream);
            assert!(waiting.len() < MOST, "{MOST} connections wait for accept() and more may");
        }
        Self { listener, _waiting: waiting }
    }

    /// Where it does not answer.
    ///
    /// # Panics
    /// Never: it is bound.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("the address of a bound listener")
    }
}
