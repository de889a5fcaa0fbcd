//! A reload with a filter that does not start leaves what runs as it is.

use wasmx_t::{Engine, Nginx, Running, guest};

wasmx_t::on_every_engine![
    a_filter_that_refuses_is_not_taken,
    a_filter_that_traps_is_not_taken,
    a_filter_that_loops_is_not_taken,
    a_file_that_is_no_module_is_not_taken,
    a_file_that_is_gone_is_not_taken,
    a_mistake_in_a_directive_is_not_taken,
    after_a_refused_reload_a_good_one_is_taken,
];

fn with(engine: Engine) -> Running {
    let bytes = std::fs::read(guest("script")).expect("the guest's bytes");
    let nginx = Nginx::new(engine).wasm_directive("proxy_wasm_start_limit 100ms;").file("script.wasm", bytes);
    let path = nginx.prefix().join("script.wasm");
    let location = "proxy_wasm script 'configure: say fine; request_headers: count; reply 200 {it}';";
    nginx.wasm("script", path).location("/", location).start()
}

/// Tries to reload, waits for `complaint`, and sees that nothing changed.
fn is_refused(ng: &Running, complaint: &str) {
    let workers = ng.workers();
    ng.allow("[emerg]");
    let log = ng.log().from_here();
    ng.hangup();
    log.wait(complaint);
    ng.get("/").status(200).body("2");
    log.lacks("start worker process");
    assert_eq!(ng.workers(), workers, "the workers are the same");
}

fn refuses_configuration(engine: Engine, statement: &str) {
    let ng = with(engine);
    ng.get("/").status(200).body("1");
    ng.edit(|conf| conf.replace("configure: say fine", &format!("configure: {statement}")));
    is_refused(&ng, r#"failed initializing "script" filter (on_configure failure)"#);
}

fn a_filter_that_refuses_is_not_taken(engine: Engine) {
    refuses_configuration(engine, "refuse");
}

fn a_filter_that_traps_is_not_taken(engine: Engine) {
    refuses_configuration(engine, "trap unreachable");
}

fn a_filter_that_loops_is_not_taken(engine: Engine) {
    refuses_configuration(engine, "trap loop");
}

fn a_file_that_is_no_module_is_not_taken(engine: Engine) {
    let ng = with(engine);
    ng.get("/").status(200).body("1");
    ng.write("script.wasm", "no module");
    is_refused(&ng, r#"failed loading "script" module bytes: "#);
}

fn a_file_that_is_gone_is_not_taken(engine: Engine) {
    let ng = with(engine);
    ng.get("/").status(200).body("1");
    ng.edit(|conf| conf.replace("script.wasm", "gone.wasm"));
    is_refused(&ng, "gone.wasm\" failed (2: No such file or directory)");
}

fn a_mistake_in_a_directive_is_not_taken(engine: Engine) {
    let ng = with(engine);
    ng.get("/").status(200).body("1");
    ng.edit(|conf| conf.replace("location / {", "location / { proxy_wasm_isolation x;"));
    is_refused(&ng, r#"invalid isolation mode "x""#);
}

fn after_a_refused_reload_a_good_one_is_taken(engine: Engine) {
    let ng = with(engine);
    ng.get("/").status(200).body("1");
    ng.edit(|conf| conf.replace("configure: say fine", "configure: refuse"));
    is_refused(&ng, "on_configure failure");
    ng.edit(|conf| conf.replace("configure: refuse", "configure: say better"));
    ng.reload();
    ng.get("/").status(200).body("1");
}
