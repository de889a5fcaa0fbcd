//! A body that streams through takes no more memory the longer it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmx_t::{Engine, Nginx, Running, eventually};

wasmx_t::on_every_engine![
    a_proxied_response_of_a_gigabyte,
    a_response_of_a_gigabyte_that_filters_change,
    a_file_of_a_gigabyte,
    a_response_that_waits_for_a_slow_client,
    a_request_that_waits_for_a_slow_upstream,
];

const GIB: usize = 1 << 30;
const SIZE: usize = 256 << 20;
/// How much a worker may grow while a body goes through it.
const ROOM: usize = 16 << 20;

/// What of the worker's memory is resident, in bytes.
fn resident(ng: &Running) -> usize {
    let worker = ng.workers()[0];
    let status = std::fs::read_to_string(format!("/proc/{worker}/status")).expect("the worker's status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// An upstream that answers one request with a gigabyte.
fn gigabyte() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("nginx");
        let mut room = vec![b'x'; 1 << 18];
        let _ = stream.read(&mut room);
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n").as_bytes());
        room.fill(b'x');
        for _ in 0..GIB / room.len() {
            if stream.write_all(&room).is_err() {
                return;
            }
        }
    });
    (address, server)
}

/// Reads a response to its end; its length with header and framing, and how much the worker grew after the first part.
fn grows(ng: &Running, target: &str) -> (usize, usize) {
    let mut stream = TcpStream::connect(ng.address()).expect("nginx");
    stream.set_read_timeout(Some(wasmx_t::patience())).expect("a socket");
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    let (mut room, mut len, mut next) = (vec![0; 1 << 18], 0, 32 << 20);
    let (mut first, mut most) = (None, 0);
    loop {
        match stream.read(&mut room) {
            Ok(0) => return (len, most - first.unwrap_or(most)),
            Ok(count) => len += count,
            Err(error) => panic!("after {len} bytes: {error}"),
        }
        if len > next {
            next += 32 << 20;
            let now = resident(ng);
            first.get_or_insert(now);
            most = most.max(now);
        }
    }
}

fn streams(ng: &Running, target: &str) {
    let (len, grown) = grows(ng, target);
    assert!((GIB..GIB + (GIB >> 4)).contains(&len), "{len} bytes came");
    assert!(grown < ROOM, "the worker grew by {grown} bytes");
}

const DIRECT: &str = "proxy_max_temp_file_size 0;";

fn a_proxied_response_of_a_gigabyte(engine: Engine) {
    let (address, server) = gigabyte();
    let script = "response_body: quietly body response 0 16; at_end say the end";
    let ng = Nginx::new(engine).script("/", script, (DIRECT, format!("proxy_pass http://{address};"))).start();
    streams(&ng, "/");
    ng.log().has_times(1, "the end");
    server.join().expect("the upstream");
}

fn a_response_of_a_gigabyte_that_filters_change(engine: Engine) {
    let (address, server) = gigabyte();
    let second = "proxy_wasm script 'response_body: collect; quietly write response 0 1 Z';";
    let script = "response_body: quietly write response 0 1 A";
    let lines = (second, DIRECT, format!("proxy_buffering off; proxy_pass http://{address};"));
    let ng = Nginx::new(engine).script("/", script, lines).start();
    streams(&ng, "/");
    server.join().expect("the upstream");
}

fn a_file_of_a_gigabyte(engine: Engine) {
    let nginx = Nginx::new(engine).file("html/file", "");
    let file = std::fs::File::options().write(true).open(nginx.prefix().join("html/file")).expect("the file");
    file.set_len(GIB as u64).expect("a sparse file");
    let ng = nginx.script("/", "response_body: quietly write response 0 1 A", "root html; sendfile on;").start();
    streams(&ng, "/file");
}

fn a_response_that_waits_for_a_slow_client(engine: Engine) {
    for buffering in ["on", "off"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        let sent = Arc::new(AtomicUsize::new(0));
        let server = std::thread::spawn({
            let sent = sent.clone();
            move || {
                let (mut stream, _) = listener.accept().expect("nginx");
                let mut piece = vec![0; 1 << 18];
                let _ = stream.read(&mut piece);
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes());
                while sent.load(Ordering::Relaxed) < SIZE && stream.write_all(&piece).is_ok() {
                    sent.fetch_add(piece.len(), Ordering::Relaxed);
                }
            }
        });
        let lines = (DIRECT, format!("proxy_buffering {buffering}; proxy_pass http://{address};"));
        let ng = Nginx::new(engine).script("/", "response_body: quietly write response 0 1 A", lines).start();
        let before = resident(&ng);
        let mut client = TcpStream::connect(ng.address()).expect("nginx");
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("a request");
        stalls(&ng, before, &sent);
        let len = std::io::copy(&mut client, &mut std::io::sink()).expect("the response");
        assert!((SIZE..SIZE + 1000).contains(&(len as usize)), "{len} bytes came");
        server.join().expect("the upstream");
    }
}

/// Waits until nobody takes more of a body, and sees that not much of it was taken, nor kept.
fn stalls(ng: &Running, before: usize, sent: &AtomicUsize) {
    eventually("whoever sends to be kept waiting", || {
        let before = sent.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
        (before > 0 && before == sent.load(Ordering::Relaxed)).then_some(())
    });
    let (taken, grown) = (sent.load(Ordering::Relaxed), resident(ng).saturating_sub(before));
    assert!(taken < SIZE / 2, "{taken} bytes were taken");
    assert!(grown < ROOM, "the worker grew by {grown} bytes");
}

/// An upstream that reads a request only when it is told to, and answers with its length.
fn slow() -> (SocketAddr, Sender<()>, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let (go, wait) = channel();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("nginx");
        let _ = wait.recv();
        let (mut room, mut count, mut tail) = (vec![0; 1 << 18], 0, Vec::new());
        while !tail.ends_with(b"\r\n0\r\n\r\n") {
            match stream.read(&mut room) {
                Ok(0) | Err(_) => return 0,
                Ok(read) => {
                    count += room[..read].iter().filter(|byte| **byte == b'Z').count();
                    tail.extend_from_slice(&room[..read]);
                    tail.drain(..tail.len().saturating_sub(7));
                }
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
        count
    });
    (address, go, server)
}

fn a_request_that_waits_for_a_slow_upstream(engine: Engine) {
    let (address, go, server) = slow();
    let lines = format!("proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://{address};");
    let ng = Nginx::new(engine)
        .script("/", "request_body: quietly write request 0 1 Z", ("client_max_body_size 0;", lines))
        .start();
    let before = resident(&ng);
    let sent = Arc::new(AtomicUsize::new(0));
    let mut client = TcpStream::connect(ng.address()).expect("nginx");
    let writer = std::thread::spawn({
        let (mut client, sent) = (client.try_clone().expect("the socket"), sent.clone());
        move || {
            let head = format!("POST / HTTP/1.1\r\nHost: l\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n");
            client.write_all(head.as_bytes()).expect("the header");
            let piece = vec![b'Z'; 1 << 18];
            for _ in 0..SIZE / piece.len() {
                client.write_all(&piece).expect("the body");
                sent.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    });
    stalls(&ng, before, &sent);
    go.send(()).expect("the upstream");
    writer.join().expect("the client");
    let mut response = String::new();
    let _ = client.read_to_string(&mut response);
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("fine"), "{response}");
    assert_eq!(server.join().expect("the upstream"), SIZE);
    let grown = resident(&ng).saturating_sub(before);
    assert!(grown < ROOM, "the worker grew by {grown} bytes");
}
