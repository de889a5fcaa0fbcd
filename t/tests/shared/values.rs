//! Shared values.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    a_value_is_seen_by_the_next_request,
    a_value_is_seen_in_every_worker,
    a_missing_key_is_not_found,
    a_key_is_compared_whole,
    an_empty_value_is_kept_and_none_deletes,
    a_cas_is_checked,
    values_are_shared_in_every_isolation,
    a_large_value_comes_back_whole,
    a_filter_without_declared_zones_has_one,
];

fn a_value_is_seen_by_the_next_request(engine: Engine) {
    let ng = Nginx::new(engine)
        .script("/set", "request_headers: kv_set k 0 one; reply 200 set", "")
        .script("/get", "request_headers: kv_get k; reply 200 {it}", "")
        .start();
    ng.get("/set").body("set");
    ng.get("/get").body("one");
    ng.log().has("kv_set k 0 one -> 0").has(r#"kv_get k -> 0 "one""#);
}

fn a_value_is_seen_in_every_worker(engine: Engine) {
    let ng = Nginx::new(engine)
        .workers(3)
        .script("/set", "request_headers: kv_set k 0 one; reply 200 set", "")
        .script("/", "configure: tick 10; tick: kv_get k; once say {it} seen", "return 200;")
        .start();
    ng.get("/set").body("set");
    let pids = || {
        let lines = ng.log().lines_with(r#"kv_get k -> 0 "one""#);
        let pid = |line: String| line.split("] ").nth(1).and_then(|rest| rest.split('#').next().map(str::to_owned));
        lines.into_iter().filter_map(pid).collect::<std::collections::BTreeSet<_>>().len()
    };
    wasmx_t::eventually("the value in all workers", || (pids() == 3).then_some(()));
}

fn a_missing_key_is_not_found(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "request_headers: kv_get k; reply 200 done", "").start();
    ng.get("/").body("done");
    ng.log().has(r#"kv_get k -> 1 """#);
}

fn a_key_is_compared_whole(engine: Engine) {
    let script = "request_headers: kv_set key 0 a; kv_set ke 0 b; kv_set Key 0 c; kv_get key; kv_get ke; kv_get k";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().has(r#"kv_get key -> 0 "a""#).has(r#"kv_get ke -> 0 "b""#).has(r#"kv_get k -> 1 """#);
}

fn an_empty_value_is_kept_and_none_deletes(engine: Engine) {
    let script = "request_headers: kv_set k 0 ; say first; kv_get k; kv_delete k 0; say then; kv_get k; kv_delete k 0";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().in_order(&[
        "first",
        r#"kv_get k -> 0 """#,
        "kv_delete k 0 -> 0",
        "then",
        r#"kv_get k -> 1 """#,
        "kv_delete k 0 -> 0",
    ]);
}

fn a_cas_is_checked(engine: Engine) {
    let script = "request_headers: kv_set k 7 none; kv_set k 0 one; kv_get k; kv_set k = two; kv_set k = three;
        kv_delete k =; kv_get k; kv_delete k =; kv_delete k 7";
    let ng = Nginx::new(engine).script("/", script, "return 200;").start();
    ng.get("/").status(200);
    ng.log().in_order(&[
        "kv_set k 7 none -> 8",
        "kv_set k 0 one -> 0",
        "kv_set k = two -> 0",
        "kv_set k = three -> 8",
        "kv_delete k = -> 8",
        r#"kv_get k -> 0 "two""#,
        "kv_delete k = -> 0",
        "kv_delete k 7 -> 8",
    ]);
}

fn values_are_shared_in_every_isolation(engine: Engine) {
    for isolation in ["none", "stream", "filter"] {
        let ng = Nginx::new(engine)
            .http(format!("proxy_wasm_isolation {isolation};"))
            .script("/", "request_headers: kv_add k 1; kv_get k; reply 200 {it}", "")
            .start();
        ng.get("/").body("1");
        ng.get("/").body("2");
    }
}

fn a_large_value_comes_back_whole(engine: Engine) {
    let script = "request_headers: kv_fill k 0 900000; kv_size k; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").body("900000");
}

fn a_filter_without_declared_zones_has_one(engine: Engine) {
    let script = "request_headers: kv_fill k 0 2000000; kv_set some/key 0 v; kv_get some/key; reply 200 {it}";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").body("v");
    ng.get("/").body("v");
    ng.log().has("kv_fill k 0 2000000 -> 10");
    ng.log().has_times(1, r#"[wasm] shm_kv "*" is full: no room for a value of 2000000 bytes"#);
}
