//! Calls that fail: each ends in one callback that says why.

use wasmx_t::{Answer, Dns, Engine, Lines, Nginx, Nobody, Peer, Upstream};

use crate::get;

wasmx_t::on_every_engine![
    nobody_listens,
    a_socket_that_is_not_there,
    a_reset_before_the_response,
    a_close_before_the_response,
    a_reset_in_the_header,
    a_close_in_the_header,
    a_body_shorter_than_its_length,
    chunks_without_an_end,
    a_reset_in_the_body,
    no_http_at_all,
    malformed_responses,
    a_header_that_is_too_large,
    a_header_without_end,
    more_body_than_is_allowed,
    a_body_without_end,
    more_trailers_than_are_allowed,
    a_body_as_large_as_is_allowed,
    a_host_that_is_not_there,
    a_name_server_that_fails,
    a_host_without_addresses,
    a_failure_of_one_of_two,
    a_failure_in_a_root,
    many_failures,
];

pub const TIMEOUT: &str = "timeout";
pub const BROKEN: &str = "broken connection";
pub const TLS: &str = "tls handshake failure";
pub const RESOLVER: &str = "resolver failure";
pub const READER: &str = "reader failure";
pub const INVALID: &str = "invalid response";

/// A call that fails in the same way each time.
pub struct Failure<'a> {
    pub call: String,
    /// What `:dispatch_status` may be.
    pub status: &'a [&'a str],
    /// What the log line has after `dispatch failed: `.
    pub reason: &'a str,
}

/// How many calls [`Failure::check`] makes.
pub const CALLS: usize = 3;

impl Failure<'_> {
    /// Makes the call in a request that the filter ends, in one that goes on, and in one whose errors are not logged.
    pub fn check(&self, nginx: Nginx, lines: impl Lines) {
        let Self { call, status, reason } = self;
        let up = Upstream::new().ok("went on");
        let sees = "call_response: say came {headers} {size} {trailers}; call_status; pairs call_trailers; body call 0 9; get call :dispatch_status";
        let ends = format!("request_headers: {call}; pause; {sees}; reply 502 {{it}}");
        let goes_on = format!("request_headers: {call}; pause; {sees}");
        let ng = nginx
            .http(lines)
            .script("/", &ends, "")
            .script("/on", &goes_on, up.pass())
            .script("/quiet", &ends, "proxy_wasm_log_dispatch_errors off;")
            .start();
        let got = ng.get("/").status(502).text();
        assert!(status.contains(&got.as_str()), "{got:?} is none of {status:?} in\n{}", ng.log().text());
        let log = ng.log();
        log.has_times(1, "] came 0 0 0")
            .has_times(1, "] came ")
            .has_times(1, "call_status -> 0 \"")
            .lacks("call_status -> 0 \"0 ");
        log.has_times(1, &format!("[wasm] dispatch failed: {reason}")).has_times(1, "dispatch failed: ");
        log.has_times(1, "[error]");
        ng.get("/on").status(200).body("went on");
        up.saw_times(1);
        log.has_times(2, "] came 0 0 0").has_times(2, "] came ").has_times(2, "dispatch failed: ");
        let quiet = ng.log().from_here();
        assert_eq!(ng.get("/quiet").status(502).text(), got);
        quiet.has_times(1, "] came 0 0 0").lacks("dispatch failed: ").lacks("[error]");
    }
}

fn fails(engine: Engine, upstream: &str, status: &[&str], reason: &str) {
    Failure { call: get(upstream, "/x"), status, reason }.check(Nginx::new(engine), "");
}

/// A peer that answers so, and closes.
fn answered(engine: Engine, answer: Answer, status: &[&str]) {
    let peer = Peer::new().always(answer);
    fails(engine, &peer.name(), status, "");
    // Such a connection is not used again.
    peer.wait_open(0);
}

fn nobody_listens(engine: Engine) {
    let nobody = Nobody::new();
    fails(engine, &nobody.address().to_string(), &[BROKEN], "tcp socket - Connection refused");
}

fn a_socket_that_is_not_there(engine: Engine) {
    let nginx = Nginx::new(engine).allow("connect() to unix:");
    let call = get(&format!("unix:{}/none.sock", nginx.prefix().display()), "/x");
    Failure { call, status: &[BROKEN], reason: "tcp socket - No such file or directory" }.check(nginx, "");
}

fn a_reset_before_the_response(engine: Engine) {
    answered(engine, Answer::reset(), &[BROKEN]);
}

fn a_close_before_the_response(engine: Engine) {
    answered(engine, Answer::close(), &[BROKEN, READER]);
}

fn a_reset_in_the_header(engine: Engine) {
    answered(engine, Answer::raw("HTTP/1.1 200 OK\r\nContent-").then_reset(), &[BROKEN, READER]);
}

fn a_close_in_the_header(engine: Engine) {
    answered(engine, Answer::raw("HTTP/1.1 200 OK\r\nContent-").then_close(), &[BROKEN, READER, INVALID]);
}

fn a_body_shorter_than_its_length(engine: Engine) {
    answered(
        engine,
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").then_close(),
        &[BROKEN, READER],
    );
}

fn chunks_without_an_end(engine: Engine) {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["", "5", "5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\nx-t: 1"] {
        answered(engine, Answer::raw(format!("{head}{body}")).then_close(), &[BROKEN, READER]);
    }
}

fn a_reset_in_the_body(engine: Engine) {
    answered(
        engine,
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").then_reset(),
        &[BROKEN, READER],
    );
}

fn no_http_at_all(engine: Engine) {
    for bytes in [
        "220 mail.example ESMTP\r\n",
        "\x15\x03\x01\x00\x02\x02\x46",
        "PRI * HTTP/2.0\r\n\r\n",
        "\r\n\r\n\0\0\0\0\r\n\r\n",
    ] {
        answered(engine, Answer::raw(bytes).then_close(), &[INVALID, READER]);
    }
}

