//! Connections that are used again.

use std::time::Instant;

use wasmx_t::{Answer, Engine, Gate, Nginx, Peer, Running};

use crate::{get, telling};

wasmx_t::on_every_engine![
    a_connection_is_used_again,
    roots_and_requests_share,
    none_is_kept_when_told_so,
    no_more_are_kept_than_allowed,
    none_is_kept_longer_than_allowed,
    one_that_the_peer_closes_is_not_used_again,
    one_that_the_peer_closes_when_it_is_idle,
    one_that_the_peer_closes_when_it_is_used,
    one_that_is_closed_when_a_post_uses_it,
    all_that_the_peer_closes_at_once,
    one_that_says_more_than_was_asked,
    each_worker_has_its_own,
    idle_ones_do_not_hold_up_the_end,
    a_reload_closes_them,
];

fn with(engine: Engine, peer: &Peer, http: &str) -> Running {
    telling(Nginx::new(engine).http(http), "/", &get(&peer.name(), "/x"), "").start()
}

fn a_connection_is_used_again(engine: Engine) {
    let peer = Peer::new().ok("again");
    let ng = with(engine, &peer, "");
    for _ in 0..20 {
        ng.get("/").status(200).body("again");
    }
    assert_eq!(peer.saw_times(20).accepted(), 1);
    peer.asked().iter().for_each(|asked| assert_ne!(asked.values("connection"), ["close"]));
}

fn roots_and_requests_share(engine: Engine) {
    let peer = Peer::new().ok("shared");
    let tick = format!("configure: tick 5; tick: once {}; call_response: say ticked", get(&peer.name(), "/tick"));
    let nginx = telling(Nginx::new(engine), "/", &get(&peer.name(), "/x"), "");
    let ng = nginx.script("/tick", &tick, "").start();
    ng.log().wait("] ticked");
    ng.get("/").status(200).body("shared");
    assert_eq!(peer.accepted(), 1);
}

fn none_is_kept_when_told_so(engine: Engine) {
    let peer = Peer::new().ok("once");
    let ng = with(engine, &peer, "proxy_wasm_dispatch_keepalive 0;");
    for count in 1..4 {
        ng.get("/").status(200).body("once");
        peer.wait_open(0);
        assert_eq!(peer.accepted(), count);
    }
}

/// A peer that answers when so many requests have come, so that none of them shares a connection.
fn together(count: usize) -> Peer {
    let gate = Gate::new();
    let came = std::sync::atomic::AtomicUsize::new(0);
    Peer::new().answers(move |_| {
        if came.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == count {
            gate.open();
        }
        gate.pass();
        Answer::ok("")
    })
}

fn no_more_are_kept_than_allowed(engine: Engine) {
    let peer = together(5);
    let calls = vec![get(&peer.name(), "/x"); 5].join("; ");
    let script = format!("request_headers: {calls}; pause");
    let ng = Nginx::new(engine).script("/", &script, "proxy_wasm_dispatch_keepalive 2; return 200;").start();
    ng.get("/").status(200);
    assert_eq!(peer.saw_times(5).peak(), 5);
    peer.wait_open(2);
    // Those two serve on, and three more come and go.
    ng.get("/").status(200);
    peer.wait_open(2);
    assert_eq!(peer.accepted(), 8);
}

fn none_is_kept_longer_than_allowed(engine: Engine) {
    let peer = Peer::new().ok("for a while");
    let ng = with(engine, &peer, "proxy_wasm_dispatch_keepalive 8 50ms;");
    ng.get("/").status(200);
    peer.wait_open(0);
    ng.get("/").status(200);
    assert_eq!(peer.accepted(), 2);
    ng.log().lacks("dispatch failed");
}

fn one_that_the_peer_closes_is_not_used_again(engine: Engine) {
    let peer = Peer::new().always(Answer::with("200 OK", &[("Connection", "close")], "last").then_wait());
    let ng = with(engine, &peer, "");
    for count in 1..4 {
        ng.get("/").status(200).body("last");
        // It was us who closed it.
        peer.wait_open(0);
        assert_eq!(peer.accepted(), count);
    }
}

fn one_that_the_peer_closes_when_it_is_idle(engine: Engine) {
    let peer = Peer::new().ok("here");
    let ng = with(engine, &peer, "");
    for count in 1..4 {
        ng.get("/").status(200).body("here");
        peer.hang_up();
        peer.wait_open(0);
        assert_eq!(peer.accepted(), count);
    }
    ng.log().lacks("dispatch failed");
}

fn one_that_the_peer_closes_when_it_is_used(engine: Engine) {
    let peer = Peer::new().answers(|asked| if asked.nth == 1 { Answer::ok("first") } else { Answer::close() });
    let ng = with(engine, &peer, "");
    for _ in 0..4 {
        ng.get("/").status(200).body("first");
    }
    ng.log().lacks("dispatch failed");
}

/// It may have been heard, so it is not sent again; there is one callback in any case.
fn one_that_is_closed_when_a_post_uses_it(engine: Engine) {
    let peer = Peer::new().answers(|asked| if asked.nth == 1 { Answer::ok("first") } else { Answer::close() });
    let call = format!("call {} 10000 :method=POST :path=/x :authority=a | body", peer.name());
    let script = format!("request_headers: {call}; pause; call_response: say came");
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    for count in 1..5 {
        ng.get("/").status(200);
        ng.log().has_times(count, "] came");
    }
    assert_eq!(peer.asked().len(), 4, "each was sent once");
}

fn all_that_the_peer_closes_at_once(engine: Engine) {
    const COUNT: usize = 10;
    let peer = together(COUNT);
    let calls = vec![get(&peer.name(), "/x"); COUNT].join("; ");
    let script = format!("request_headers: {calls}; pause; call_response: failed say no");
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    for _ in 0..3 {
        ng.get("/").status(200);
        peer.hang_up();
        peer.wait_open(0);
    }
    peer.saw_times(3 * COUNT);
    ng.log().lacks("] no");
}

fn one_that_says_more_than_was_asked(engine: Engine) {
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine".to_owned()
        + "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    let peer = Peer::new().always(Answer::raw(twice));
    let ng = with(engine, &peer, "");
    for _ in 0..4 {
        ng.get("/").status(200).body("mine");
    }
}

fn each_worker_has_its_own(engine: Engine) {
    let peer = Peer::new();
    let script =
        format!("configure: tick 5; tick: count; {}; call_response: nth 20 say twenty", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine).workers(2).script("/", &script, "proxy_wasm_dispatch_keepalive 1;").start();
    ng.log().wait_for(2, "] twenty");
    assert!(peer.accepted() >= 2);
}

fn idle_ones_do_not_hold_up_the_end(engine: Engine) {
    let peer = Peer::new().ok("kept");
    let ng = with(engine, &peer, "");
    ng.get("/").status(200);
    let begun = Instant::now();
    ng.stop();
    assert!(begun.elapsed() < wasmx_t::patience() / 2, "{:?}", begun.elapsed());
    peer.wait_open(0);
}

fn a_reload_closes_them(engine: Engine) {
    let peer = Peer::new().ok("kept");
    let ng = with(engine, &peer, "");
    ng.get("/").status(200);
    peer.wait_open(1);
    ng.reload();
    peer.wait_open(0);
    ng.get("/").status(200).body("kept");
}
