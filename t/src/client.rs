//! An HTTP/1.1 client that sends what it is told, byte for byte, and asserts on what came back.

use std::fmt::{self, Write as _};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use crate::http1::{Kind, Message, Reader};
use crate::wait::patience;

/// What was said on all connections to an nginx, for the report of a failed test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchanges(Arc<Mutex<Vec<String>>>);

impl Exchanges {
    pub fn note(&self, text: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// The last few of them.
    pub fn recent(&self) -> String {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all[all.len().saturating_sub(12)..].join("\n")
    }
}

/// A request that is being put together. It goes out on a connection of its own, with `Connection: close`.
#[must_use = "nothing happens before send()"]
#[derive(Debug)]
pub struct Request {
    to: SocketAddr,
    exchanges: Exchanges,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(to: SocketAddr, exchanges: Exchanges, method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { to, exchanges, method, target, headers: Vec::new(), body: None }
    }

    /// Adds a header field. `Host`, `Connection` and `Content-Length` are there unless they are given here.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The body, sent with its length.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_owned());
        self
    }

    /// The body in chunks.
    pub fn chunked<B: AsRef<[u8]>>(mut self, chunks: impl IntoIterator<Item = B>) -> Self {
        let mut body = Vec::new();
        for chunk in chunks {
            let chunk = chunk.as_ref();
            body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        self.body = Some(body);
        self.header("Transfer-Encoding", "chunked")
    }

    /// Sends it and reads the response to its end.
    ///
    /// # Panics
    /// When nginx cannot be reached.
    #[track_caller]
    pub fn send(self) -> Response {
        let bytes = self.bytes();
        let mut connection = Connection::open(self.to, self.exchanges.clone());
        connection.send(&bytes);
        connection.answer(if self.method == "HEAD" { Kind::Bodiless } else { Kind::Response })
    }

    /// Sends it and leaves the rest to the test.
    #[track_caller]
    pub fn begin(self) -> Connection {
        let bytes = self.bytes();
        let mut connection = Connection::open(self.to, self.exchanges);
        connection.send(&bytes);
        connection
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has = |name: &str| self.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_str("Host: localhost\r\n");
        }
        if !has("connection") {
            head.push_str("Connection: close\r\n");
        }
        if let Some(body) = &self.body
            && !has("content-length")
            && !has("transfer-encoding")
        {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

/// A GET in the midst of a load, which no report of a failure shows: whether the answer was 200.
pub fn ask(to: SocketAddr, target: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(to) else { return false };
    let _ = stream.set_read_timeout(Some(patience()));
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let done = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
    done.is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

/// A connection that a test speaks on by itself.
#[derive(Debug)]
pub struct Connection {
    reader: Reader<TcpStream>,
    exchanges: Exchanges,
    /// What was sent since the last response.
    sent: Vec<u8>,
    /// Nothing that is said is kept for a report.
    quiet: bool,
}

impl Connection {
    #[track_caller]
    pub(crate) fn open(to: SocketAddr, exchanges: Exchanges) -> Self {
        let stream = TcpStream::connect(to).unwrap_or_else(|error| panic!("connect to nginx at {to}: {error}"));
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(patience()));
        let _ = stream.set_write_timeout(Some(patience()));
        Self { reader: Reader::new(stream), exchanges, sent: Vec::new(), quiet: false }
    }

    /// A connection of which no report is kept: for those that say much.
    ///
    /// # Panics
    /// When nobody listens there.
    #[track_caller]
    pub fn quiet(to: SocketAddr) -> Self {
        Self { quiet: true, ..Self::open(to, Exchanges::default()) }
    }

    /// Sends bytes as they are. That nginx may have hung up is seen in what it answered.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        if !self.quiet {
            self.sent.extend_from_slice(bytes);
        }
        let _ = self.reader.stream.write_all(bytes);
        self
    }

    /// Sends `GET target` with `Host` and nothing else, so that the connection stays open.
    pub fn get(&mut self, target: &str) -> &mut Self {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// Reads a response to its end.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.answer(Kind::Response)
    }

    /// Reads a response to HEAD, which has no body whatever its header says.
    #[track_caller]
    pub fn head_response(&mut self) -> Response {
        self.answer(Kind::Bodiless)
    }

    /// Reads until `text` came, and gives all up to there.
    ///
    /// # Panics
    /// When the connection ends before.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let seen = self.reader.until(text);
        self.exchanges.note(format!("--> {}\n<-- {seen:?}", String::from_utf8_lossy(&self.sent)));
        seen.unwrap_or_else(|why| panic!("{text:?} did not come: {why}"))
    }

