//! The client: many requests on one connection, each of which a test can hold, feed and reset.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{begun, in_time, piece, rest, socket};
use crate::client::{Exchanges, Response};
use crate::http1::Message;

/// A connection over which any number of requests go at once. It is closed when this is dropped.
#[derive(Debug)]
pub struct Http2 {
    sender: SendRequest<Bytes>,
    to: SocketAddr,
    /// The same socket, to hang up on.
    stream: TcpStream,
    connection: smol::Task<()>,
    exchanges: Exchanges,
}

impl Http2 {
    #[track_caller]
    pub(crate) fn open(to: SocketAddr, exchanges: Exchanges) -> Self {
        let stream = TcpStream::connect(to).unwrap_or_else(|error| panic!("connect to nginx at {to}: {error}"));
        let ours = stream.try_clone().expect("a second descriptor of a socket");
        let opened = smol::block_on(in_time(async {
            // Streams that a test does not read yet hold up none but themselves.
            let mut builder = h2::client::Builder::new();
            builder.initial_connection_window_size(64 << 20);
            builder.handshake(socket(ours)?).await.map_err(|error| error.to_string())
        }));
        let (sender, connection) = opened.unwrap_or_else(|why| panic!("HTTP/2 with nginx at {to}: {why}"));
        let connection = smol::spawn(async move {
            // How it ends is seen in its streams.
            let _ = connection.await;
        });
        Self { sender, to, stream, connection, exchanges }
    }

    /// A request to be put together.
    pub fn request(&self, method: &str, target: &str) -> Http2Request<'_> {
        let authority = self.to.to_string();
        Http2Request { connection: self, method: method.into(), target: target.into(), authority, headers: vec![] }
    }

    /// A GET, sent.
    #[track_caller]
    pub fn get(&self, target: &str) -> Http2Stream {
        self.request("GET", target).send()
    }

    /// A POST with a body, sent.
    #[track_caller]
    pub fn post(&self, target: &str, body: impl AsRef<[u8]>) -> Http2Stream {
        let mut stream = self.request("POST", target).begin();
        stream.send(body).finish();
        stream
    }

    /// Hangs up at once, with a reset of the connection.
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let size = size_of::<libc::linger>() as libc::socklen_t;
        let fd = self.stream.as_raw_fd();
        // SAFETY: the descriptor is open, and the option's value is a linger of its size.
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size) };
        smol::block_on(self.connection.cancel());
    }
}

/// A request that is being put together.
#[must_use = "nothing happens before send() or begin()"]
#[derive(Debug)]
pub struct Http2Request<'c> {
    connection: &'c Http2,
    method: String,
    target: String,
    authority: String,
    headers: Vec<(String, String)>,
}

impl Http2Request<'_> {
    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The value of `:authority`, which is the address of nginx unless it is given here.
    pub fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }

    /// Sends it, without a body.
    #[track_caller]
    pub fn send(self) -> Http2Stream {
        self.go(true)
    }

    /// Sends its header; a body is to follow.
    #[track_caller]
    pub fn begin(self) -> Http2Stream {
        self.go(false)
    }

    #[track_caller]
    fn go(self, end: bool) -> Http2Stream {
        let uri = format!("http://{}{}", self.authority, self.target);
        let mut request = http::Request::builder().method(self.method.as_str()).uri(uri.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(()).unwrap_or_else(|error| panic!("no request, {error}: {uri}"));
        let sent = smol::block_on(in_time(async {
            let mut sender = self.connection.sender.clone().ready().await.map_err(|error| error.to_string())?;
            sender.send_request(request, end).map_err(|error| error.to_string())
        }));
        let (response, body) = sent.unwrap_or_else(|why| panic!("{uri} was not asked for: {why}"));
        let asked = format!("{} {uri} HTTP/2", self.method);
        let exchanges = self.connection.exchanges.clone();
        Http2Stream { response: Some(response), body, answer: None, message: Message::default(), asked, exchanges }
    }
}

/// A request on its way, and its response.
#[derive(Debug)]
pub struct Http2Stream {
    /// Until the response's header has come.
    response: Option<ResponseFuture>,
    body: SendStream<Bytes>,
    answer: Option<RecvStream>,
    message: Message,
    asked: String,
    exchanges: Exchanges,
}

impl Http2Stream {
    /// Sends a piece of the request's body.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.body.send_data(Bytes::copy_from_slice(bytes.as_ref()), false);
        self
    }

    /// Ends the request's body.
    pub fn finish(&mut self) {
        let _ = self.body.send_data(Bytes::new(), true);
    }

    /// Ends the request with trailers.
    ///
    /// # Panics
    /// When one of them is no field.
    pub fn finish_with(&mut self, name: &'static str, value: &'static str) {
        let mut trailers = HeaderMap::new();
        trailers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        let _ = self.body.send_trailers(trailers);
    }

    /// Takes the request back: RST_STREAM.
    pub fn reset(mut self) {
        self.body.send_reset(Reason::CANCEL);
    }

    /// Reads until `text` has come in the response's body.
    ///
    /// # Panics
    /// When the body ends before.
    #[track_caller]
    pub fn until(&mut self, text: &str) {
        let read = smol::block_on(async {
            self.header().await?;
            while !String::from_utf8_lossy(&self.message.body).contains(text) {
                let Some(body) = &mut self.answer else { return Err("there is no body".to_owned()) };
                let bytes = piece(body).await?.ok_or("the body has ended")?;
                self.message.raw.extend_from_slice(&bytes);
                self.message.body.extend_from_slice(&bytes);
            }
            Ok(())
        });
        read.unwrap_or_else(|why| panic!("{text:?} did not come: {why}"));
    }

    /// Reads the response's header; whether the stream ends with it, so that nothing follows.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn ends_with_header(&mut self) -> bool {
        let read = smol::block_on(self.header());
        read.unwrap_or_else(|why| panic!("no response: {why}"));
        self.answer.as_ref().is_some_and(RecvStream::is_end_stream)
    }

    /// Reads the response to its end.
    pub fn response(&mut self) -> Response {
        let read = smol::block_on(async {
            self.header().await?;
            match &mut self.answer {
                Some(body) => rest(body, &mut self.message).await,
                None => Ok(()),
            }
        });
        self.message.cut = read.err();
        let response = Response::new(self.asked.clone().into_bytes(), std::mem::take(&mut self.message));
        self.exchanges.note(response.to_string());
        response
    }

    async fn header(&mut self) -> Result<(), String> {
        let Some(response) = self.response.take() else { return Ok(()) };
        let response = in_time(async { response.await.map_err(|error| error.to_string()) }).await?;
        self.message = begun(format!("HTTP/2 {}", response.status().as_str()), response.headers());
        self.answer = Some(response.into_body());
        Ok(())
    }
}
