//! One run of `nginx -t` shows every mistake.

use wasmx_t::{Engine, Nginx, filter, guest};

wasmx_t::on_every_engine![every_mistake_is_shown_in_one_run, mistakes_of_loading_are_shown_together];

fn every_mistake_is_shown_in_one_run(engine: Engine) {
    let test = Nginx::new(engine)
        .wasm_directive("compiler nobodys;")
        .wasm_directive("wasmtime {\nflag nobodys on;\nflag max_wasm_stack 10U;\n}")
        .wasm_directive("module bad:name /x;")
        .wat("a", "(module)")
        .wasm_with("a", guest("empty"), "again")
        .wasm("gone", "/not/there.wasm")
        .wat("broken", "(module (func")
        .location("/1", "proxy_wasm nobodys;")
        .location("/2", "proxy_wasm_isolation x;")
        .location("/3", "proxy_wasm_failure_policy ajar;")
        .conf_test();
    test.refuses()
        .blames("compiler nobodys", r#"invalid compiler "nobodys""#)
        .blames("module bad:name", r#"invalid module name "bad:name": character not allowed ":""#)
        .blames("again", r#""a" module already defined"#)
        .blames("/not/there.wasm", r#"[wasm] open() "/not/there.wasm" failed (2: No such file or directory)"#)
        .blames("module broken", r#"[wasm] failed loading "broken" module bytes: "#)
        .blames("proxy_wasm nobodys", r#"no "nobodys" module defined"#)
        .blames("isolation x", r#"invalid isolation mode "x""#)
        .blames("policy ajar", "ajar");
    if Engine::Wasmtime.is_listed() {
        test.blames("flag nobodys", r#"unknown "wasmtime" configuration flag: "nobodys""#)
            .blames("flag max_wasm_stack", r#"failed setting wasmtime flag: invalid value "10U""#);
    }
}

fn mistakes_of_loading_are_shown_together(engine: Engine) {
    let test = Nginx::new(engine)
        .wat("unversioned", filter("").replace("proxy_abi_version_0_2_1", "no_version"))
        .wat("importing", filter(r#"(import "env" "nobodys" (func))"#))
        .wat("mallocless", filter("").replace("\"malloc\"", "\"no_malloc\""))
        .location("/1", "proxy_wasm unversioned;")
        .location("/2", "proxy_wasm importing;")
        .location("/3", "proxy_wasm mallocless;")
        .script("/4", "configure: refuse", "")
        .conf_test();
    test.refuses()
        .complains(r#"failed loading "unversioned" filter (unknown ABI version)"#)
        .complains(r#"failed linking "importing" module"#)
        .complains(r#""mallocless" filter missing malloc"#)
        .complains(r#"failed initializing "script" filter (on_configure failure)"#);
}
