//! From what a guest names to a connection: upstreams and their peers, names and their addresses, TLS.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use ngx::net::{Address, Connection};
use ngx::resolver::Resolver;
use ngx::ssl::{Options, TlsError};
use ngx::upstream::Balancer;

use super::error::{Failure, system};
use super::http2;
use super::pool::{Pool, Route, Using};
use super::sleep::Limit;
use super::target::{Target, default_port};
use super::wire::Wire;
use crate::conf::{DispatchConf, Tls};

/// The protocols that a call over TLS offers, as ALPN has them (RFC 7301), and the one of gRPC.
const EITHER: &[u8] = b"\x02h2\x08http/1.1";
const HTTP2: &[u8] = b"\x02h2";

/// Where a call goes.
pub(super) enum Destination {
    /// A block `upstream {}`: its peers in the order of its balancer.
    Block {
        name: String,
        balancer: Balancer,
    },
    Server(Target),
}

/// A call's way to its connection.
pub(super) struct Plan {
    pub destination: Destination,
    pub dialer: Dialer,
}

/// All that a connection to a peer is made from.
pub(super) struct Dialer {
    /// The name that the certificate is for; `None` without TLS.
    pub tls: Option<Box<str>>,
    pub tls_conf: Tls,
    /// HTTP/2 and nothing else, without TLS too.
    pub http2: bool,
    /// A graceful shutdown waits for the call: a client does, too.
    pub holds_shutdown: bool,
    pub conf: DispatchConf,
    pub resolver: Option<(Resolver, Duration)>,
    pub pool: Rc<Pool>,
}

/// A connection that is used for a call.
pub(super) struct Link {
    pub transport: Transport,
    pub route: Route,
    /// The peer's name in log lines.
    pub peer: String,
    /// It has served another call before.
    pub reused: bool,
}

pub(super) enum Transport {
    Http1(Wire),
    Http2(Using),
}

impl Plan {
    /// A connection to the first peer that can be reached.
    pub(super) async fn connect(&mut self) -> Result<Link, Failure> {
        let dialer = &self.dialer;
        match &mut self.destination {
            Destination::Server(target) => dialer.connect_to_server(target).await,
            Destination::Block { name, balancer } => dialer.connect_to_block(name, balancer).await,
        }
    }

    /// A call on the connection was answered; `wire` is what may be used again of it.
    pub(super) fn served(&mut self, route: Route, wire: Option<Wire>) {
        let left = match &mut self.destination {
            Destination::Block { balancer, .. } => {
                // What was made over TLS is kept here, with the name that it was made for.
                let (ours, theirs) = if route.tls.is_some() { (wire, None) } else { (None, wire) };
                let theirs = balancer.done(theirs.map(Wire::into_connection));
                ours.or(theirs.map(Wire::new))
            }
            Destination::Server(_) => wire,
        };
        if let Some(wire) = left {
            let Dialer { pool, conf, .. } = &self.dialer;
            pool.put(route, wire, conf.keepalive, conf.keepalive_time);
        }
    }

    /// A call on the connection failed.
    pub(super) fn broke(&mut self) {
        if let Destination::Block { balancer, .. } = &mut self.destination {
            balancer.failed();
        }
    }
}

impl Dialer {
    async fn connect_to_block(&self, name: &str, balancer: &mut Balancer) -> Result<Link, Failure> {
        let mut last = None;
        while let Ok(picked) = balancer.next() {
            let route = Route { address: picked.address, tls: self.tls.clone() };
            // One that nginx has kept is shared with `proxy_pass`: what was checked of a certificate is not known.
            let fits = |kept: &Connection| self.tls.is_none() && !self.http2 && !kept.is_tls() && kept.is_good();
            if let Some(kept) = picked.kept.filter(fits) {
                kept.set_busy();
                let transport = Transport::Http1(self.prepared(Wire::new(kept)));
                return Ok(Link { transport, route, peer: picked.name, reused: true });
            }
            match self.link(route, picked.name).await {
                Ok(link) => return Ok(link),
                Err(failure) if !balancer.failed() => return Err(failure),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| Failure::NoPeer(name.to_owned())))
    }

    async fn connect_to_server(&self, target: &Target) -> Result<Link, Failure> {
        let mut last = None;
        for (address, peer) in self.addresses(target).await? {
            match self.link(Route { address, tls: self.tls.clone() }, peer).await {
                Ok(link) => return Ok(link),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| Failure::Resolver("no address".to_owned())))
    }

