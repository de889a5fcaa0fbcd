//! Unbuffered request bodies on their way to upstreams of other kinds, and from clients that speak HTTP/2.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    scgi_is_told_the_length_that_the_chain_left,
    scgi_gets_a_body_that_nobody_changed,
    grpc_gets_a_changed_body_as_it_comes,
    http2_bodies_come_part_by_part,
    http2_bodies_are_held_and_changed,
    http2_bodies_that_are_large,
    http2_clients_get_a_reply_to_their_body,
];

/// An SCGI server for one request: what it read.
fn scgi(length: usize) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("nginx");
        let (mut seen, mut room) = (Vec::new(), [0; 4096]);
        // A netstring of headers, and the body behind its comma.
        while seen.windows(2).rposition(|end| end == b"\0,").is_none_or(|at| seen.len() < at + 2 + length) {
            match stream.read(&mut room) {
                Ok(count) if count > 0 => seen.extend_from_slice(&room[..count]),
                _ => break,
            }
        }
        stream.write_all(b"Status: 200 OK\r\nContent-Length: 4\r\n\r\nfine").expect("an answer");
        String::from_utf8_lossy(&seen).replace('\0', " ")
    });
    (address, server)
}

fn scgi_sees(engine: Engine, script: &str, expected: &str) {
    let (address, server) = scgi(expected.len());
    let lines = format!("scgi_param CONTENT_LENGTH $content_length; scgi_request_buffering off; scgi_pass {address};");
    let ng = Nginx::new(engine).script("/", &format!("request_body: say piece {{size}}; {script}"), lines).start();
    let mut connection = ng.connect();
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nfour");
    ng.log().wait("piece 4");
    connection.send("more").response().status(200).body("fine");
    ng.log().has_times(2, "piece 4");
    let seen = server.join().expect("the server");
    assert!(seen.contains(&format!("CONTENT_LENGTH {} ", expected.len())), "{seen}");
    assert!(seen.ends_with(&format!(",{expected}")), "{seen}");
}

fn scgi_is_told_the_length_that_the_chain_left(engine: Engine) {
    scgi_sees(engine, "write request 0 0 <", "<four<more");
}

fn scgi_gets_a_body_that_nobody_changed(engine: Engine) {
    scgi_sees(engine, "body request 0 10", "fourmore");
}

/// An nginx that passes to itself over HTTP/2, and from there to `up`.
fn grpc(engine: Engine, script: &str, up: &Upstream) -> Running {
    let nginx = Nginx::new(engine);
    let socket = nginx.prefix().join("h2").display().to_string();
    let inner = format!("server {{ listen unix:{socket} http2; location / {{ {} }} }}", up.pass());
    nginx.http(inner).script("/", script, format!("grpc_pass grpc://unix:{socket};")).start()
}

fn grpc_gets_a_changed_body_as_it_comes(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let ng = grpc(engine, "request_body: say piece {size} {end}; write request 0 0 <", &up);
    let mut connection = ng.connect();
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nfour");
    ng.log().wait("piece 4 false");
    connection.send("more").response().status(200).body("fine");
    ng.log().has("piece 4 true");
    up.saw(|req| {
        req.body("<four<more").header("content-length", "10");
    });
}

const STREAM: &str = "proxy_request_buffering off; proxy_http_version 1.1;";

fn http2(engine: Engine, script: &str, up: &Upstream) -> Running {
    let lines = (STREAM, "client_max_body_size 0;", up.pass());
    Nginx::new(engine).listener("http2").script("/", script, lines).start()
}

/// Lets curl POST over HTTP/2 what `write` gives it; status and body of the response.
fn post(ng: &Running, write: impl FnOnce(&mut dyn Write)) -> String {
    let url = format!("http://{}/", ng.address_of(1));
    let mut curl = Command::new("curl")
        .args(["-s", "-X", "POST", "--http2-prior-knowledge", "-T", ".", "-w", " %{http_code}", "-m", "20", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("curl");
    write(&mut curl.stdin.take().expect("curl's input"));
    let output = curl.wait_with_output().expect("curl's output");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn http2_bodies_come_part_by_part(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let ng = http2(engine, "request_body: say piece {size} {end}", &up);
    let response = post(&ng, |body| {
        let _ = body.write_all(b"four");
        ng.log().wait("piece 4 false");
        let _ = body.write_all(b"three");
        ng.log().wait("piece 5 false");
    });
    assert_eq!(response, "fine 200");
    ng.log().has_times(1, "true");
    up.saw(|req| {
        req.body("fourthree");
    });
}

fn http2_bodies_are_held_and_changed(engine: Engine) {
    for (script, expected) in [
        ("request_body: say piece; collect; at_end write request 0 0 <", "<fourmore"),
        ("configure: tick 10; request_body: say piece; pause; tick: each continue 0", "fourmore"),
    ] {
        let up = Upstream::new().ok("fine");
        let ng = http2(engine, script, &up);
        let response = post(&ng, |body| {
            let _ = body.write_all(b"four");
            ng.log().wait("piece");
            let _ = body.write_all(b"more");
        });
        assert_eq!(response, "fine 200", "{script}");
        up.saw(|req| {
            req.body(expected);
        });
    }
}

fn http2_bodies_that_are_large(engine: Engine) {
    let large: String = (0..400_000).map(|number| format!("{number:06}\n")).collect();
    for (script, expected) in [
        ("at_end write request 0xffffffff 0 end", format!("{large}end")),
        ("collect; at_end write request 0xffffffff 0 end", format!("{large}end")),
        ("before_end write request 0xffffffff 0 ", large.clone()),
    ] {
        let up = Upstream::new().ok("fine");
        let ng = http2(engine, &format!("request_body: {script}"), &up);
        let response = post(&ng, |body| {
            let _ = body.write_all(large.as_bytes());
        });
        assert_eq!(response, "fine 200");
        up.saw(|req| {
            req.body(&expected);
        });
    }
}

fn http2_clients_get_a_reply_to_their_body(engine: Engine) {
    let up = Upstream::new().ok("never");
    let ng = http2(engine, "request_body: say piece; at_end reply 403 no", &up);
    let response = post(&ng, |body| {
        let _ = body.write_all(b"four");
        ng.log().wait("piece");
        let _ = body.write_all(b"more");
    });
    assert_eq!(response, "no 403");
}
