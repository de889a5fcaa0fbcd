//! Connections, names and peers: each location of `tests/net.rs` does one thing with the address or name in its query,
//! and answers with what came of it in `x-outcome`.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use ngx::{
    Posted, Status,
    http::{PhaseHandler, Request},
    net::{Address, Connection},
    resolver::Resolver,
    ssl::{Client, Options},
    upstream::{Balancer, NoPeer, Upstream},
};

use super::Core;

const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    static TASKS: RefCell<HashMap<u64, Rc<Task>>> = RefCell::default();
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Idle connections that nobody waits for.
    static PARKED: RefCell<Vec<Connection>> = const { RefCell::new(Vec::new()) };
}

/// Before the worker looks for sockets that were left open.
pub fn drop_all() {
    PARKED.take();
    TASKS.take();
}

struct Task {
    future: RefCell<Pin<Box<dyn Future<Output = ()>>>>,
    posted: Posted,
}

struct Id(u64);

impl Wake for Id {
    fn wake(self: Arc<Self>) {
        TASKS.with_borrow(|tasks| tasks.get(&self.0).into_iter().for_each(|task| task.posted.post()));
    }
}

fn spawn(future: impl Future<Output = ()> + 'static) {
    let id = COUNT.get();
    COUNT.set(id + 1);
    let posted = Posted::new(move || run(id));
    posted.post();
    let task = Rc::new(Task { future: RefCell::new(Box::pin(future)), posted });
    TASKS.with_borrow_mut(|tasks| tasks.insert(id, task));
}

fn run(id: u64) {
    let Some(task) = TASKS.with_borrow(|tasks| tasks.get(&id).cloned()) else { return };
    let waker = Waker::from(Arc::new(Id(id)));
    let done = task.future.borrow_mut().as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    if done {
        TASKS.with_borrow_mut(|tasks| tasks.remove(&id));
    }
}

pub struct Net;

impl PhaseHandler for Net {
    fn handle(r: Request<'_>) -> Status {
        let path = String::from_utf8_lossy(r.uri()).into_owned();
        let query = String::from_utf8_lossy(r.args()).into_owned();
        let balancer = Upstream::find(query.as_bytes()).and_then(|block| Balancer::new(block, Some(r)));
        let conf = r.core_conf::<Core>();
        let asked = Asked {
            query,
            balancer: balancer.or_else(|| Balancer::new(Upstream::find(b"plain")?, None)),
            resolver: r.resolver().map(|(resolver, _)| resolver).filter(|_| path != "/resolve/own"),
            own_resolver: conf.and_then(|conf| conf.resolver),
            client: conf.and_then(|conf| conf.client),
        };
        let held = r.reference();
        spawn(async move {
            let outcome = asked.answer(&path).await.unwrap_or_else(|error| format!("{:?}", error.kind()));
            if let Some(r) = held.get() {
                let _ = r.response_headers().set(b"x-outcome", outcome.as_bytes());
            }
            held.finalize(Status::http(204));
        });
        Status::DONE
    }
}

struct Asked {
    query: String,
    balancer: Option<Balancer>,
    resolver: Option<Resolver>,
    own_resolver: Option<Resolver>,
    client: Option<Client>,
}