    /// Everything up to the end of the connection, and whether it ended in order (not with a reset or a timeout).
    pub fn rest(&mut self) -> (Vec<u8>, bool) {
        let (bytes, why) = self.reader.rest();
        self.exchanges.note(format!("--> {}\n<-- {bytes:?} {why}", String::from_utf8_lossy(&self.sent)));
        (bytes, why == crate::http1::END)
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        let _ = self.reader.stream.shutdown(Shutdown::Write);
    }

    /// Hangs up at once, with a reset.
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let size = size_of::<libc::linger>() as libc::socklen_t;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&self.reader.stream);
        // SAFETY: the descriptor is open, and the option's value is a linger of its size.
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size) };
    }

    #[track_caller]
    fn answer(&mut self, kind: Kind) -> Response {
        let mut message = self.reader.message(kind).unwrap_or_default();
        while message.start.starts_with("HTTP/1.1 100") {
            message = self.reader.message(kind).unwrap_or_default();
        }
        let response = Response { request: std::mem::take(&mut self.sent), message };
        if !self.quiet {
            self.exchanges.note(response.to_string());
        }
        response
    }
}

/// A response, with the request that it answers for the report of a failure.
#[derive(Clone, Debug)]
pub struct Response {
    request: Vec<u8>,
    message: Message,
}

impl Response {
    pub(crate) fn new(request: Vec<u8>, message: Message) -> Self {
        Self { request, message }
    }

    /// Asserts the status.
    #[track_caller]
    pub fn status(&self, expected: u16) -> &Self {
        assert_eq!(self.code(), Some(expected), "status\n{self}");
        self
    }

    /// Asserts the text after the status.
    #[track_caller]
    pub fn reason(&self, expected: &str) -> &Self {
        assert_eq!(self.message.start.splitn(3, ' ').nth(2), Some(expected), "reason\n{self}");
        self
    }

    /// Asserts that a header field is there once, with this value.
    #[track_caller]
    pub fn header(&self, name: &str, value: &str) -> &Self {
        self.headers(name, &[value])
    }

    /// Asserts all values of a header field, in order.
    #[track_caller]
    pub fn headers(&self, name: &str, values: &[&str]) -> &Self {
        assert_eq!(self.message.values(name), values, "header {name}\n{self}");
        self
    }

    /// Asserts that a header field is not there.
    #[track_caller]
    pub fn no_header(&self, name: &str) -> &Self {
        self.headers(name, &[])
    }

    /// Asserts all trailer fields, in order.
    #[track_caller]
    pub fn trailers_are(&self, expected: &[(&str, &str)]) -> &Self {
        let all: Vec<_> = self.trailers().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(all, expected, "trailers\n{self}");
        self
    }

    /// Asserts the body, and that it came whole.
    #[track_caller]
    pub fn body(&self, expected: impl AsRef<[u8]>) -> &Self {
        let expected = expected.as_ref();
        assert!(self.message.cut.is_none(), "the body is cut off\n{self}");
        let same = self.message.body == expected;
        assert!(same, "body: {:?} expected\n{self}", String::from_utf8_lossy(&expected[..expected.len().min(2000)]));
        self
    }

    /// Asserts that the body came whole and has `text` in it.
    #[track_caller]
    pub fn body_has(&self, text: &str) -> &Self {
        assert!(self.message.cut.is_none(), "the body is cut off\n{self}");
        assert!(self.text().contains(text), "body: {text:?} is not in it\n{self}");
        self
    }

    /// Asserts that the response began, and ended before its end.
    #[track_caller]
    pub fn cut_off(&self) -> &Self {
        assert!(self.code().is_some() && self.message.cut.is_some(), "the response should be cut off\n{self}");
        self
    }

    /// Asserts that the connection ended without a response.
    #[track_caller]
    pub fn nothing(&self) -> &Self {
        assert!(self.message.raw.is_empty(), "there should be no response\n{self}");
        self
    }

    /// The status; `None` when no response came.
    pub fn code(&self) -> Option<u16> {
        self.message.start.split(' ').nth(1)?.parse().ok()
    }

    /// The first value of a header field.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.message.values(name).first().copied()
    }

    /// The header fields, in order.
    pub fn all_headers(&self) -> &[(String, String)] {
        &self.message.headers
    }

    /// The trailer fields, in order.
    pub fn trailers(&self) -> &[(String, String)] {
        &self.message.trailers
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.message.body
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.message.body).into_owned()
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |bytes: &[u8]| {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]).into_owned();
            if bytes.len() > 4000 { format!("{shown}… ({} bytes)", bytes.len()) } else { shown }
        };
        write!(f, "--> {}\n<-- {}", show(&self.request), show(&self.message.raw))?;
        match &self.message.cut {
            Some(why) => write!(f, "\n<-- {why}"),
            None => Ok(()),
        }
    }
}
