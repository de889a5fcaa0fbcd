//! Ten thousand requests through four filters.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;

use wasmx_t::{Engine, Nginx, Running, eventually, guest};

use crate::clients::{Random, ask};
use crate::echo::{Echo, bytes};

wasmx_t::on_every_engine![ten_thousand_mixed_requests];

/// How many clients there are at a time.
const CLIENTS: usize = 64;

/// The four filters: one that edits both bodies, one that holds, one that answers, one that edits both bodies. The first
/// and the last share an instance.
pub fn four_filters(nginx: Nginx, up: &Echo) -> Nginx {
    let balance = "request_headers: balance; reply 200 {it}";
    nginx
        .log_level("notice")
        .wasm("edit", guest("script"))
        .wasm("hold", guest("script"))
        .http("client_max_body_size 2m;\nlarge_client_header_buffers 4 16k;")
        .location(
            "/",
            (
                "proxy_wasm edit 'request_body: body request 0 50; at_end write request 0 0 a<
                                  response_body: body response 0 50; at_end write response 0xffffffff 0 A';
                 proxy_wasm hold 'configure: tick 2; request_headers: when x-hold pause; tick: each continue 0';
                 proxy_wasm hold 'request_headers: when x-refuse reply 403 no';
                 proxy_wasm edit 'request_body: at_end write request 0xffffffff 0 >d
                                  response_headers: add response x-last yes
                                  response_body: at_end write response 0xffffffff 0 D';",
                up.pass(),
            ),
        )
        .location("= /edit", format!("proxy_wasm edit '{balance}';"))
        .location("= /hold", format!("proxy_wasm hold '{balance}';"))
}

/// All contexts that were created are deleted, but for the one that tells.
pub fn nothing_is_left(ng: &Running) {
    for module in ["/edit", "/hold"] {
        eventually("the deletion of all contexts", || {
            let text = ng.get(module).text();
            let number = |name: &str| -> Option<u32> { text.split(name).nth(1)?.split(' ').next()?.parse().ok() };
            let (created, deleted) = (number("created=")?, number("deleted=")?);
            (created == deleted + 1 && number("living=") == Some(1) && created > 100).then_some(())
        });
    }
    let log = ng.log().text();
    assert!(!log.contains("[error]") && !log.contains("trap"), "{log}");
}

/// `count` requests by all clients together; `seed` makes them others each time.
fn serve(to: SocketAddr, count: usize, seed: usize) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let mut random = Random::new((seed * CLIENTS + client + 1) as u64);
            scope.spawn(move || ask(to, count / CLIENTS, &mut random));
        }
    });
}

/// Requests over HTTP/2, many on a connection at the same time.
pub fn serve_http2(ng: &Running, count: usize) {
    const SIZE: usize = 3000;
    ng.write("body", bytes(SIZE));
    let run = Command::new("h2load")
        .args(["-n", &count.to_string(), "-c", "16", "-m", "8", "-t", "1", "-H", "x-hold: 1", "-d"])
        .arg(ng.prefix().join("body"))
        .arg(format!("http://{}/", ng.address_of(1)))
        .output()
        .expect("h2load, of Debian's nghttp2-client");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(said.contains(&format!("{count} succeeded, 0 failed, 0 errored, 0 timeout")), "{said}");
    assert!(said.contains(&format!("status codes: {count} 2xx")), "{said}");
    // Each has what the filters made of it.
    let data = (SIZE + "a<>dAD".len()) * count;
    assert!(said.contains(&format!("({data}) data")), "{data} bytes expected:\n{said}");
}

/// The memory that a process has, in KiB.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// How much more a worker may have, in KiB, after five times as many requests: room for a moment at which more of them
/// happened to be large. 400 bytes that each request leaves behind are more; of fewer, valgrind tells.
const MARGIN: usize = 3 << 10;

fn ten_thousand_mixed_requests(engine: Engine) {
    let up = Echo::new();
    let nginx = four_filters(Nginx::new(engine).listener("http2"), &up);
    // What is large goes back to the system when it is freed.
    let ng = nginx.env("MALLOC_MMAP_THRESHOLD_", "65536").env("MALLOC_TRIM_THRESHOLD_", "65536").start();
    let worker = ng.workers()[0];
    let address = ng.address();
    let both = |count, seed| {
        thread::scope(|scope| {
            scope.spawn(move || serve(address, count, seed));
            serve_http2(&ng, 1000);
        });
        resident(worker)
    };
    let early = both(1000, 1);
    let late = both(7000, 2);
    assert_eq!(ng.workers(), [worker]);
    assert!(late < early + MARGIN, "{early} KiB after 2,000 requests, {late} KiB after 10,000");
    nothing_is_left(&ng);
}
