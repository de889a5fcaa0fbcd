//! The few bytes of HTTP that the measurement of start-ups needs.

use crate::Result;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A request on its way.
pub struct Pending(TcpStream);

/// Connects and asks; the answer may take until a worker is there.
pub fn ask(port: u16, path: &str) -> Result<Pending> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: bench\r\n\r\n")?;
    Ok(Pending(stream))
}

impl Pending {
    fn answer(mut self) -> Result<String> {
        let mut answer = String::new();
        self.0.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The status of the answer.
    pub fn status(self) -> Result<u16> {
        let answer = self.answer()?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.ok_or_else(|| format!("unexpected answer: {answer:?}").into())
    }

    /// The body of the answer.
    pub fn body(self) -> Result<String> {
        let answer = self.answer()?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
            _ => Err(format!("unexpected answer: {answer:?}").into()),
        }
    }
}

pub fn get(port: u16, path: &str) -> Result<String> {
    ask(port, path)?.body()
}
