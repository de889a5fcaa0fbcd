//! What filters say.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    each_level_has_its_counterpart,
    a_line_has_the_filter_and_the_number_of_its_root,
    a_line_of_a_request_has_the_request,
    a_line_of_the_root_has_none,
    a_line_of_the_start_has_the_module,
    a_level_that_nobody_has_is_a_bad_argument,
    the_level_is_that_of_the_log,
    bytes_that_are_no_text_do_no_harm,
];

fn each_level_has_its_counterpart(engine: Engine) {
    let script = "request_headers: log 2 level two; log 3 level three; log 4 level four; log 5 level five";
    let ng = Nginx::new(engine).script("/", script, "return 200;").allow("level five").start();
    ng.get("/").status(200);
    for (level, text) in [("info", "two"), ("warn", "three"), ("error", "four"), ("crit", "five")] {
        let line = ng.log().wait(&format!("] level {text}"));
        assert!(line.contains(&format!("[{level}]")), "{line}");
    }
}

fn a_line_has_the_filter_and_the_number_of_its_root(engine: Engine) {
    let nginx = Nginx::new(engine).wasm("my-filter", wasmx_t::guest("script"));
    let ng = nginx.location("/", "proxy_wasm my-filter 'request_headers: say hello'; return 200;").start();
    ng.get("/").status(200);
    ng.log().has(r#"[proxy-wasm]["my-filter" #1] hello"#);
}

fn a_line_of_a_request_has_the_request(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: say hello", "return 200;").start();
    ng.get("/a/path").status(200);
    let line = ng.log().wait("] hello");
    assert!(line.contains(r#", client: 127.0.0.1, server: "#), "{line}");
    assert!(line.contains(r#"request: "GET /a/path HTTP/1.1""#), "{line}");
}

fn a_line_of_the_start_has_the_module(engine: Engine) {
    for entry in ["_initialize", "_start"] {
        let text = wasmx_t::filter(&format!(
            r#"(data (i32.const 0) "starting")
  (func (export "{entry}") (drop (call $log (i32.const 2) (i32.const 0) (i32.const 8))))"#
        ));
        let ng = Nginx::new(engine).wat("mine", text).location("/", "proxy_wasm mine; return 200;").start();
        ng.get("/").status(200);
        ng.log().has(r#"[proxy-wasm]["mine"] starting"#);
    }
}

fn a_line_of_the_root_has_none(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "configure: tick 10; tick: say ticked", "return 200;").start();
    let line = ng.log().wait("ticked");
    assert!(line.ends_with("ticked"), "{line}");
}

fn a_level_that_nobody_has_is_a_bad_argument(engine: Engine) {
    let script = "request_headers: log 6 too high; log 0xffffffff far too high";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("log 6 too high -> 2").has("log 0xffffffff far too high -> 2");
}

fn the_level_is_that_of_the_log(engine: Engine) {
    for (level, number) in [("info", "2"), ("warn", "3"), ("error", "4"), ("crit", "5")] {
        let script = "request_headers: log_level; reply 200 {it}";
        let ng = Nginx::new(engine)
            .script("/", script, "")
            .log_level("notice")
            .http(format!("error_log logs/http.log {level};"));
        ng.start().get("/").status(200).body(number);
    }
}

fn bytes_that_are_no_text_do_no_harm(engine: Engine) {
    let text = wasmx_t::filter(
        r#"(data (i32.const 0) "\ff\fe\00\01 seen")
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 9)))
    (i32.const 0))"#,
    );
    let ng = Nginx::new(engine).wat("a", text).location("/", "proxy_wasm a; return 200;").start();
    ng.get("/").status(200);
    ng.log().wait(" seen");
}
