//! What is held while a call is made, for longer than `send_timeout`.

use std::time::{Duration, Instant};

use wasmx_t::{Answer, Engine, Nginx, Peer, Upstream};

use crate::get;

wasmx_t::on_every_engine![
    a_request_is_not_given_up,
    a_request_with_a_body_is_not_given_up,
    a_response_is_not_given_up,
    a_response_of_nginx_itself_is_not_given_up,
    a_body_is_not_given_up,
    a_subrequest_is_not_given_up,
    over_http2_too,
    a_hold_after_the_answer_is_given_up,
    the_call_of_another_filter_counts,
    a_client_that_takes_nothing_is_given_up_afterwards,
];

/// Several of them pass while the peer thinks.
const TIMEOUT: &str = "send_timeout 100ms;";
const LATE: Duration = Duration::from_millis(450);

/// Answers late.
fn peer() -> Peer {
    Peer::new().answers(|_| {
        std::thread::sleep(LATE);
        Answer::ok("told")
    })
}

/// A script that holds something for a call in one of its callbacks.
fn holding(callback: &str, peer: &Peer) -> String {
    let condition = if callback.ends_with("body") { "at_end " } else { "" };
    let call = get(&peer.name(), "/x");
    format!("{callback}: {condition}once {call}; {condition}pause; call_response: body call 0 9; say came {{it}}")
}

fn goes_on(nginx: Nginx, method: &str) {
    let ng = nginx.start();
    let begun = Instant::now();
    let request = ng.request(method, "/");
    let request = if method == "POST" { request.body("the body") } else { request };
    request.send().status(200).body("passed");
    assert!(begun.elapsed() >= LATE, "{:?}", begun.elapsed());
    ng.log().has_times(1, "] came told").lacks("longer than").lacks("timed out");
}

fn a_request_is_not_given_up(engine: Engine) {
    let (peer, up) = (peer(), Upstream::new().ok("passed"));
    goes_on(Nginx::new(engine).script("/", &holding("request_headers", &peer), (TIMEOUT, up.pass())), "GET");
    up.saw_times(1);
}

fn a_request_with_a_body_is_not_given_up(engine: Engine) {
    for callback in ["request_headers", "request_body"] {
        let (peer, up) = (peer(), Upstream::new().ok("passed"));
        for unbuffered in ["", "proxy_request_buffering off; proxy_http_version 1.1;"] {
            let lines = (TIMEOUT, unbuffered, up.pass());
            goes_on(Nginx::new(engine).script("/", &holding(callback, &peer), lines), "POST");
        }
        up.saw_times(2);
    }
}

fn a_response_is_not_given_up(engine: Engine) {
    let (peer, up) = (peer(), Upstream::new().ok("passed"));
    for buffering in ["proxy_buffering on;", "proxy_buffering off;"] {
        let lines = (TIMEOUT, buffering, up.pass());
        goes_on(Nginx::new(engine).script("/", &holding("response_headers", &peer), lines), "GET");
    }
}

fn a_response_of_nginx_itself_is_not_given_up(engine: Engine) {
    let peer = peer();
    let script = holding("response_headers", &peer);
    goes_on(Nginx::new(engine).script("/", &script, (TIMEOUT, "return 200 passed;")), "GET");
    let file = Nginx::new(engine).script("/", &script, (TIMEOUT, "root html; index file;"));
    goes_on(file.file("html/file", "passed"), "GET");
}

fn a_body_is_not_given_up(engine: Engine) {
    let (peer, up) = (peer(), Upstream::new().ok("passed"));
    let script = holding("response_body", &peer);
    goes_on(Nginx::new(engine).script("/", &script, (TIMEOUT, "return 200 passed;")), "GET");
    for buffering in ["proxy_buffering on;", "proxy_buffering off;"] {
        goes_on(Nginx::new(engine).script("/", &script, (TIMEOUT, buffering, up.pass())), "GET");
    }
}

fn a_subrequest_is_not_given_up(engine: Engine) {
    let peer = peer();
    for callback in ["request_headers", "response_headers", "response_body"] {
        let nginx = Nginx::new(engine)
            .script("/part", &holding(callback, &peer), (TIMEOUT, "root html;"))
            .location("/", (TIMEOUT, "root html; ssi on; ssi_types *; index page;"))
            .file("html/part", "sse")
            .file("html/page", "pa<!--# include virtual=\"/part\" -->d");
        goes_on(nginx, "GET");
    }
}

fn over_http2_too(engine: Engine) {
    let (peer, up) = (peer(), Upstream::new().ok("passed"));
    for callback in ["request_headers", "response_headers", "response_body"] {
        let nginx = Nginx::new(engine).http2().script("/", &holding(callback, &peer), (TIMEOUT, up.pass()));
        let ng = nginx.start();
        ng.http2().get("/").response().status(200).body("passed");
        ng.log().has_times(1, "] came told").lacks("longer than");
    }
}

/// Then nobody is waited for any more.
fn a_hold_after_the_answer_is_given_up(engine: Engine) {
    let (peer, up) = (peer(), Upstream::new().ok("never"));
    let script = format!(
        "request_headers: {}; pause; request_body: pause; call_response: body call 0 9; say came {{it}}",
        get(&peer.name(), "/x")
    );
    let ng = Nginx::new(engine).script("/", &script, (TIMEOUT, up.pass())).start();
    ng.post("/", "the body").status(504);
    ng.log().in_order(&["] came told", "a filter held the request for longer than \"send_timeout\""]);
    up.saw_nothing();
}

/// Whoever holds the request, it is not ended while its answer may come.
fn the_call_of_another_filter_counts(engine: Engine) {
    let (peer, up) = (peer(), Upstream::new().ok("passed"));
    let first = format!("request_headers: {}; call_response: say came told", get(&peer.name(), "/x"));
    let second = "proxy_wasm script 'request_headers: pause';";
    let ng = Nginx::new(engine).script("/", &first, (second, TIMEOUT, up.pass())).start();
    let begun = Instant::now();
    ng.get("/").status(504);
    assert!(begun.elapsed() >= LATE, "{:?}", begun.elapsed());
    ng.log().in_order(&["] came told", "longer than \"send_timeout\""]);
}

/// The hold is over, and nginx's own limit is back.
fn a_client_that_takes_nothing_is_given_up_afterwards(engine: Engine) {
    let (peer, file) = (peer(), "x".repeat(20_000_000));
    let nginx = Nginx::new(engine).script("/", &holding("response_headers", &peer), (TIMEOUT, "root html;"));
    let ng = nginx.file("html/large", &file).start();
    let _client = ng.request("GET", "/large").begin();
    ng.log().wait("client timed out");
    ng.log().in_order(&["] came told", "client timed out"]).lacks("longer than");
}