    /// The addresses of a server, with their names in log lines.
    async fn addresses(&self, target: &Target) -> Result<VecDeque<(Address, String)>, Failure> {
        let port = target.port().unwrap_or_else(|| default_port(self.tls.is_some()));
        let name = match target {
            Target::Unix(path) => {
                let address = Address::unix(path).ok_or_else(|| Failure::Broken("invalid host".to_owned()))?;
                let peer = address.to_string();
                return Ok([(address, peer)].into());
            }
            Target::Ip { address, .. } => {
                let address = Address::ip(*address, port);
                let peer = address.to_string();
                return Ok([(address, peer)].into());
            }
            Target::Host { name, .. } => name,
        };
        let peer = format!("{name}:{port}");
        let known = self.conf.hosts.addresses(name.as_bytes());
        let known: VecDeque<_> = known.map(|(ip, own)| (Address::ip(ip, own.unwrap_or(port)), peer.clone())).collect();
        if !known.is_empty() {
            return Ok(known);
        }
        let found = self.resolve(name).await?;
        Ok(found.into_iter().map(|ip| (Address::ip(ip, port), peer.clone())).collect())
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        let Some((resolver, timeout)) = self.resolver else { return Err(Failure::NoResolver(name.to_owned())) };
        resolver.resolve(name.as_bytes(), timeout).await.map_err(|error| Failure::Resolver(error.to_string()))
    }

    /// A connection to one peer: one that waits for a call, or a new one.
    async fn link(&self, route: Route, peer: String) -> Result<Link, Failure> {
        let shared = |using, route, peer| Ok(Link { transport: Transport::Http2(using), route, peer, reused: true });
        if self.http2 {
            return match self.pool.share_or_dial(&route).await {
                Ok(using) => shared(using, route, peer),
                Err(turn) => {
                    let link = self.dial(route, peer).await;
                    drop(turn);
                    link
                }
            };
        }
        if let Some(wire) = self.pool.take(&route) {
            return Ok(Link { transport: Transport::Http1(self.prepared(wire)), route, peer, reused: true });
        }
        match self.pool.share(&route).filter(|_| route.tls.is_some()) {
            Some(using) => shared(using, route, peer),
            None => self.dial(route, peer).await,
        }
    }

    /// A new connection to one peer.
    pub(super) async fn dial(&self, route: Route, peer: String) -> Result<Link, Failure> {
        let timeout = self.conf.connect_timeout;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => Failure::ConnectTimeout(peer.clone()),
            _ => Failure::Broken(system(&error)),
        };
        let connection = Connection::connect(&route.address).map_err(failed)?;
        connection.hold_shutdown(self.holds_shutdown);
        std::future::poll_fn(|cx| connection.poll_connected(cx, timeout)).await.map_err(failed)?;
        let http2 = match &route.tls {
            None => self.http2,
            Some(name) => {
                self.handshake(&connection, name, &peer).await?;
                match connection.alpn() == Some(b"h2") {
                    false if self.http2 => return Err(Failure::NoHttp2(peer)),
                    http2 => http2,
                }
            }
        };
        let transport = if http2 {
            // Silence between calls, and within streams, is no failure.
            let sender = http2::begin(Wire::new(connection), &self.conf, &peer).await?;
            Transport::Http2(self.pool.offer(route.clone(), sender, self.conf.keepalive_time))
        } else {
            Transport::Http1(self.prepared(Wire::new(connection)))
        };
        Ok(Link { transport, route, peer, reused: false })
    }

    /// A connection as this call wants it.
    fn prepared(&self, mut wire: Wire) -> Wire {
        wire.connection().hold_shutdown(self.holds_shutdown);
        wire.begin(self.conf.read_timeout, self.conf.send_timeout);
        wire
    }

    /// A time limit of something that is done for the call.
    pub(super) fn limit(&self, time: Option<Duration>) -> Limit {
        Limit { time, holds_shutdown: self.holds_shutdown }
    }

    async fn handshake(&self, connection: &Connection, name: &str, peer: &str) -> Result<(), Failure> {
        let Some(client) = self.tls_conf.client else {
            return Err(Failure::Tls("this nginx has no TLS".to_owned()));
        };
        let options = Options {
            name: Some(name.as_bytes()),
            verify_cert: self.tls_conf.verify_cert,
            verify_host: self.tls_conf.verify_host,
            alpn: if self.http2 { HTTP2 } else { EITHER },
        };
        let failed = |error| match error {
            TlsError::TimedOut => Failure::ConnectTimeout(peer.to_owned()),
            error => Failure::Tls(error.to_string()),
        };
        connection.start_tls(client, &options).map_err(failed)?;
        std::future::poll_fn(|cx| connection.poll_handshake(cx, self.conf.connect_timeout)).await.map_err(failed)
    }
}
