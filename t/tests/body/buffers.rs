//! The buffer calls themselves: clamped ranges, and what they answer when something is wrong.

use wasmx_t::{Engine, Nginx, Upstream};

wasmx_t::on_every_engine![
    ranges_are_clamped,
    a_buffer_that_is_absent,
    a_buffer_that_nobody_has,
    configurations_are_buffers,
    configurations_are_not_writable,
];

fn ranges_are_clamped(engine: Engine) {
    let up = Upstream::new();
    let script = "request_body: body request 3 0xffffffff; body request 5 1; body request 100 1; body request 2 0; \
                  body request 0xffffffff 0xffffffff";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.post("/", "hello").status(200);
    ng.log()
        .has(r#"body request 3 0xffffffff -> 0 "lo""#)
        .has(r#"body request 5 1 -> 0 """#)
        .has(r#"body request 100 1 -> 0 """#)
        .has(r#"body request 2 0 -> 0 """#)
        .has(r#"body request 0xffffffff 0xffffffff -> 0 """#);
}

fn a_buffer_that_is_absent(engine: Engine) {
    let script = "request_headers: body request 0 1; body response 0 1; body 4 0 1; body 8 0 1";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("body request 0 1 -> 1").has("body response 0 1 -> 1").has("body 4 0 1 -> 1").has("body 8 0 1 -> 1");
}

fn a_buffer_that_nobody_has(engine: Engine) {
    let script = "request_headers: body 9 0 1; write 9 0 1 x; body 0xffffffff 0 1";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("body 9 0 1 -> 2").has("write 9 0 1 x -> 2").has("body 0xffffffff 0 1 -> 2");
}

fn configurations_are_buffers(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_with("script", wasmx_t::guest("script"), "'vm_start: body vm 0 8; say {size}'")
        .location("/", "proxy_wasm script 'configure: body plugin 0 9; say {size}'; return 200;")
        .start();
    ng.get("/").status(200);
    ng.log().has(r#"body vm 0 8 -> 0 "vm_start""#).has("] 33").has(r#"body plugin 0 9 -> 0 "configure""#).has("] 38");
}

fn configurations_are_not_writable(engine: Engine) {
    let script = "configure: write plugin 0 1 x; write vm 0 1 x; request_headers: write plugin 0 1 x; write 4 0 1 x; \
                  write 8 0 1 x";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has("write plugin 0 1 x -> 2").has("write vm 0 1 x -> 2").lacks("x -> 0");
    ng.log().has("write 4 0 1 x -> 2").has("write 8 0 1 x -> 2");
}
