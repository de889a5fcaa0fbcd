//! Upstream servers: threads of the test that answer as they are told and remember what they were asked.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::http1::{Kind, Message, Reader};
use crate::wait::{eventually, patience};

/// A server for `proxy_pass`. It answers 200 with an empty body unless it is told otherwise.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

type Answer = Box<dyn Fn(&Seen) -> Reply + Send>;

pub(crate) struct Shared {
    seen: Mutex<Vec<Seen>>,
    answer: Mutex<Answer>,
    stop: AtomicBool,
}

impl Shared {
    /// Takes note of a request; what is to be answered.
    pub(crate) fn answer(&self, seen: Seen) -> Reply {
        let reply = lock(&self.answer)(&seen);
        lock(&self.seen).push(seen);
        reply
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self::new()
    }
}

impl Upstream {
    /// # Panics
    /// When there is no port left.
    pub fn new() -> Self {
        Self::speaking(speak)
    }

    /// One that speaks HTTP/2 in the clear, for `grpc_pass`.
    ///
    /// # Panics
    /// When there is no port left.
    pub fn http2() -> Self {
        Self::speaking(crate::http2::speak)
    }

    fn speaking(speak: fn(TcpStream, &Arc<Shared>)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind an upstream to 127.0.0.1:0");
        let address = listener.local_addr().expect("the address of a bound listener");
        let answer: Answer = Box::new(|_| Reply::ok(""));
        let shared = Shared { seen: Mutex::default(), answer: Mutex::new(answer), stop: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let thread = Some(std::thread::spawn({
            let shared = shared.clone();
            move || serve(&listener, &shared, speak)
        }));
        Self { address, shared, thread }
    }

    /// Answers 200 with this body.
    #[must_use]
    pub fn ok(self, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_owned();
        self.respond(move |_| Reply::ok(&body))
    }

    /// Answers with what `answer` makes of the request.
    #[must_use]
    pub fn respond(self, answer: impl Fn(&Seen) -> Reply + Send + 'static) -> Self {
        *lock(&self.shared.answer) = Box::new(answer);
        self
    }

    /// Answers with exactly these bytes, then closes.
    #[must_use]
    pub fn raw(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_owned();
        self.respond(move |_| Reply::raw(&bytes))
    }

    /// Answers the next request with 200 and a body that the test sends piece by piece through the [`Tap`].
    #[must_use]
    pub fn tap(&self) -> Tap {
        let (pieces, receiver) = channel();
        let receiver = Mutex::new(Some(receiver));
        *lock(&self.shared.answer) = Box::new(move |_| match lock(&receiver).take() {
            Some(pieces) => Reply { form: Form::Pieces(pieces), ..Reply::ok("") },
            None => Reply::ok("the tap is closed").status(500),
        });
        Tap(pieces)
    }

    /// Answers the next request with exactly what the test sends through the [`Tap`], header and all. Over HTTP/2 it is
    /// a body that breaks off when the [`Tap`] is dropped.
    #[must_use]
    pub fn raw_tap(&self) -> Tap {
        let (pieces, receiver) = channel();
        let receiver = Mutex::new(Some(receiver));
        *lock(&self.shared.answer) = Box::new(move |_| match lock(&receiver).take() {
            Some(pieces) => Reply { form: Form::RawPieces(pieces), ..Reply::ok("") },
            None => Reply::ok("the tap is closed").status(500),
        });
        Tap(pieces)
    }

    /// `proxy_pass` to it.
    pub fn pass(&self) -> String {
        format!("proxy_pass http://{};", self.address)
    }

    /// `grpc_pass` to it.
    pub fn grpc_pass(&self) -> String {
        format!("grpc_pass grpc://{};", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a request and looks at the last one.
    #[track_caller]
    pub fn saw(&self, look: impl FnOnce(&Seen)) -> &Self {
        let last = eventually("a request to the upstream", || lock(&self.shared.seen).last().cloned());
        look(&last);
        self
    }

    /// Asserts that it was asked nothing.
    #[track_caller]
    pub fn saw_nothing(&self) -> &Self {
        self.saw_times(0)
    }

    /// Asserts how often it was asked.
    #[track_caller]
    pub fn saw_times(&self, count: usize) -> &Self {
        let seen = lock(&self.shared.seen);
        let all: Vec<_> = seen.iter().map(|seen| String::from_utf8_lossy(&seen.0.raw)).collect();
        assert_eq!(seen.len(), count, "requests that the upstream saw:\n{}", all.join("\n"));
        self
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen(Message);

impl Seen {
    pub(crate) fn new(message: Message) -> Self {
        Self(message)
    }

    pub fn method(&self) -> &str {
        self.0.start.split(' ').next().unwrap_or_default()
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        self.0.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The values of a header field, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        self.0.values(name)
    }

    /// All header fields, in order.
    pub fn all_headers(&self) -> &[(String, String)] {
        &self.0.headers
    }

    /// The names of all header fields, in order.
    pub fn names(&self) -> Vec<&str> {
        self.0.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.body).into_owned()
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.0.body
    }

    /// Asserts that a header field is there once, with this value.
    #[track_caller]
    pub fn header(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.values(name), [value], "header {name} in\n{}", String::from_utf8_lossy(&self.0.raw));
        self
    }

    /// Asserts that a header field is not there.
    #[track_caller]
    pub fn no_header(&self, name: &str) -> &Self {
        assert!(self.values(name).is_empty(), "header {name} in\n{}", String::from_utf8_lossy(&self.0.raw));
        self
    }

    /// Asserts the body.
    #[track_caller]
    pub fn body(&self, expected: impl AsRef<[u8]>) -> &Self {
        assert!(self.0.body == expected.as_ref(), "body of\n{}", String::from_utf8_lossy(&self.0.raw));
        self
    }
}

/// What an upstream answers.
#[derive(Debug)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) form: Form,
    pub(crate) trailers: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) enum Form {
    /// No body at all.
    Bare,
    Whole(Vec<u8>),
    Chunks(Vec<Vec<u8>>),
    Raw(Vec<u8>),
    Pieces(Receiver<Vec<u8>>),
    RawPieces(Receiver<Vec<u8>>),
}

impl Reply {
    /// 200 with a body and its length.
    pub fn ok(body: impl AsRef<[u8]>) -> Self {
        let form = Form::Whole(body.as_ref().to_owned());
        Self { status: 200, headers: Vec::new(), form, trailers: Vec::new() }
    }

    /// 200 with a body in chunks.
    pub fn chunks<B: AsRef<[u8]>>(chunks: impl IntoIterator<Item = B>) -> Self {
        let chunks = chunks.into_iter().map(|chunk| chunk.as_ref().to_owned()).collect();
        Self { form: Form::Chunks(chunks), ..Self::ok("") }
    }

    /// 200 with a header and nothing else; what an HTTP/2 upstream ends its stream with.
    pub fn bare() -> Self {
        Self { form: Form::Bare, ..Self::ok("") }
    }

    /// Exactly these bytes.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self { form: Form::Raw(bytes.as_ref().to_owned()), ..Self::ok("") }
    }

    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A field after the body: of HTTP/2, or after [`Reply::chunks`].
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn send(self, stream: &mut TcpStream, stop: &AtomicBool) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Answer\r\nConnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.form {
            Form::Bare => stream.write_all(format!("{head}Content-Length: 0\r\n\r\n").as_bytes()),
            Form::Whole(body) => {
                head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
                stream.write_all(&[head.as_bytes(), &body].concat())
            }
            Form::Chunks(chunks) => {
                head.push_str("Transfer-Encoding: chunked\r\n\r\n");
                stream.write_all(head.as_bytes())?;
                for chunk in chunks {
                    stream.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat())?;
                }
                let mut end = "0\r\n".to_owned();
                for (name, value) in &self.trailers {
                    end.push_str(&format!("{name}: {value}\r\n"));
                }
                stream.write_all(format!("{end}\r\n").as_bytes())
            }
            Form::Raw(bytes) => stream.write_all(&bytes),
            Form::Pieces(pieces) => {
                stream.write_all(format!("{head}\r\n").as_bytes())?;
                send_pieces(&pieces, stream, stop)
            }
            Form::RawPieces(pieces) => send_pieces(&pieces, stream, stop),
        }
    }
}

fn send_pieces(pieces: &Receiver<Vec<u8>>, stream: &mut TcpStream, stop: &AtomicBool) -> std::io::Result<()> {
    while let Ok(piece) = pieces.recv() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        stream.write_all(&piece)?;
    }
    Ok(())
}

/// The body of a response, given piece by piece. It ends, as the connection does, when this is dropped.
#[derive(Debug)]
pub struct Tap(Sender<Vec<u8>>);

impl Tap {
    /// Sends a piece at once.
    pub fn send(&self, piece: impl AsRef<[u8]>) -> &Self {
        let _ = self.0.send(piece.as_ref().to_owned());
        self
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>, speak: fn(TcpStream, &Arc<Shared>)) {
    loop {
        let accepted = listener.accept();
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        if let Ok((stream, _)) = accepted {
            let shared = shared.clone();
            std::thread::spawn(move || speak(stream, &shared));
        }
    }
}

/// One request and its answer; nginx opens a connection for each.
fn speak(mut stream: TcpStream, shared: &Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(patience()));
    let Ok(half) = stream.try_clone() else { return };
    let Some(message) = Reader::new(half).message(Kind::Request) else { return };
    let _ = shared.answer(Seen(message)).send(&mut stream, &shared.stop);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
