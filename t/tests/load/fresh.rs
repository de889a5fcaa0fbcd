//! Instances that serve one request each, many of them at the same time.

use std::net::SocketAddr;
use std::thread;

use wasmx_t::{Connection, Engine, Nginx, guest};

use crate::clients::Random;
use crate::echo::{Echo, bytes};

wasmx_t::on_every_engine![no_request_meets_what_another_left];

const CLIENTS: usize = 32;
const REQUESTS: usize = 60;

/// Requests to both locations: some end well, some trap, some are left.
fn ask(to: SocketAddr, random: &mut Random) {
    let mut connection = Connection::quiet(to);
    for _ in 0..REQUESTS {
        let (path, counts) = [("/stream", "2"), ("/filter", "1")][random.below(2)];
        let size = random.below(20_000);
        let more = ["", "", "", "x-trap: 1\r\n", "x-late: 1\r\n"][random.below(5)];
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: {size}\r\n\r\n");
        connection.send([head.as_bytes(), &bytes(size)].concat());
        if random.below(10) == 0 {
            connection.reset();
            connection = Connection::quiet(to);
            continue;
        }
        let response = connection.response();
        match more.split(':').next() {
            Some("x-trap") => {
                response.status(500);
            }
            // The end of a response that may have begun, and may have been whole.
            Some("x-late") => {}
            _ => {
                response.status(200).header("x-first", "1").header("x-second", counts);
                let got = response.bytes();
                assert!(got == bytes(size), "{} bytes in place of {size}", got.len());
                continue;
            }
        }
        connection = Connection::quiet(to);
    }
}

fn no_request_meets_what_another_left(engine: Engine) {
    let up = Echo::new();
    let first = "proxy_wasm script 'request_headers: count; keep 300000; add response x-first {it}; when x-trap trap unreachable
                 response_body: at_end when x-late trap unreachable';";
    let second = "proxy_wasm script 'request_headers: count; add response x-second {it}';";
    let lines = |isolation: &str| format!("{first}\n{second}\nproxy_wasm_isolation {isolation};\n{}", up.pass());
    let ng = Nginx::new(engine)
        .log_level("notice")
        .wasm("script", guest("script"))
        .location("/stream", lines("stream"))
        .location("/filter", lines("filter"))
        .start();
    let workers = ng.workers();
    let address = ng.address();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || ask(address, &mut Random::new(client as u64 + 1)));
        }
    });
    assert_eq!(ng.workers(), workers);
}
