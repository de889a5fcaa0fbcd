//! Services that filters call: HTTP/1 servers that keep connections alive and misbehave on demand.
//!
//! An [`Upstream`](crate::Upstream) is what nginx passes requests to, one on a connection. A [`Peer`] is what a call
//! reaches: it counts connections, and its [`Answer`] may be wrong, late, endless or none.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http1::{Kind, Reader};
use crate::upstream::Seen;
use crate::wait::{eventually, patience};

/// A server for calls. It answers 200 with an empty body and keeps the connection, unless it is told otherwise.
#[derive(Debug)]
pub struct Peer {
    place: Place,
    /// To wake the thread that accepts.
    listener: OwnedFd,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

type Decide = dyn Fn(&Asked) -> Answer + Send + Sync;

struct Shared {
    decide: Mutex<Arc<Decide>>,
    state: Mutex<State>,
    stop: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<Asked>,
    /// Connections since the beginning, and the most at a time.
    accepted: usize,
    peak: usize,
    /// Those that are open, to hang up on them.
    open: HashMap<usize, Socket>,
}

impl Default for Peer {
    fn default() -> Self {
        Self::new()
    }
}

impl Peer {
    /// On 127.0.0.1.
    ///
    /// # Panics
    /// When there is no port left.
    pub fn new() -> Self {
        Self::on("127.0.0.1:0")
    }

    /// On an address; port 0 is one that is free.
    ///
    /// # Panics
    /// When it cannot be bound.
    pub fn on(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("bind a peer to {address}: {error}"));
        let address = listener.local_addr().expect("the address of a bound listener");
        let other = listener.try_clone().expect("a second descriptor of a socket").into();
        Self::start(Place::Tcp(address), other, move || listener.accept().map(|(stream, _)| Socket::Tcp(stream)))
    }

