//! Requests that wait for calls.

use wasmx_t::{Answer, Engine, Gate, Nginx, Peer, Upstream};

use crate::get;

wasmx_t::on_every_engine![
    request_headers_wait,
    a_request_body_waits,
    response_headers_wait,
    a_response_body_waits,
    two_calls_at_the_same_time,
    a_call_after_a_call,
    a_chain_of_calls_through_all_callbacks,
    the_last_of_several_answers_lets_go,
    many_calls_at_the_same_time,
    a_filter_that_answers_is_not_let_go,
    a_filter_that_goes_on_by_itself_is_not_let_go_twice,
    a_filter_that_goes_on_before_the_last_answer,
    a_request_that_does_not_wait,
    two_filters_of_a_chain_wait,
    other_requests_go_on,
    a_filter_may_pause_again,
];

fn request_headers_wait(engine: Engine) {
    let (peer, up) = (Peer::new().ok("told"), Upstream::new().ok("passed"));
    let script = format!(
        "request_headers: {}; pause; call_response: body call 0 9; add request x-told {{it}}",
        get(&peer.name(), "/x")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.get("/").status(200).body("passed");
    up.saw_times(1).saw(|req| {
        req.header("x-told", "told");
    });
    // With a body, too, which is read while the request waits, or after it.
    ng.post("/", "the body").status(200).body("passed");
    up.saw_times(2).saw(|req| {
        req.header("x-told", "told").body("the body");
    });
}

fn a_request_body_waits(engine: Engine) {
    let (peer, up) = (Peer::new().ok("told"), Upstream::new().ok("passed"));
    let script = format!(
        "request_body: {}; pause; call_response: body call 0 9; add request x-told {{it}}",
        get(&peer.name(), "/x")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.post("/", "the body").status(200).body("passed");
    up.saw_times(1).saw(|req| {
        req.header("x-told", "told").body("the body");
    });
}

fn response_headers_wait(engine: Engine) {
    let (peer, up) = (Peer::new().ok("told"), Upstream::new().ok("passed"));
    let script = format!(
        "response_headers: {}; pause; call_response: body call 0 9; add response x-told {{it}}",
        get(&peer.name(), "/x")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.get("/").status(200).header("x-told", "told").body("passed");
    // A response of nginx's own.
    let ng = Nginx::new(engine).script("/", &script, "return 200 own;").start();
    ng.get("/").status(200).header("x-told", "told").body("own");
}

fn a_response_body_waits(engine: Engine) {
    let (peer, up) = (Peer::new().ok("told"), Upstream::new().ok("passed"));
    let script =
        format!("response_body: at_end once {}; at_end pause; call_response: say came", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.get("/").status(200).body("passed");
    ng.log().has_times(1, "] came");
}

fn two_calls_at_the_same_time(engine: Engine) {
    // Each is answered when the other one has come.
    let gates = [Gate::new(), Gate::new()];
    let peer = Peer::new().answers(move |asked| {
        let own = usize::from(asked.target() == "/b");
        gates[own].open();
        gates[1 - own].pass();
        Answer::ok(asked.target())
    });
    let name = peer.name();
    let script = format!(
        "request_headers: {}; {}; pause; call_response: body call 0 9; add response x-from {{call}}{{it}}",
        get(&name, "/a"),
        get(&name, "/b")
    );
    let ng = Nginx::new(engine).script("/", &script, "return 200 on;").start();
    let response = ng.get("/");
    response.status(200).body("on");
    let mut from: Vec<_> = response.all_headers().iter().filter(|(name, _)| name == "x-from").collect();
    from.sort();
    assert_eq!(from.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["/a/a", "/b/b"]);
    assert_eq!(peer.saw_times(2).accepted(), 2);
}

fn a_call_after_a_call(engine: Engine) {
    let peer = Peer::new().answers(|asked| Answer::ok(format!("of {}", asked.target())));
    let name = peer.name();
    let script = format!(
        "request_headers: {}; pause; call_response: of /a {}; of /b {}; of /c body call 0 9; of /c add response x-last {{it}}",
        get(&name, "/a"),
        get(&name, "/b"),
        get(&name, "/c")
    );
    let ng = Nginx::new(engine).script("/", &script, "return 200 on;").start();
    for _ in 0..3 {
        ng.get("/").status(200).header("x-last", "of /c").body("on");
    }
    assert_eq!(peer.saw_times(9).accepted(), 1);
}

fn a_chain_of_calls_through_all_callbacks(engine: Engine) {
    let (peer, up) = (Peer::new(), Upstream::new().ok("passed"));
    let name = peer.name();
    let call = |path: &str| get(&name, path);
    let script = format!(
        "request_headers: {}; pause; request_body: {}; pause; response_headers: {}; pause; response_body: at_end {}; at_end pause
         call_response: say came {{call}}",
        call("/1"),
        call("/2"),
        call("/3"),
        call("/4")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    // The last callback comes again after its pause at the most.
    ng.post("/", "the body").status(200).body("passed");
    ng.log().in_order(&["came /1", "came /2", "came /3", "came /4"]);
    up.saw_times(1);
}

fn the_last_of_several_answers_lets_go(engine: Engine) {
    let (gate, up) = (Gate::new(), Upstream::new().ok("passed"));
    let held = gate.clone();
    let peer = Peer::new().answers(move |asked| {
        if asked.target() == "/late" {
            held.pass();
        }
        Answer::ok("")
    });
    let name = peer.name();
    let script = format!(
        "request_headers: {}; {}; pause; call_response: say came {{call}}",
        get(&name, "/late"),
        get(&name, "/soon")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    let mut connection = ng.request("GET", "/").begin();
    ng.log().wait("came /soon");
    // Another request goes all the way meanwhile.
    gate.open();
    connection.response().status(200).body("passed");
    ng.log().in_order(&["came /soon", "came /late"]);
    up.saw_times(1);
}

fn many_calls_at_the_same_time(engine: Engine) {
    const COUNT: usize = 50;
    let peer = Peer::new();
    let calls: String = (0..COUNT).map(|number| get(&peer.name(), &format!("/{number}")) + "; ").collect();
    // nginx's own parameters end at 4 KB.
    let nginx = Nginx::new(engine)
        .file("script", format!("request_headers: {calls} pause; call_response: count; nth {COUNT} say all"));
    let ng = nginx
        .wasm("script", wasmx_t::guest("script"))
        .location("/", "proxy_wasm script config_file=script; return 200 on;")
        .start();
    ng.get("/").status(200).body("on");
    ng.log().has("] all");
    peer.saw_times(COUNT);
}

fn a_filter_that_answers_is_not_let_go(engine: Engine) {
    let (peer, up) = (Peer::new(), Upstream::new());
    let script = format!("request_headers: {}; pause; call_response: reply 403 no", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.get("/").status(403).body("no");
    up.saw_nothing();
}

fn a_filter_that_goes_on_by_itself_is_not_let_go_twice(engine: Engine) {
    let (peer, up) = (Peer::new(), Upstream::new().ok("passed"));
    let script = format!(
        "request_headers: {}; pause; call_response: continue 0; response_headers: say back",
        get(&peer.name(), "/x")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.get("/").status(200).body("passed");
    up.saw_times(1);
    ng.log().has_times(1, "] back");
}

fn a_filter_that_goes_on_before_the_last_answer(engine: Engine) {
    let (gate, up) = (Gate::new(), Upstream::new());
    let held = gate.clone();
    let peer = Peer::new().answers(move |asked| {
        if asked.target() == "/late" {
            held.pass();
        }
        Answer::ok("")
    });
    let (name, tap) = (peer.name(), up.tap());
    let script = format!(
        "request_headers: {}; {}; pause; call_response: of /soon continue 0; say came {{call}}",
        get(&name, "/soon"),
        get(&name, "/late")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    let mut connection = ng.request("GET", "/").begin();
    up.saw(|_| ());
    gate.open();
    ng.log().wait("came /late");
    tap.send("passed");
    drop(tap);
    connection.response().status(200).body("passed");
    up.saw_times(1);
}

fn a_request_that_does_not_wait(engine: Engine) {
    let (peer, up) = (Peer::new().ok("told"), Upstream::new());
    let tap = up.tap();
    let script = format!("request_headers: {}; call_response: say came", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    let mut connection = ng.request("GET", "/").begin();
    ng.log().wait("] came");
    tap.send("passed");
    drop(tap);
    connection.response().status(200).body("passed");
}

fn two_filters_of_a_chain_wait(engine: Engine) {
    let (peer, up) = (Peer::new().answers(|asked| Answer::ok(asked.target())), Upstream::new().ok("passed"));
    let name = peer.name();
    let script = |number: u32| {
        format!(
            "request_headers: {}; pause; response_headers: {}; pause; call_response: say came {{call}}",
            get(&name, &format!("/request{number}")),
            get(&name, &format!("/response{number}"))
        )
    };
    let second = format!("proxy_wasm script '{}';", script(2));
    let ng = Nginx::new(engine).script("/", &script(1), (second, up.pass())).start();
    ng.get("/").status(200).body("passed");
    let log = ng.log();
    log.in_order(&["came /request1", "came /request2", "came /response1", "came /response2"]);
    peer.saw_times(4);
}

fn other_requests_go_on(engine: Engine) {
    let gate = Gate::new();
    let held = gate.clone();
    let peer = Peer::new().answers(move |asked| {
        if asked.nth == 1 && asked.connection == 1 {
            held.pass();
        }
        Answer::ok("told")
    });
    let script =
        format!("request_headers: {}; pause; call_response: body call 0 9; reply 200 {{it}}", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine).script("/", &script, "").start();
    let mut first = ng.request("GET", "/").begin();
    peer.saw("/x");
    for _ in 0..3 {
        ng.get("/").status(200).body("told");
    }
    gate.open();
    first.response().status(200).body("told");
}

fn a_filter_may_pause_again(engine: Engine) {
    let (peer, up) = (Peer::new(), Upstream::new().ok("passed"));
    let script = format!(
        "configure: tick 10; request_headers: {}; pause; request_body: say the body; pause; tick: each continue 0",
        get(&peer.name(), "/x")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.post("/", "the body").status(200).body("passed");
    up.saw_times(1);
}
