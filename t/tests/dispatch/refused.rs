//! Calls that are refused at once: a status, a log line, no callback.

use wasmx_t::{Engine, Nginx, Peer};

use crate::get;

wasmx_t::on_every_engine![
    what_a_call_needs,
    names_that_cannot_be_one,
    maps_that_are_none,
    values_that_would_end_a_line,
    errors_are_not_logged_when_told_so,
    the_request_goes_on,
];

const BAD_ARGUMENT: u32 = 2;

/// Asserts that each of these statements is refused with a status, and for what reason.
fn refuses(nginx: Nginx, peer: &Peer, statements: &[(String, u32, &str)]) {
    let all: Vec<_> = statements.iter().map(|(statement, ..)| statement.as_str()).collect();
    let script = format!("request_headers: {}; reply 200 done; call_response: say came", all.join("; "));
    let ng = nginx.script("/", &script, "").start();
    ng.get("/").status(200).body("done");
    for (statement, status, reason) in statements {
        let log = ng.log();
        log.has(&format!("{} -> {status}", statement.get(..200).unwrap_or(statement)));
        log.has(&format!("[wasm] dispatch failed: {reason}"));
    }
    ng.log().has_times(statements.len(), "dispatch failed: ");
    // What was sent before a call that is answered would have come before it.
    ng.get("/");
    ng.log().lacks("came");
    peer.saw_times(0);
}

fn what_a_call_needs(engine: Engine) {
    let peer = Peer::new();
    let name = peer.name();
    let nginx = Nginx::new(engine).http(format!("upstream service {{ server {name}; }}"));
    let statements = [
        (format!("call {name} 1000 :path=/x :authority=a"), BAD_ARGUMENT, "no :method"),
        (format!("call {name} 1000 :method= :path=/x :authority=b"), BAD_ARGUMENT, ""),
        (format!("call {name} 1000 :method=GET :authority=a"), BAD_ARGUMENT, "no :path"),
        (format!("call {name} 1000 :method=GET :path= :authority=c"), BAD_ARGUMENT, ""),
        ("call service 1000 :method=GET :path=/x".to_owned(), BAD_ARGUMENT, "no :authority"),
    ];
    refuses(nginx, &peer, &statements);
}

fn names_that_cannot_be_one(engine: Engine) {
    let peer = Peer::new();
    let long = "a".repeat(1000);
    let names = ["-", "%00", "a%00b", "a:0", "a:70000", "a:b", ":80", "unix:", "[::1", "a%20b", "a/b", "a%0Ab"];
    let mut statements: Vec<_> = names.iter().map(|name| (get(name, "/x"), BAD_ARGUMENT, "")).collect();
    statements.push((get(&long, "/x"), BAD_ARGUMENT, ""));
    refuses(Nginx::new(engine), &peer, &statements);
}

fn maps_that_are_none(engine: Engine) {
    let peer = Peer::new();
    let name = peer.name();
    let raw = |headers: &str, rest: &str| format!("call_raw {name} 1000 {headers}{rest}");
    let one = "%01%00%00%00%01%00%00%00%01%00%00%00";
    let statements = [
        raw("%01", ""),
        raw("%01%00%00%00", ""),
        raw("%ff%ff%ff%ff", ""),
        raw(&format!("{one}a%00b"), ""),
        raw(&format!("{one}a%00b%01"), ""),
        raw(&format!("{one}a%00b%00more"), ""),
        raw("%01%00%00%00%ff%ff%ff%ff%01%00%00%00a%00b%00", ""),
    ];
    let script = format!("request_headers: {}; reply 200 done", statements.join("; "));
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("done");
    // SDKs know no other status of a call that says that its headers are wrong.
    statements.iter().for_each(|statement| {
        ng.log().has(&format!("{statement} -> {BAD_ARGUMENT}"));
    });
    peer.saw_times(0);
}

fn values_that_would_end_a_line(engine: Engine) {
    let peer = Peer::new();
    let name = peer.name();
    let call = |headers: &str, rest: &str| (format!("call {name} 1000 {headers}{rest}"), BAD_ARGUMENT, "");
    let good = ":method=GET :path=/x :authority=a";
    let statements = [
        call(good, " x-a=1%0d%0ax-b:2"),
        call(good, " x-a%0d%0ax-b=2"),
        call(good, " x%20a=2"),
        call(good, " =2"),
        call(good, " x-nul=%00"),
        call(":method=GET%20/y :path=/x :authority=a", ""),
        call(":method=GET :path=/x%20HTTP/1.1%0d%0ax:%20y :authority=a", ""),
        call(":method=GET :path=/x :authority=a%0d%0ax:%20y", ""),
        call(":method=POST :path=/x :authority=a", " | body | x-t=1%0d%0ax-b:2"),
    ];
    refuses(Nginx::new(engine), &peer, &statements);
}

fn errors_are_not_logged_when_told_so(engine: Engine) {
    let script = "request_headers: call a 1000 :path=/x; reply 200 done";
    let ng = Nginx::new(engine).script("/", script, "proxy_wasm_log_dispatch_errors off;").start();
    ng.get("/").status(200);
    ng.log().has("call a 1000 :path=/x -> 2").lacks("dispatch failed");
}

fn the_request_goes_on(engine: Engine) {
    let script = "request_headers: call a 1000 :path=/x; call_response: say came";
    let ng = Nginx::new(engine).script("/", script, "return 200 on;").start();
    ng.get("/").status(200).body("on");
    ng.log().has_times(1, "dispatch failed: no :method").lacks("came");
}