    /// On a socket of the file system.
    ///
    /// # Panics
    /// When it cannot be bound.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        let listener =
            UnixListener::bind(&path).unwrap_or_else(|error| panic!("bind a peer to {}: {error}", path.display()));
        // Workers may run as another user.
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&path, all).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let other = listener.try_clone().expect("a second descriptor of a socket").into();
        Self::start(Place::Unix(path), other, move || listener.accept().map(|(stream, _)| Socket::Unix(stream)))
    }

    fn start(place: Place, listener: OwnedFd, accept: impl Fn() -> io::Result<Socket> + Send + 'static) -> Self {
        let decide: Arc<Decide> = Arc::new(|_: &Asked| Answer::ok(""));
        let shared = Shared { decide: Mutex::new(decide), state: Mutex::default(), stop: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let thread = Some(std::thread::spawn({
            let shared = shared.clone();
            move || serve(accept, &shared)
        }));
        Self { place, listener, shared, thread }
    }

    /// Answers every request so.
    #[must_use]
    pub fn always(self, answer: Answer) -> Self {
        self.answers(move |_| answer.clone())
    }

    /// Answers 200 with this body.
    #[must_use]
    pub fn ok(self, body: impl AsRef<[u8]>) -> Self {
        self.always(Answer::ok(body))
    }

    /// Answers with what `decide` makes of the request.
    #[must_use]
    pub fn answers(self, decide: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        self.now_answers(decide);
        self
    }

    /// The same, for a peer at work.
    pub fn now_answers(&self, decide: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
        *lock(&self.shared.decide) = Arc::new(decide);
    }

    /// Where it listens: `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Its port.
    ///
    /// # Panics
    /// When it has none.
    pub fn port(&self) -> u16 {
        match &self.place {
            Place::Tcp(address) => address.port(),
            Place::Unix(path) => panic!("{} has no port", path.display()),
        }
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Waits for the first request with this target, and gives it.
    #[track_caller]
    pub fn saw(&self, target: &str) -> Asked {
        let found = || self.state().asked.iter().find(|asked| asked.target() == target).cloned();
        eventually(&format!("a call of {target}"), found)
    }

    /// Asserts how often it was asked.
    #[track_caller]
    pub fn saw_times(&self, count: usize) -> &Self {
        let state = self.state();
        let all: Vec<_> = state.asked.iter().map(|asked| asked.text.as_str()).collect();
        assert_eq!(all.len(), count, "requests that the peer saw:\n{}", all.join("\n"));
        self
    }

    /// How many connections it accepted since the beginning.
    pub fn accepted(&self) -> usize {
        self.state().accepted
    }

    /// The most connections that were open at a time.
    pub fn peak(&self) -> usize {
        self.state().peak
    }

    /// How many connections are open now.
    pub fn open(&self) -> usize {
        self.state().open.len()
    }

    /// Waits until so many connections are open.
    #[track_caller]
    pub fn wait_open(&self, count: usize) -> &Self {
        eventually(&format!("{count} open connections at the peer"), || (self.open() == count).then_some(()));
        self
    }

    /// Closes all connections that are open, in order, and goes on to listen.
    pub fn hang_up(&self) {
        self.state().open.values().for_each(Socket::close);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.hang_up();
        // SAFETY: the descriptor is that of a listener, which accepts no more then.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RD) };
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A request as the peer saw it.
#[derive(Clone, Debug)]
pub struct Asked {
    seen: Seen,
    /// Its trailer fields, in order.
    pub trailers: Vec<(String, String)>,
    /// All of it as it came, framing and all.
    pub text: String,
    /// Why it ended before its end.
    pub cut: Option<String>,
    /// Which connection it came on, from 1 on, and which request of that connection it is, from 1 on.
    pub connection: usize,
    pub nth: usize,
}

impl Deref for Asked {
    type Target = Seen;

    fn deref(&self) -> &Seen {
        &self.seen
    }
}

/// What a peer does when it was asked, one thing after the other.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Answer(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Drip(Vec<u8>),
    Repeat(Vec<u8>),
    Wait,
    Close,
    Reset,
}

impl Answer {
    /// 200 with a body and its length.
    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        Self::with("200 OK", &[], body)
    }

    /// A status with its reason, header fields, and a body with its length.
    pub fn with(status: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let fields: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        Self::raw([head.as_bytes(), body].concat())
    }

    /// 200 with a body in chunks, and trailers.
    pub fn chunks<B: AsRef<[u8]>>(chunks: impl IntoIterator<Item = B>, trailers: &[(&str, &str)]) -> Self {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in chunks {
            let chunk = chunk.as_ref();
            bytes.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        }
        let fields: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        bytes.extend(format!("0\r\n{fields}\r\n").as_bytes());
        Self::raw(bytes)
    }

    /// Exactly these bytes; the connection stays open.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self(vec![Step::Send(bytes.as_ref().to_owned())])
    }

    /// Nothing, until the other side closes.
    pub fn silence() -> Self {
        Self(vec![Step::Wait])
    }

    /// No answer: the connection is closed.
    pub fn close() -> Self {
        Self(vec![Step::Close])
    }

    /// No answer: the connection is reset.
    pub fn reset() -> Self {
        Self(vec![Step::Reset])
    }

    /// These bytes, one by one.
    pub fn drip(bytes: impl AsRef<[u8]>) -> Self {
        Self(vec![Step::Drip(bytes.as_ref().to_owned())])
    }

    /// Then the connection is closed.
    pub fn then_close(self) -> Self {
        self.then(Step::Close)
    }

    /// Then the connection is reset.
    pub fn then_reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Then nothing more, until the other side closes.
    pub fn then_wait(self) -> Self {
        self.then(Step::Wait)
    }

    /// Then these bytes, one by one.
    pub fn then_drip(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Drip(bytes.as_ref().to_owned()))
    }

    /// Then these bytes, over and over, until the other side has enough.
    pub fn then_endless(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Repeat(bytes.as_ref().to_owned()))
    }

    fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Whether the connection goes on.
    fn play(self, reader: &mut Reader<Socket>) -> io::Result<bool> {
        for step in self.0 {
            match step {
                Step::Send(bytes) => reader.stream.write_all(&bytes)?,
                Step::Drip(bytes) => {
                    for byte in bytes {
                        reader.stream.write_all(&[byte])?;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                Step::Repeat(bytes) => loop {
                    reader.stream.write_all(&bytes)?;
                },
                Step::Wait => {
                    let _ = reader.rest();
                    return Ok(false);
                }
                Step::Close => return Ok(false),
                Step::Reset => {
                    reader.stream.reset();
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Holds up answers until a test lets them go.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// One that is shut.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until it is open, in a peer's thread.
    pub fn pass(&self) {
        let (open, opened) = &*self.0;
        drop(opened.wait_timeout_while(lock(open), patience(), |open| !*open));
    }

    /// Opens it for good.
    pub fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }
}

fn serve(accept: impl Fn() -> io::Result<Socket>, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    loop {
        let accepted = accept();
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        let Ok(socket) = accepted else { continue };
        let Ok(other) = socket.try_clone() else { continue };
        let number = {
            let mut state = lock(&shared.state);
            state.accepted += 1;
            let number = state.accepted;
            state.open.insert(number, other);
            state.peak = state.peak.max(state.open.len());
            number
        };
        let shared = shared.clone();
        threads.push(std::thread::spawn(move || {
            let _ = speak(socket, number, &shared);
            // The socket is closed before the count says so.
            lock(&shared.state).open.remove(&number);
        }));
    }
    // One that was accepted while all were hung up on.
    lock(&shared.state).open.values().for_each(Socket::close);
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

/// One request after the other, until either side has enough.
fn speak(socket: Socket, connection: usize, shared: &Shared) -> io::Result<()> {
    socket.prepare()?;
    let mut reader = Reader::new(socket);
    for nth in 1.. {
        let Some(message) = reader.message(Kind::Request) else { break };
        let (trailers, cut) = (message.trailers.clone(), message.cut.clone());
        let text = String::from_utf8_lossy(&message.raw).into_owned();
        let asked = Asked { seen: Seen::new(message), trailers, text, cut, connection, nth };
        let decide = lock(&shared.decide).clone();
        lock(&shared.state).asked.push(asked.clone());
        if asked.cut.is_some() || !decide(&asked).play(&mut reader)? {
            break;
        }
    }
    Ok(())
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }

    fn prepare(&self) -> io::Result<()> {
        // Idle connections are waited on for longer than any test waits for anything.
        let long = Some(patience() * 4);
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(long)
            }
            Self::Unix(stream) => stream.set_read_timeout(long),
        }
    }

    fn close(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    /// The next close sends a reset.
    fn reset(&self) {
        if let Self::Tcp(stream) = self {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            let size = size_of::<libc::linger>() as libc::socklen_t;
            let fd = stream.as_raw_fd();
            // SAFETY: the descriptor is open, and the option's value is a linger of its size.
            unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size) };
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
