//! A shorter run, with nginx under valgrind.

use wasmx_t::{Engine, Nginx, workspace};

use crate::clients::{Random, ask};
use crate::echo::Echo;
use crate::mixed::{four_filters, nothing_is_left, serve_http2};

wasmx_t::on_every_engine![nothing_leaks_and_no_access_is_invalid];

fn nothing_leaks_and_no_access_is_invalid(engine: Engine) {
    if Nginx::lacks_single_process("load::under_valgrind") {
        return;
    }
    let up = Echo::new();
    let suppressions = workspace().join("t/tests/load/valgrind.supp");
    let suppressions = format!("--suppressions={}", suppressions.display());
    let valgrind = [
        "valgrind",
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        "--show-leak-kinds=definite",
        "--num-callers=40",
        "--smc-check=all-non-file",
        "--log-file=logs/valgrind",
        &suppressions,
    ];
    let mut nginx = four_filters(Nginx::new(engine).listener("http2"), &up).location(
        "= /fresh",
        "proxy_wasm_isolation stream;
         proxy_wasm hold 'request_headers: when x-trap trap unreachable; response_body: write response 0 0 >';
         return 200 fresh;",
    );
    if engine == Engine::Wasmtime {
        // The other one takes its time under valgrind.
        nginx = nginx.wasm_directive("compiler winch;");
    }
    let ng = nginx.single_process().under(&valgrind).start();
    ask(ng.address(), 400, &mut Random::new(1));
    serve_http2(&ng, 100);
    nothing_is_left(&ng);
    for _ in 0..20 {
        ng.get("/fresh").status(200).body(">fresh");
        ng.request("GET", "/fresh").header("x-trap", "1").send().status(500);
    }
    ng.stop();
    let said = std::fs::read_to_string(ng.prefix().join("logs/valgrind")).unwrap_or_default();
    assert!(said.is_empty(), "{said}");
}
