//! A service for many connections at a time, which can be killed and comes back.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use smol::channel::{Receiver, Sender, unbounded};
use smol::future::or;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;

/// Answers each request with its path, on connections that stay open.
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
}

#[derive(Default)]
struct Shared {
    /// The paths whose answers were written to their ends.
    answered: Mutex<HashSet<String>>,
    accepted: AtomicUsize,
    open: AtomicUsize,
    /// Requests that come are not answered any more.
    dying: AtomicBool,
}

impl Service {
    pub fn new() -> Self {
        let mut service = Self { address: ([127, 0, 0, 1], 0).into(), shared: Arc::default(), stop: None };
        service.start();
        service
    }

    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// The paths that it answered.
    pub fn answered(&self) -> HashSet<String> {
        self.shared.answered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections since the beginning.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Stops to listen and closes all connections, as the kernel does for a process that was killed.
    pub fn kill(&mut self) {
        self.shared.dying.store(true, Ordering::SeqCst);
        self.stop = None;
        wasmx_t::eventually("the end of the service", || (self.open() == 0).then_some(()));
    }

    /// Begins to listen again, where it did.
    ///
    /// # Panics
    /// When somebody else has its port.
    pub fn start(&mut self) {
        let listener = wasmx_t::eventually("the service's port", || TcpListener::bind(self.address).ok());
        // The backlog that std asks for is 128: fewer than come at a time.
        // SAFETY: the descriptor is that of a listener, whose backlog may be changed.
        unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 4096) };
        self.address = listener.local_addr().expect("the address of a bound listener");
        self.shared.dying.store(false, Ordering::SeqCst);
        let (stop, stopped) = unbounded();
        self.stop = Some(stop);
        let shared = self.shared.clone();
        std::thread::spawn(move || smol::block_on(serve(listener, shared, stopped)));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop = None;
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, stopped: Receiver<()>) {
    let Ok(listener) = smol::Async::new(listener) else { return };
    let executor = smol::LocalExecutor::new();
    let accept = async {
        while let Ok((stream, _)) = listener.accept().await {
            let (shared, stopped) = (shared.clone(), stopped.clone());
            executor
                .spawn(async move {
                    shared.accepted.fetch_add(1, Ordering::SeqCst);
                    shared.open.fetch_add(1, Ordering::SeqCst);
                    let mut stream = TcpStream::from(stream);
                    or(answer(&mut stream, &shared), until(&stopped)).await;
                    drop(stream);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                })
                .detach();
        }
    };
    executor.run(or(accept, until(&stopped))).await;
    drop(listener);
    // What is open sees the stop, too.
    executor
        .run(async {
            while !executor.is_empty() {
                smol::future::yield_now().await;
            }
        })
        .await;
}

/// Until nobody is there any more who could send.
async fn until(stopped: &Receiver<()>) {
    let _ = stopped.recv().await;
}

async fn answer(stream: &mut TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let (mut ahead, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        while let Some(end) = ahead.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = ahead.drain(..end + 4).collect();
            let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
            if shared.dying.load(Ordering::SeqCst) {
                return;
            }
            let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
            // Known before it is sent: one that is small goes as a whole.
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
            shared.answered.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => ahead.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}
