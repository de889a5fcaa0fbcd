//! Root contexts: one for each `proxy_wasm` in each worker.

use wasmx_t::{Engine, Nginx, guest};

wasmx_t::on_every_engine![
    a_root_starts_in_order_in_every_worker,
    each_filter_has_a_root_of_its_own,
    a_new_worker_starts_its_roots,
    a_root_knows_its_configurations,
    a_worker_starts_filters_before_it_serves,
    one_process_without_a_master_serves,
];

fn a_root_starts_in_order_in_every_worker(engine: Engine) {
    let ng = Nginx::new(engine)
        .workers(2)
        .wasm_with("script", guest("script"), "'vm_start: say vm starts'")
        .location("/", "proxy_wasm script 'configure: say configured'; return 200;")
        .start();
    for pid in ng.workers() {
        let of_worker = format!(" {pid}#");
        wasmx_t::eventually("the worker to configure its filter", || {
            ng.log().lines_with(&of_worker).iter().any(|line| line.contains("configured")).then_some(())
        });
        let lines = ng.log().lines_with(&of_worker);
        let place = |text: &str| lines.iter().position(|line| line.contains(text));
        assert!(place("vm starts").is_some() && place("vm starts") < place("configured"), "{lines:?}");
    }
}

fn each_filter_has_a_root_of_its_own(engine: Engine) {
    let say = "configure: say configured {id}; request_headers: say asked";
    let ng = Nginx::new(engine).script("/one", say, "return 200;").script("/two", say, "return 200;").start();
    ng.get("/one").status(200);
    ng.get("/two").status(200);
    let asked = ng.log().wait_for(2, "asked");
    let root =
        |line: &str| line.split("[\"script\" #").nth(1).and_then(|rest| rest.split(']').next().map(str::to_owned));
    assert!(root(&asked[0]).is_some() && root(&asked[0]) != root(&asked[1]), "{asked:?}");
    // The number in the prefix is that of the root, which it was told in `configure`.
    for line in asked {
        let root = root(&line).unwrap_or_default();
        ng.log().has(&format!("[\"script\" #{root}] configured {root}"));
    }
}

fn a_new_worker_starts_its_roots(engine: Engine) {
    let ng =
        Nginx::new(engine).script("/", "configure: say configured; request_headers: count; reply 200 {it}", "").start();
    ng.get("/").body("1");
    ng.get("/").body("2");
    let before = ng.log().lines_with("configured").len();
    ng.kill_worker(ng.workers()[0]);
    ng.get("/").body("1");
    ng.log().wait_for(before + 1, "configured");
}

fn a_root_knows_its_configurations(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_with("script", guest("script"), "'vm_start: body vm 0 100; say vm {size}'")
        .location("/", "proxy_wasm script 'configure: body plugin 0 9; say plugin {size}'; return 200;")
        .location("/none", "proxy_wasm script; return 200;")
        .start();
    ng.log().wait("] plugin 45");
    ng.log()
        .has(r#"body vm 0 100 -> 0 "vm_start: body vm 0 100; say vm {size}""#)
        .has("] vm 38")
        .has("body plugin 0 9 -> 0");
}

fn a_worker_starts_filters_before_it_serves(engine: Engine) {
    let ng = Nginx::new(engine)
        .workers(2)
        .script("/", "configure: set_property wasmx.a b; request_headers: count; reply 200 {it}", "")
        .start();
    // Whichever worker it is: the filter is there for its first request.
    for _ in 0..20 {
        ng.get("/").status(200);
    }
}

fn one_process_without_a_master_serves(engine: Engine) {
    if Nginx::lacks_single_process("roots::one_process_without_a_master_serves") {
        return;
    }
    let script = "configure: tick 10; tick: say ticked; request_headers: when x-boom trap loop; count; reply 200 {it}";
    let limit = "proxy_wasm_time_limit 50ms;";
    let ng = Nginx::new(engine).wasm_directive(limit).single_process().script("/", script, "").start();
    ng.get("/").body("1");
    ng.get("/").body("2");
    ng.request("GET", "/").header("x-boom", "1").send().status(500);
    ng.get("/").body("1");
    ng.log().wait("ticked");
}
