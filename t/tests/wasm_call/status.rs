//! `ngx_http_resp_get_status` and `ngx_http_resp_set_status`, and where what is not possible.

use super::nginx;
use wasmx_t::{Engine, Upstream};

wasmx_t::on_every_engine![
    the_status_is_seen,
    a_status_that_was_set_is_seen,
    it_is_that_of_what_is_said,
    it_changes_a_response,
    it_is_for_a_response_to_come,
    what_is_not_possible_is_a_trap_that_says_so,
    a_wrong_number_is_a_trap,
];

/// `get` logs the status, three digits; `set` makes it 201.
const STATUS: &str = "
  (func $digit (param $at i32) (param $value i32)
    (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10)))))
  (func (export \"get\")
    (call $digit (i32.const 8) (i32.div_u (call $status) (i32.const 100)))
    (call $digit (i32.const 9) (i32.div_u (call $status) (i32.const 10)))
    (call $digit (i32.const 10) (call $status))
    (call $log (i32.const 7) (i32.const 0) (i32.const 11)))
  (data (i32.const 0) \"status: \")
  (func (export \"set\") (call $set_status (i32.const 201)))
  (func (export \"say\") (call $say 'said'))
  (func (export \"plain\") (call $answer (i32.const 403) (i32.const 0) (i32.const 0) 'no'))
  (func (export \"wrong\") (call $set_status (i32.const 42)))";

fn the_status_is_seen(engine: Engine) {
    let up = Upstream::new().ok("up");
    for (phase, status) in [
        ("rewrite", "000"),
        ("access", "000"),
        ("content", "000"),
        ("header_filter", "200"),
        ("body_filter", "200"),
        ("log", "200"),
    ] {
        let ng = nginx(engine, STATUS).location("/", (format!("wasm_call {phase} a get;"), up.pass())).start();
        ng.get("/").status(200).body("up");
        let line = ng.log().wait("status: ");
        assert!(line.contains(&format!("[wasm] status: {status}")), "{phase}: {line}");
    }
    let ng = nginx(engine, STATUS).location("/", "wasm_call log a get; root html;").start();
    ng.get("/none").status(404);
    ng.log().wait("status: 404");
}

fn a_status_that_was_set_is_seen(engine: Engine) {
    let set = "wasm_call rewrite a get; wasm_call rewrite a set; wasm_call rewrite a get; wasm_call content a get;";
    let ng = nginx(engine, STATUS).location("/", (set, "wasm_call content a say;")).start();
    ng.get("/").status(201).reason("Created").body("said\n");
    ng.log().in_order(&["status: 000", "status: 201", "status: 201"]);
}

fn it_is_that_of_what_is_said(engine: Engine) {
    for phase in ["rewrite", "access", "content"] {
        let calls = |names: [&str; 2]| names.map(|name| format!("wasm_call {phase} a {name};")).concat();
        let ng = nginx(engine, STATUS)
            .location("/before", calls(["set", "say"]))
            .location("/after", calls(["say", "set"]))
            .location("/answer", calls(["set", "plain"]))
            .start();
        ng.get("/before").status(201).body("said\n");
        ng.get("/after").status(201).body("said\n");
        ng.get("/answer").status(403).body("no");
    }
}

fn it_changes_a_response(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = nginx(engine, STATUS)
        .location("/up", ("wasm_call header_filter a set; wasm_call log a get;", up.pass()))
        .location("/", "wasm_call header_filter a set; root html;")
        .start();
    ng.get("/up").status(201).reason("Created").body("up");
    ng.log().wait("status: 201");
    ng.get("/none").status(201);
}

fn it_is_for_a_response_to_come(engine: Engine) {
    let up = Upstream::new().ok("up");
    let ng = nginx(engine, STATUS)
        .location("/up", ("wasm_call access a set;", up.pass()))
        .location("/", "wasm_call access a set; root html;")
        .file("html/file", "file")
        .start();
    // An upstream brings its own.
    ng.get("/up").status(200).body("up");
    ng.get("/file").status(201).body("file");
    ng.get("/none").status(404);
}

fn what_is_not_possible_is_a_trap_that_says_so(engine: Engine) {
    let up = Upstream::new().ok("up");
    let table = [
        ("body_filter", "say", "ngx_http_resp_say"),
        ("body_filter", "set", "ngx_http_resp_set_status"),
        ("body_filter", "plain", "ngx_http_local_response"),
        ("log", "say", "ngx_http_resp_say"),
        ("log", "set", "ngx_http_resp_set_status"),
        ("log", "plain", "ngx_http_local_response"),
    ];
    for (phase, function, name) in table {
        let lines = (format!("wasm_call {phase} a {function}; proxy_wasm_failure_policy open;"), up.pass());
        let ng = nginx(engine, STATUS).location("/", lines).start();
        ng.get("/").status(200).body("up");
        let line = ng.log().wait(&format!("[wasm] {name}: not possible in phase \"{phase}\""));
        assert!(line.contains("[error]") && line.contains("<module: \"a\", vm: \"main\", runtime:"), "{line}");
    }
}

fn a_wrong_number_is_a_trap(engine: Engine) {
    let ng = nginx(engine, STATUS).location("/", "wasm_call content a wrong;").start();
    ng.get("/").status(500);
    ng.log().has("[wasm] ngx_http_resp_set_status: invalid status 42");
}
