//! Functions that trap.

use super::{nginx, raw, teller};
use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    before_the_response_it_is_a_500,
    in_the_body_the_connection_is_reset,
    in_the_log_phase_nobody_sees_it,
    open_goes_on,
    open_keeps_the_other_calls_and_filters,
    a_failure_is_one_line_beside_the_trap,
    the_instance_is_replaced,
    a_function_that_loops_is_stopped,
    memory_is_limited,
    a_failure_shows_on_the_status_page,
];

fn functions() -> String {
    "(func (export \"trap\") (unreachable)) (func (export \"say\") (call $say 'said'))".to_owned() + &teller("tell")
}

fn before_the_response_it_is_a_500(engine: Engine) {
    let up = Upstream::new().ok("secret");
    for phase in ["rewrite", "access", "content", "header_filter"] {
        for isolation in ["none", "stream", "filter"] {
            let lines = (format!("wasm_call {phase} a trap; proxy_wasm_isolation {isolation};"), up.pass());
            let ng = nginx(engine, &functions()).location("/", lines).location("/fine", "wasm_call content a say;");
            let ng = ng.start();
            for _ in 0..2 {
                let response = ng.get("/");
                response.status(500);
                assert!(!response.text().contains("secret"), "{response}");
                ng.get("/fine").status(200).body("said\n");
            }
            if phase != "header_filter" {
                up.saw_nothing();
            }
        }
    }
}

fn in_the_body_the_connection_is_reset(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let counted = "(global $n (mut i32) (i32.const 0)) (func (export \"f\")
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (if (i32.eq (global.get $n) (i32.const 3)) (then (unreachable))))";
    let lines = ("wasm_call body_filter a f; proxy_buffering off;", up.pass());
    let ng = nginx(engine, counted).location("/", lines).start();
    let mut connection = ng.connect();
    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for piece in ["first ", "second ", "third ", "fourth "] {
        tap.send(piece);
        if piece == "first " {
            connection.until(piece);
        }
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
    drop(tap);
    let (rest, _) = connection.rest();
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(!rest.contains("fourth") && !rest.ends_with("0\r\n\r\n"), "{rest:?}");
    ng.log().has("\"a.f\" call failed, the request ends");
}

fn in_the_log_phase_nobody_sees_it(engine: Engine) {
    let lines = "wasm_call log a trap; wasm_call log a tell; return 200 fine;";
    let ng = nginx(engine, &functions()).location("/", lines).start();
    let mut connection = ng.connect();
    for count in 1..3 {
        connection.get("/").response().status(200).body("fine");
        ng.log().wait_for(count, "in tell");
    }
}

fn open_goes_on(engine: Engine) {
    let up = Upstream::new().ok("up");
    for phase in ["rewrite", "access", "content", "header_filter", "body_filter", "log"] {
        let lines = (format!("wasm_call {phase} a trap; proxy_wasm_failure_policy open;"), up.pass());
        let ng = nginx(engine, &functions()).location("/", lines).start();
        let mut connection = ng.connect();
        for count in 1..3 {
            connection.get("/").response().status(200).body("up");
            ng.log().wait_for(count, "\"a.trap\" call failed, the request goes on without it");
        }
    }
}

fn open_keeps_the_other_calls_and_filters(engine: Engine) {
    let filter = "proxy_wasm script 'request_headers: say filter; response_headers: add response x-filter 1';";
    let calls = ("wasm_call rewrite a trap;", filter, "wasm_call rewrite a trap; wasm_call rewrite a tell;");
    for isolation in ["none", "stream", "filter"] {
        let settings = format!("proxy_wasm_failure_policy open; proxy_wasm_isolation {isolation}; return 200 fine;");
        let ng = Nginx::new(engine).wat("a", raw(&functions())).wasm("script", wasmx_t::guest("script"));
        let ng = ng.location("/", (calls, settings)).start();
        ng.get("/").status(200).header("x-filter", "1").body("fine");
        ng.log().has_times(2, "\"a.trap\" call failed").in_order(&["] filter", "in tell"]);
    }
}

fn a_failure_is_one_line_beside_the_trap(engine: Engine) {
    for policy in ["closed", "open"] {
        let lines = format!("wasm_call access a trap; proxy_wasm_failure_policy {policy}; root html;");
        let ng = nginx(engine, &functions()).location("/", lines).file("html/file", "file").start();
        ng.get("/file");
        ng.stop();
        let errors = ng.log().lines_with("[error]");
        assert_eq!(errors.len(), 2, "{errors:#?}");
        assert!(errors[0].contains("unreachable") && errors[0].contains("module: \"a\""), "{errors:#?}");
        assert!(errors[1].contains("[wasm] \"a.trap\" call failed, the request "), "{errors:#?}");
    }
}

fn the_instance_is_replaced(engine: Engine) {
    let count = "(global $n (mut i32) (i32.const 48)) (func (export \"count\")
        (global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.store8 (i32.const 0) (global.get $n))
        (call $say (i32.const 0) (i32.const 1)))";
    let ng = nginx(engine, &(functions() + count))
        .location("/count", "wasm_call content a count;")
        .location("/trap", "wasm_call content a trap;")
        .start();
    for expected in ["1\n", "2\n"] {
        ng.get("/count").body(expected);
    }
    ng.get("/trap").status(500);
    ng.get("/count").status(200).body("1\n");
}

fn a_function_that_loops_is_stopped(engine: Engine) {
    let functions = "(func (export \"loop\") (loop $for (br $for)))";
    for isolation in ["none", "stream"] {
        let lines = format!("wasm_call access a loop; proxy_wasm_time_limit 50ms; proxy_wasm_isolation {isolation};");
        let ng = nginx(engine, functions).location("/", lines).start();
        ng.get("/").status(500);
        ng.log().has("call exceeded its time limit").has("\"a.loop\" call failed");
    }
}

fn memory_is_limited(engine: Engine) {
    let functions = "(func (export \"grow\") (drop (memory.grow (i32.const 1000)))
        (if (i32.lt_u (memory.size) (i32.const 1000)) (then (call $say 'refused')) (else (call $say 'grown'))))";
    let ng = nginx(engine, functions).wasm_directive("proxy_wasm_memory_limit 1m;");
    let ng = ng.location("/", "wasm_call content a grow;").start();
    ng.get("/").status(200).body("refused\n");
}

fn a_failure_shows_on_the_status_page(engine: Engine) {
    let ng = nginx(engine, &functions())
        .location("/trap", "wasm_call content a trap;")
        .location("/say", "wasm_call content a say;")
        .location("/status", "wasm_status;")
        .start();
    ng.get("/say").status(200);
    ng.get("/trap").status(500);
    let page = ng.get("/status").text();
    for (name, expected) in [("calls", " 2"), ("failures", " 1"), ("traps", " 1"), ("restarts", " 1")] {
        let name = format!("wasmx_filter_{name}_total{{");
        let line = page.lines().find(|line| line.starts_with(&name)).unwrap_or_default();
        assert!(line.contains("filter=\"a\"") && line.ends_with(expected), "{name} {line:?}\n{page}");
    }
    ng.get("/say").status(200).body("said\n");
}