fn malformed_responses(engine: Engine) {
    for bytes in [
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\na\r\n0\r\n\r\n",
    ] {
        // It stays open: what is wrong is wrong before its end.
        answered(engine, Answer::raw(bytes).then_wait(), &[INVALID, READER]);
    }
}

fn a_header_that_is_too_large(engine: Engine) {
    let large = "x".repeat(1 << 20);
    let answer = Answer::raw(format!("HTTP/1.1 200 OK\r\nx-large: {large}\r\nContent-Length: 0\r\n\r\n"));
    answered(engine, answer.then_wait(), &[READER, INVALID]);
}

fn a_header_without_end(engine: Engine) {
    answered(engine, Answer::raw("HTTP/1.1 200 OK\r\n").then_endless("x-more: and more\r\n"), &[READER, INVALID]);
}

fn more_body_than_is_allowed(engine: Engine) {
    let lines = "proxy_wasm_dispatch_max_body 100;";
    let too_much = "x".repeat(101);
    for answer in [
        Answer::ok(&too_much),
        Answer::chunks([&too_much], &[]),
        Answer::raw(format!("HTTP/1.1 200 OK\r\n\r\n{too_much}")).then_close(),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n").then_wait(),
    ] {
        let peer = Peer::new().always(answer);
        let call = get(&peer.name(), "/x");
        Failure { call, status: &[READER, INVALID], reason: "" }.check(Nginx::new(engine), lines);
        peer.wait_open(0);
    }
}

fn a_body_without_end(engine: Engine) {
    let answer = Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").then_endless("5\r\nhello\r\n");
    let peer = Peer::new().always(answer);
    let call = get(&peer.name(), "/x");
    let failure = Failure { call, status: &[READER, INVALID], reason: "" };
    failure.check(Nginx::new(engine), "proxy_wasm_dispatch_max_body 64k;");
    peer.wait_open(0);
}

fn more_trailers_than_are_allowed(engine: Engine) {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    answered(engine, Answer::raw(head).then_endless("x-more: and more\r\n"), &[READER, INVALID]);
}

fn a_body_as_large_as_is_allowed(engine: Engine) {
    let peer = Peer::new().answers(|asked| match asked.target() {
        "/length" => Answer::ok("x".repeat(100)),
        _ => Answer::chunks(["x".repeat(50), "x".repeat(50)], &[]),
    });
    let name = peer.name();
    let script = format!(
        "request_headers: {}; {}; pause; call_response: say came {{size}}",
        get(&name, "/length"),
        get(&name, "/chunks")
    );
    let ng = Nginx::new(engine).script("/", &script, "proxy_wasm_dispatch_max_body 100; return 200;").start();
    ng.get("/").status(200);
    ng.log().has_times(2, "] came 100").lacks("dispatch failed");
}

fn a_host_that_is_not_there(engine: Engine) {
    let dns = Dns::new();
    let call = get("none.example:80", "/x");
    Failure { call, status: &[RESOLVER], reason: "tcp socket - resolver error: " }
        .check(Nginx::new(engine), dns.resolver());
}

fn a_name_server_that_fails(engine: Engine) {
    let dns = Dns::new().failing("bad.example");
    let call = get("bad.example:80", "/x");
    // nginx asks again until it has no more patience.
    let lines = (dns.resolver(), "resolver_timeout 300ms;");
    Failure { call, status: &[RESOLVER], reason: "tcp socket - resolver error: " }.check(Nginx::new(engine), lines);
}

fn a_host_without_addresses(engine: Engine) {
    let dns = Dns::new().name("empty.example", &[]);
    let call = get("empty.example:80", "/x");
    let lines = (dns.resolver(), "resolver_timeout 300ms;");
    Failure { call, status: &[RESOLVER], reason: "tcp socket - resolver error: " }.check(Nginx::new(engine), lines);
}

fn a_failure_of_one_of_two(engine: Engine) {
    let (nobody, peer) = (Nobody::new(), Peer::new());
    let script = format!(
        "request_headers: {}; {}; pause; call_response: failed say no {{call}}; answered say yes {{call}}",
        get(&nobody.address().to_string(), "/bad"),
        get(&peer.name(), "/good")
    );
    let ng = Nginx::new(engine).script("/", &script, "return 200 on;").start();
    for _ in 0..3 {
        ng.get("/").status(200).body("on");
    }
    ng.log().has_times(3, "] no /bad").has_times(3, "] yes /good").has_times(3, "dispatch failed: ");
    assert_eq!(peer.accepted(), 1);
}

fn a_failure_in_a_root(engine: Engine) {
    let nobody = Nobody::new();
    let script = format!(
        "configure: tick 5; tick: count; nth 2 {}; call_response: say came {{headers}}; call_status; get call :dispatch_status; say end",
        get(&nobody.address().to_string(), "/x")
    );
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.log().wait("] end");
    ng.log().has("get call :dispatch_status -> 0 \"broken connection\"").has_times(1, "] came 0");
    ng.log().has_times(1, "[wasm] dispatch failed: tcp socket - Connection refused").lacks("call_status -> 0 \"0 ");
}

fn many_failures(engine: Engine) {
    const COUNT: usize = 200;
    let nobody = Nobody::new();
    let script = format!(
        "request_headers: {}; pause; call_response: quietly count; nth {COUNT} say all; reply 502 failed",
        get(&nobody.address().to_string(), "/x")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    for _ in 0..COUNT {
        ng.get("/").status(502).body("failed");
    }
    ng.log().has_times(1, "] all").has_times(COUNT, "dispatch failed: ");
}
