//! As Rust's standard library uses it.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    standard_output_goes_to_the_log_at_info,
    standard_error_goes_to_the_log_at_error,
    a_long_line_and_an_empty_one,
    there_are_no_arguments,
    there_is_no_environment,
    there_are_no_files,
    leaving_is_a_trap_and_not_an_exit,
];

fn standard_output_goes_to_the_log_at_info(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/", "configure: print at start; request_headers: print hello", "return 200;")
        .start();
    ng.get("/").status(200);
    let line = ng.log().wait("] hello");
    assert!(line.contains("[info]") && line.contains(r#"[proxy-wasm]["script" #1] hello"#), "{line}");
    assert!(line.contains("client: 127.0.0.1"), "{line}");
    ng.log().has(r#"[proxy-wasm]["script" #1] at start"#);
}

fn standard_error_goes_to_the_log_at_error(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: eprint hello", "return 200;").start();
    ng.get("/").status(200);
    let line = ng.log().wait("] hello");
    assert!(line.contains("[error]") && line.contains(r#"[proxy-wasm]["script" #1] hello"#), "{line}");
}

fn a_long_line_and_an_empty_one(engine: Engine) {
    let long = "0123456789".repeat(300);
    let ng = Nginx::new(engine)
        .script("/", &format!("request_headers: print {long}; print ; print after"), "return 200;")
        .start();
    ng.get("/").status(200);
    ng.log().wait("] after");
    // nginx's own lines end at 2 KB.
    ng.log().has(&format!("] {}", &long[..1000]));
}

fn there_are_no_arguments(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: args; reply 200 {it}", "").start();
    ng.get("/").status(200).body("[]");
}

fn there_is_no_environment(engine: Engine) {
    let nginx = Nginx::new(engine).env("HIDDEN", "1").main("env HIDDEN;");
    let ng = nginx.script("/", "request_headers: env HIDDEN; env PATH; reply 200 {it}", "").start();
    ng.get("/").body("environment variable not found");
    ng.log().lacks(r#"env HIDDEN -> 0 "1""#);
}

fn there_are_no_files(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: open /etc/passwd; reply 200 {it}", "").start();
    let response = ng.get("/");
    response.status(200).body_has("Some(");
}

fn leaving_is_a_trap_and_not_an_exit(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: when x-boom trap exit; reply 200 fine", "").start();
    let workers = ng.workers();
    ng.request("GET", "/").header("x-boom", "1").send().status(500);
    ng.get("/").status(200).body("fine");
    assert_eq!(ng.workers(), workers);
}
