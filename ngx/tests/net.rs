//! Connections, names and peers, through the example `probe` in a real nginx.

mod server;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    thread,
    time::Duration,
};

use server::Server;

/// Says back each line; after `bye`, waits a moment and closes.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its number");
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| answer(stream)))));
    address
}

fn answer(mut stream: TcpStream) {
    let reader = BufReader::new(stream.try_clone().expect("the same socket"));
    for line in reader.lines().map_while(Result::ok) {
        if stream.write_all(format!("{line}\n").as_bytes()).is_err() {
            return;
        }
        if line == "bye" {
            return thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Nobody listens there.
fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number")
}

/// Knows `peer.test`; does not answer for `silent.test`.
fn dns() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("its number");
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut query) {
            let question = &query[12..n];
            if question.starts_with(b"\x06silent") {
                continue;
            }
            let known = question.starts_with(b"\x04peer\x04test\0");
            let mut reply = query[..2].to_vec();
            reply.extend(if known {
                [0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0]
            } else {
                [0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0]
            });
            reply.extend(question);
            for last in [7, 8].into_iter().filter(|_| known) {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, last]);
            }
            let _ = socket.send_to(&reply, from);
        }
    });
    address
}

fn outcome(server: &Server, path: &str) -> String {
    let response = server.get(path);
    let outcome = response.lines().find_map(|line| line.strip_prefix("x-outcome: "));
    outcome.unwrap_or_else(|| panic!("{path}: {response}")).to_owned()
}

fn is_clean(log: &str) {
    for bad in ["signal 11", "[alert]", "[crit]", "[emerg]", "open socket"] {
        assert!(!log.contains(bad), "{bad}: {log}");
    }
}

#[test]
fn connections_read_write_wait_and_close() {
    let Some(server) = Server::start("connections", "", "location / { probe_net; }") else { return };
    let (echo, refusing) = (echo(), refusing());

    assert_eq!(outcome(&server, &format!("/echo?{echo}")), "hello");
    assert_eq!(outcome(&server, &format!("/echo?{refusing}")), "ConnectionRefused");
    assert_eq!(outcome(&server, "/echo?unix:/nowhere"), "NotFound");
    assert_eq!(outcome(&server, &format!("/end?{echo}")), "\"\"");
    assert_eq!(outcome(&server, &format!("/slow?{echo}")), "TimedOut");
    assert_eq!(outcome(&server, &format!("/idle?{echo}")), "bye, then closed");
    assert_eq!(outcome(&server, &format!("/park?{echo}")), "hello, good true");

    let log = server.stop();
    assert!(
        log.contains(&format!(
            "connect() failed (111: Connection refused) while connecting to upstream, peer: {refusing}"
        )),
        "{log}"
    );
    is_clean(&log.replace("[crit]", "").replace("connect() to unix:/nowhere failed", ""));
}

#[test]
fn names_are_resolved() {
    let dns = dns();
    let main = format!("probe {{ dns {dns} ipv6=off; }}");
    let http =
        format!("location / {{ probe_net; resolver {dns} ipv6=off valid=5s; }} location /resolve/own {{ probe_net; }}");
    let Some(server) = Server::start("names", &main, &http) else { return };

    // Which of the two comes first is nginx's choice.
    for path in ["/resolve?peer.test", "/resolve?PEER.test", "/resolve/own?peer.test."] {
        let both = outcome(&server, path);
        assert!(both.contains("127.0.0.7") && both.contains("127.0.0.8"), "{both}");
    }
    assert_eq!(outcome(&server, "/resolve?absent.test"), "Host not found");
    assert_eq!(outcome(&server, "/resolve?silent.test"), "Operation timed out");
    assert_eq!(outcome(&server, &format!("/resolve?{}", "x".repeat(300))), "Host not found");
    assert_eq!(outcome(&server, "/resolve?a..b"), "Host not found");
    assert_eq!(outcome(&server, "/resolve?127.0.0.1"), "[127.0.0.1]");
    assert_eq!(outcome(&server, "/resolve?[::1]"), "[::1]");
    is_clean(&server.stop());
}

