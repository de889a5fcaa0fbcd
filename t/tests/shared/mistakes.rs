//! Mistakes in `shm_kv` and `shm_queue`.

use wasmx_t::{Engine, Nginx, guest};

wasmx_t::on_every_engine![
    every_mistake_is_told_in_one_run,
    what_is_right_is_accepted,
    a_value_of_a_trial_start_is_not_kept
];

/// Each line of a configuration, and what is said of it.
const MISTAKES: [(&str, &str); 15] = [
    (r#"shm_kv "" 1m;"#, r#"[wasm] invalid shm name """#),
    ("shm_kv a 1x;", r#"[wasm] invalid shm size "1x""#),
    ("shm_kv b -1;", r#"[wasm] invalid shm size "-1""#),
    ("shm_kv c 8192;", "[wasm] shm size of 8192 bytes is too small, minimum required is 12288 bytes"),
    ("shm_kv d 16385;", "[wasm] shm size of 16385 bytes is not page-aligned, must be a multiple of 4096"),
    ("shm_kv e 1m foo=bar;", r#"invalid option "foo=bar""#),
    ("shm_kv f 1m eviction=foobar;", r#"invalid eviction policy "foobar""#),
    ("shm_queue g 8k;", "[wasm] shm size of 8192 bytes is too small, minimum required is 12288 bytes"),
    (r#"shm_queue "" 16k;"#, r#"[wasm] invalid shm name """#),
    ("shm_queue * 1m;", r#"[wasm] invalid shm name "*""#),
    ("shm_queue h 1m eviction=lru;", r#"shm_queue "h": queues do not support eviction policies"#),
    ("shm_queue i 1m foo=bar;", r#"invalid option "foo=bar""#),
    ("shm_kv k 1m;", ""),
    ("shm_kv k 2m;", r#""k" shm already defined"#),
    ("shm_queue k 3m;", r#""k" shm already defined"#),
];

fn every_mistake_is_told_in_one_run(engine: Engine) {
    let nginx = MISTAKES.iter().fold(Nginx::new(engine), |nginx, (line, _)| nginx.wasm_directive(*line));
    let test = nginx.wasm("gone", "/not/there.wasm").conf_test();
    test.refuses();
    for (line, text) in MISTAKES.iter().filter(|(_, text)| !text.is_empty()) {
        test.blames(line, text);
    }
    test.blames("/not/there.wasm", "failed (2: No such file or directory)");
    assert_eq!(test.complaints(), MISTAKES.len(), "{test}");
}

fn what_is_right_is_accepted(engine: Engine) {
    let nginx = Nginx::new(engine).wasm("script", guest("script"));
    let nginx = ["none", "lru", "slru"]
        .into_iter()
        .fold(nginx, |nginx, eviction| nginx.wasm_directive(format!("shm_kv {eviction} 16k eviction={eviction};")));
    nginx.wasm_directive("shm_queue q 1m;").wasm_directive("shm_kv * 3m;").conf_test().accepts();
}

fn a_value_of_a_trial_start_is_not_kept(engine: Engine) {
    let script =
        "configure: kv_add k 1; kv_get k; say start {it}; queue q; enqueue q x; request_headers: reply 200 fine";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").body("fine");
    ng.log().has("start 1").lacks("start 2");
}
