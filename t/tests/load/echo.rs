//! An upstream that gives back what it gets, or as many bytes as it is asked for, and keeps nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Echo {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind an upstream to 127.0.0.1:0");
        let address = listener.local_addr().expect("the address of a bound listener");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // One that nginx has left fails, and nobody minds.
                std::thread::spawn(move || answer(stream));
            }
        });
        Self { address, stop }
    }

    pub fn pass(&self) -> String {
        format!("proxy_pass http://{};", self.address)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// The bytes that are given to one who asks for `size` of them.
pub fn bytes(size: usize) -> Vec<u8> {
    (b'a'..=b'z').chain(b'0'..=b'9').cycle().take(size).collect()
}

fn answer(mut stream: TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut length, mut size) = (0, 0);
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "x-size" => size = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if body.is_empty() {
        body = bytes(size);
    }
    // Every other one ends with its connection, without a length.
    let length = if size % 2 == 0 { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    stream.write_all(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{length}\r\n").as_bytes()).ok()?;
    stream.write_all(&body).ok()
}