#[test]
fn balancers_choose_peers() {
    let (up, down) = (echo(), refusing());
    let pair = format!("server {down} max_fails=1 fail_timeout=60s; server {up};");
    let mut blocks = format!("upstream plain {{ {pair} }}\nupstream dead {{ server {down}; server {down} backup; }}\n");
    for (name, method) in [
        ("least", "least_conn;"),
        ("ip", "ip_hash;"),
        ("key", "hash $uri$http_host$args$probe;"),
        ("ring", "hash $remote_addr$http_host consistent;"),
        ("any", "random two;"),
        ("shared", "zone shared 64k;"),
    ] {
        blocks += &format!("upstream {name} {{ {method} {pair} }}\n");
    }
    let Some(server) = Server::start_with("peers", "", &blocks, "location / { probe_net; }") else { return };

    // One failure is enough, and remembered.
    assert_eq!(outcome(&server, "/peers?PLAIN"), format!("{down} down, more true; {up} up"));
    for _ in 0..3 {
        assert_eq!(outcome(&server, "/peers?plain"), format!("{up} up"));
        // Without a request.
        assert_eq!(outcome(&server, "/peers?no-such-block"), format!("{up} up"));
    }
    assert_eq!(outcome(&server, "/peers?dead"), format!("{down} down, more true; {down} down, more false; busy"));
    for name in ["least", "ip", "key", "ring", "any", "shared"] {
        for _ in 0..3 {
            assert!(outcome(&server, &format!("/peers?{name}")).ends_with(&format!("{up} up")), "{name}");
        }
    }
    is_clean(&server.stop());
}

#[test]
fn a_block_keeps_connections() {
    let up = echo();
    let blocks = format!("upstream plain {{ server {up}; }}\nupstream kept {{ server {up}; keepalive 2; }}\n");
    let Some(server) = Server::start_with("kept", "", &blocks, "location / { probe_net; }") else { return };

    assert_eq!(outcome(&server, "/keep?kept"), "hello, was kept false, came back false");
    assert_eq!(outcome(&server, "/keep?kept"), "hello, was kept true, came back false");
    assert_eq!(outcome(&server, "/keep?kept"), "hello, was kept true, came back false");
    is_clean(&server.stop());
}

#[test]
fn a_block_that_keeps_nothing_gives_connections_back() {
    // Since nginx 1.29.7 blocks keep connections unless they are told not to.
    let up = echo();
    let blocks = format!("upstream plain {{ server {up}; }}\n");
    let Some(server) = Server::start_with("given-back", "", &blocks, "location / { probe_net; }") else { return };
    for _ in 0..2 {
        let said = outcome(&server, "/keep?plain");
        assert_eq!(said, "hello, was kept false, came back true");
    }
    is_clean(&server.stop());
}

#[test]
fn peers_are_asked_for_their_certificates() {
    let pem = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/peer.pem");
    let pem = pem.display();
    let socket = server::folder("tls").join("tls");
    let socket = socket.display();
    let blocks = format!(
        "server {{ listen unix:{socket} ssl; ssl_certificate {pem}; ssl_certificate_key {pem};
         location / {{ return 200 tls; }} }}"
    );
    let trusting = format!("probe {{ trust {pem}; }}");
    let Some(server) = Server::start_with("tls", &trusting, &blocks, "location / { probe_net; }") else { return };
    let answer = "HTTP/1.1 200 OK over Some(\"http/1.1\")";
    for name in ["peer.test", "127.0.0.1", "[127.0.0.1]"] {
        assert_eq!(outcome(&server, &format!("/tls?{socket}|{name}")), answer);
    }
    for name in ["other.test", "127.0.0.2", ""] {
        let said = outcome(&server, &format!("/tls?{socket}|{name}"));
        assert_eq!(said, format!("tls certificate does not match \"{name}\""));
        assert_eq!(outcome(&server, &format!("/tls/unchecked?{socket}|{name}")), answer);
    }
    // The plain server of the probe.
    let plain = server.root.join("socket");
    assert_eq!(outcome(&server, &format!("/tls?{}|peer.test", plain.display())), "tls handshake failed");
    is_clean(&server.stop());

    // Who trusts nobody.
    let doubting = Server::start_with("tls", "probe { trust ''; }", &blocks, "location / { probe_net; }");
    let doubting = doubting.expect("nginx was there");
    let said = outcome(&doubting, &format!("/tls?{socket}|peer.test"));
    assert!(said.starts_with("tls certificate verify error: (18:self"), "{said}");
    assert_eq!(outcome(&doubting, &format!("/tls/unchecked?{socket}|peer.test")), answer);
    is_clean(&doubting.stop());

    let nothing = std::env::temp_dir().join(format!("wasmx-nothing-{}.pem", std::process::id()));
    fs::write(&nothing, "").expect("an empty file");
    let main = format!("probe {{ trust {}; }}", nothing.display());
    let output = server::check("tls-nothing", &main).expect("nginx was there");
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let _ = fs::remove_file(nothing);
}
