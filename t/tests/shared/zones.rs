//! `shm_kv` and `shm_queue`.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    a_key_goes_to_the_zone_of_its_prefix,
    a_full_zone_refuses_without_eviction,
    what_was_not_used_gives_way,
    the_smallest_zone_holds_something,
    a_zone_may_be_as_large_as_a_value_needs,
    zones_of_all_sizes_are_filled,
];

fn a_key_goes_to_the_zone_of_its_prefix(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("shm_kv one 12k eviction=none;")
        .wasm_directive("shm_kv * 2m;")
        .script(
            "/",
            "request_headers: kv_fill one/k 0 100000; kv_fill other/k 0 1500000; kv_fill two 0 1500001",
            "return 200;",
        )
        .start();
    ng.get("/").status(200);
    ng.log()
        .has("kv_fill one/k 0 100000 -> 10")
        .has("kv_fill other/k 0 1500000 -> 0")
        .has("kv_fill two 0 1500001 -> 0");
    ng.log().has(r#"[wasm] shm_kv "one" is full"#).lacks(r#"[wasm] shm_kv "*" is full"#);
}

fn a_full_zone_refuses_without_eviction(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("shm_kv z 64k eviction=none;")
        .script("/fill", "request_headers: count; kv_fill z/{it} 0 3000; reply 200 filled", "")
        .script("/get", "request_headers: kv_size z/1; reply 200 {it}", "")
        .start();
    (0..20).for_each(|_| _ = ng.get("/fill").body("filled"));
    ng.get("/get").body("3000");
    let log = ng.log();
    assert!(log.lines_with("3000 -> 10").len() >= 4 && log.lines_with("3000 -> 0").len() >= 10, "{}", log.text());
    log.has_times(1, r#"[wasm] shm_kv "z" is full"#);
}

fn what_was_not_used_gives_way(engine: Engine) {
    for eviction in ["lru", "slru"] {
        let ng = Nginx::new(engine)
            .wasm_directive(format!("shm_kv z 64k eviction={eviction};"))
            .script("/fill", "request_headers: kv_get z/1; count; kv_fill z/{it} 0 3000; reply 200 filled", "")
            .script("/get", "request_headers: kv_size z/1; reply 200 {it}", "")
            .script("/gone", "request_headers: kv_size z/2; reply 200 {it}", "")
            .start();
        (0..40).for_each(|_| _ = ng.get("/fill").body("filled"));
        ng.get("/get").body("3000");
        ng.get("/gone").body("0");
        ng.log().lacks("-> 10").lacks("is full");
    }
}

fn the_smallest_zone_holds_something(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("shm_kv z 12k;")
        .wasm_directive("shm_queue q 12k;")
        .script("/", "configure: queue q; enqueue q hello; request_headers: kv_set z/k 0 v; kv_get z/k; dequeue q; reply 200 {it}", "")
        .start();
    ng.get("/").body("hello");
    ng.log().has(r#"kv_get z/k -> 0 "v""#);
}

fn a_zone_may_be_as_large_as_a_value_needs(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("shm_kv big 8m;")
        .script("/", "request_headers: kv_fill big/k 0 6000000; kv_size big/k; reply 200 {it}", "")
        .start();
    ng.get("/").body("6000000");
}

/// What nginx keeps of a zone's pages ends at another distance from the first of them in each of these sizes.
fn zones_of_all_sizes_are_filled(engine: Engine) {
    const PAGES: std::ops::Range<usize> = 128..152;
    let zones = PAGES.fold(Nginx::new(engine), |nginx, pages| {
        nginx.wasm_directive(format!("shm_kv z{pages} {} eviction=lru;", pages * 4096))
    });
    let fill: String = PAGES.map(|pages| format!("kv_fill z{pages}/{{it}} 0 3000; ")).collect();
    // What `kv_fill` gives is the value: the key is counted anew by each.
    let fill = fill.replace("kv_fill", "count; kv_fill");
    let ng = zones
        .script("/fill", &format!("request_headers: {fill} reply 200 filled"), "")
        .script(
            "/get",
            &format!(
                "request_headers: {} reply 200 got",
                PAGES
                    .map(|pages| format!("kv_size z{pages}/{}; ", 199 * PAGES.len() + pages - PAGES.start + 1))
                    .collect::<String>()
            ),
            "",
        )
        .start();
    (0..200).for_each(|_| _ = ng.get("/fill").body("filled"));
    ng.get("/get").body("got");
    ng.log().has_times(PAGES.len(), r#"-> 0 "3000""#).lacks("3000 -> 10");
}