impl Asked {
    async fn answer(mut self, path: &str) -> io::Result<String> {
        match path {
            "/echo" => {
                let connection = connect(&self.address()?).await?;
                talk(&connection, b"hello\n").await
            }
            "/end" => {
                let connection = connect(&self.address()?).await?;
                poll_fn(|cx| connection.poll_shutdown(cx)).await?;
                Ok(format!("{:?}", read(&connection, PATIENCE).await?))
            }
            "/slow" => {
                let connection = connect(&self.address()?).await?;
                read(&connection, Duration::from_millis(30)).await
            }
            "/idle" => {
                let connection = connect(&self.address()?).await?;
                let said = talk(&connection, b"bye\n").await?;
                poll_fn(|cx| {
                    connection.set_idle(cx.waker());
                    if connection.is_good() { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                Ok(format!("{said}, then closed"))
            }
            "/park" => {
                let connection = connect(&self.address()?).await?;
                let said = talk(&connection, b"hello\n").await?;
                connection.set_idle(Waker::noop());
                let good = connection.is_good();
                PARKED.with_borrow_mut(|parked| parked.push(connection));
                Ok(format!("{said}, good {good}"))
            }
            "/peers" => self.peers().await,
            "/keep" => self.keep().await,
            "/tls" | "/tls/unchecked" => self.tls(path == "/tls").await,
            _ => self.resolve().await,
        }
    }

    fn address(&self) -> io::Result<Address> {
        if let Some(path) = self.query.strip_prefix("unix:") {
            return Address::unix(path.as_bytes()).ok_or(io::ErrorKind::InvalidInput.into());
        }
        let address: SocketAddr = self.query.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Address::ip(address.ip(), address.port()))
    }

    async fn resolve(self) -> io::Result<String> {
        let Some(resolver) = self.resolver.or(self.own_resolver) else { return Ok("no resolver".to_owned()) };
        // One that is dropped before it is answered.
        drop(resolver.resolve(b"dropped.test", PATIENCE));
        let wait = if self.query == "silent.test" { Duration::from_millis(30) } else { PATIENCE };
        Ok(match resolver.resolve(self.query.as_bytes(), wait).await {
            Ok(addresses) => format!("{addresses:?}"),
            Err(error) => error.to_string(),
        })
    }

    /// Tries peers until one answers.
    async fn peers(&mut self) -> io::Result<String> {
        let mut said = Vec::new();
        let Some(balancer) = &mut self.balancer else { return Ok("no balancer".to_owned()) };
        loop {
            let picked = match balancer.next() {
                Ok(picked) => picked,
                Err(NoPeer::Busy) => break said.push("busy".to_owned()),
                Err(NoPeer::Failed) => break said.push("failed".to_owned()),
            };
            match connect(&picked.address).await {
                Ok(connection) => {
                    said.push(format!("{} up", picked.name));
                    assert_eq!(picked.name, picked.address.to_string());
                    drop(balancer.done(Some(connection)));
                    break;
                }
                Err(_) => said.push(format!("{} down, more {}", picked.name, balancer.failed())),
            }
        }
        Ok(said.join("; "))
    }

    /// Talks to a peer on a connection that is kept, or is to be.
    async fn keep(&mut self) -> io::Result<String> {
        let Some(balancer) = &mut self.balancer else { return Ok("no balancer".to_owned()) };
        let picked = balancer.next().map_err(|_| io::ErrorKind::Other)?;
        let kept = picked.kept.filter(Connection::is_good);
        let was_kept = kept.is_some();
        let connection = match kept {
            Some(connection) => connection,
            None => connect(&picked.address).await?,
        };
        let said = talk(&connection, b"hello\n").await?;
        let back = balancer.done(Some(connection)).is_some();
        Ok(format!("{said}, was kept {was_kept}, came back {back}"))
    }

    async fn tls(self, check: bool) -> io::Result<String> {
        let Some(client) = self.client else { return Ok("no client".to_owned()) };
        let (path, name) = self.query.split_once('|').unwrap_or((&self.query, ""));
        let address = Address::unix(path.as_bytes()).ok_or(io::ErrorKind::InvalidInput)?;
        let connection = connect(&address).await?;
        let name = Some(name.as_bytes());
        let options = Options { name, verify_cert: check, verify_host: check, alpn: b"\x08http/1.1" };
        let shaken = match connection.start_tls(client, &options) {
            Ok(()) => poll_fn(|cx| connection.poll_handshake(cx, PATIENCE)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = shaken {
            return Ok(error.to_string());
        }
        let alpn = connection.alpn().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
        let said = talk(&connection, b"GET /tls HTTP/1.0\r\n\r\n").await?;
        Ok(format!("{} over {alpn:?}", said.split("\\r").next().unwrap_or_default()))
    }
}

async fn connect(address: &Address) -> io::Result<Connection> {
    let connection = Connection::connect(address)?;
    poll_fn(|cx| connection.poll_connected(cx, PATIENCE)).await?;
    Ok(connection)
}

/// Says something and tells what came back first.
async fn talk(connection: &Connection, mut text: &[u8]) -> io::Result<String> {
    while !text.is_empty() {
        let n = poll_fn(|cx| connection.poll_write(cx, text, Some(PATIENCE))).await?;
        text = &text[n..];
    }
    read(connection, PATIENCE).await
}

async fn read(connection: &Connection, wait: Duration) -> io::Result<String> {
    let mut buf = [0u8; 512];
    let n = poll_fn(|cx| connection.poll_read(cx, &mut buf, Some(wait))).await?;
    Ok(String::from_utf8_lossy(&buf[..n]).trim_end().escape_default().to_string())
}
