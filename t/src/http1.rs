//! HTTP/1 messages off a stream, byte for byte: what the client reads and what the upstream reads.

use std::io::{ErrorKind, Read};

/// Which side wrote a message: it decides how its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Response,
    /// A response without a body, whatever its header says: that of HEAD.
    Bodiless,
}

/// A message as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// Request line or status line; empty when nothing came.
    pub start: String,
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// All bytes, framing and all.
    pub raw: Vec<u8>,
    /// Why it ends before its end.
    pub cut: Option<String>,
}

impl Message {
    /// The values of a header field, in order.
    pub fn values<'a>(&'a self, name: &str) -> Vec<&'a str> {
        let named = |(key, value): &'a (String, String)| key.eq_ignore_ascii_case(name).then_some(value.as_str());
        self.headers.iter().filter_map(named).collect()
    }
}

/// Reads messages off a stream, one after the other.
#[derive(Debug)]
pub(crate) struct Reader<S> {
    pub stream: S,
    /// What was read and not yet used.
    ahead: Vec<u8>,
    /// What the message being read is made of so far.
    raw: Vec<u8>,
}

impl<S: Read> Reader<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new(), raw: Vec::new() }
    }

    /// The next message; `None` when the stream ended before it began.
    pub fn message(&mut self, kind: Kind) -> Option<Message> {
        self.raw.clear();
        let mut message = Message::default();
        message.cut = self.read(kind, &mut message).err();
        message.raw = std::mem::take(&mut self.raw);
        if message.raw.is_empty() && message.cut.as_deref() == Some(END) { None } else { Some(message) }
    }

    /// Reads until `text` has come, and gives all up to its end; or what came before the stream ended.
    pub fn until(&mut self, text: &str) -> Result<String, String> {
        let mut seen = Vec::new();
        loop {
            if let Some(at) = find(&self.ahead, text.as_bytes()) {
                seen.extend(self.ahead.drain(..at + text.len()));
                return Ok(String::from_utf8_lossy(&seen).into_owned());
            }
            if let Err(why) = self.more() {
                return Err(format!("{why}; before that: {:?}", String::from_utf8_lossy(&self.ahead)));
            }
        }
    }

    /// Everything until the stream ends, and how it ended.
    pub fn rest(&mut self) -> (Vec<u8>, String) {
        loop {
            if let Err(why) = self.more() {
                return (std::mem::take(&mut self.ahead), why);
            }
        }
    }

    fn read(&mut self, kind: Kind, message: &mut Message) -> Result<(), String> {
        message.start = self.line()?;
        message.headers = self.fields()?;
        let chunked = message.values("transfer-encoding").iter().any(|value| value.eq_ignore_ascii_case("chunked"));
        let length = message.values("content-length").first().and_then(|value| value.parse().ok());
        let bodiless = kind == Kind::Bodiless || (kind == Kind::Response && is_bodiless(&message.start));
        if bodiless {
            return Ok(());
        }
        if chunked {
            return self.chunks(message);
        }
        match (length, kind) {
            (Some(length), _) => self.take(length, &mut message.body),
            (None, Kind::Request) => Ok(()),
            (None, _) => self.until_the_end(&mut message.body),
        }
    }

    fn fields(&mut self) -> Result<Vec<(String, String)>, String> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| format!("a header without a colon: {line:?}"))?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn chunks(&mut self, message: &mut Message) -> Result<(), String> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| format!("no chunk size: {line:?}"))?;
            if size == 0 {
                message.trailers = self.fields()?;
                return Ok(());
            }
            self.take(size, &mut message.body)?;
            let end = self.line()?;
            if !end.is_empty() {
                return Err(format!("a chunk that does not end where it should: {end:?}"));
            }
        }
    }

    fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(at) = self.ahead.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=at).collect();
                self.raw.extend_from_slice(&line);
                let line = String::from_utf8_lossy(&line).into_owned();
                return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            if let Err(why) = self.more() {
                self.raw.append(&mut self.ahead);
                return Err(why);
            }
        }
    }

    fn take(&mut self, mut size: usize, into: &mut Vec<u8>) -> Result<(), String> {
        loop {
            let now = size.min(self.ahead.len());
            self.raw.extend_from_slice(&self.ahead[..now]);
            into.extend(self.ahead.drain(..now));
            size -= now;
            if size == 0 {
                return Ok(());
            }
            self.more()?;
        }
    }

    fn until_the_end(&mut self, into: &mut Vec<u8>) -> Result<(), String> {
        let (rest, why) = self.rest();
        self.raw.extend_from_slice(&rest);
        into.extend(rest);
        if why == END { Ok(()) } else { Err(why) }
    }

    fn more(&mut self) -> Result<(), String> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(END.to_owned()),
                Ok(count) => {
                    self.ahead.extend_from_slice(&buffer[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// How a stream ends that ends in order.
pub(crate) const END: &str = "the connection was closed";

fn is_bodiless(status_line: &str) -> bool {
    let status = status_line.split(' ').nth(1).unwrap_or_default();
    status.starts_with('1') || status == "204" || status == "304"
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}
