//! `metrics { }`.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![
    every_directive_is_accepted,
    a_bad_size_is_told,
    a_small_size_is_told,
    a_bad_length_is_told,
    bad_buckets_are_told,
    each_is_given_once,
    every_mistake_is_shown,
];

fn refused(engine: Engine, line: &str, complaint: &str) {
    let test = Nginx::new(engine).wasm_directive(format!("metrics {{\n{line}\n}}")).conf_test();
    test.refuses().blames(line, complaint);
}

fn every_directive_is_accepted(engine: Engine) {
    let lines = "metrics { slab_size 12k; max_metric_name_length 6; histogram_buckets 0 5 18446744073709551615; }";
    Nginx::new(engine).wasm_directive(lines).script("/", "define counter c", "").conf_test().accepts();
    Nginx::new(engine).wasm_directive("metrics { }").conf_test().accepts();
}

fn a_bad_size_is_told(engine: Engine) {
    refused(engine, "slab_size 1x;", r#"[wasm] invalid metrics slab_size "1x""#);
    refused(engine, "slab_size 9223372036854775807;", "[wasm] invalid metrics slab_size");
}

fn a_small_size_is_told(engine: Engine) {
    let complaint = "[wasm] metrics slab_size of 12287 bytes is too small, minimum required is 12288 bytes";
    refused(engine, "slab_size 12287;", complaint);
}

fn a_bad_length_is_told(engine: Engine) {
    refused(engine, "max_metric_name_length 5;", "[wasm] max_metric_name_length 5 is too small, the least is 6");
    refused(engine, "max_metric_name_length x;", r#"invalid value "x""#);
}

fn bad_buckets_are_told(engine: Engine) {
    refused(engine, "histogram_buckets 1 x;", r#"invalid value "x""#);
    refused(engine, "histogram_buckets 1 -2;", r#"invalid value "-2""#);
    let grow = "[wasm] histogram_buckets must grow from one to the next, and be 62 at most";
    refused(engine, "histogram_buckets 2 2;", grow);
    let many = (0..63).map(|bound| format!(" {bound}")).collect::<String>();
    refused(engine, &format!("histogram_buckets{many};"), grow);
}

fn each_is_given_once(engine: Engine) {
    let twice = |line: &str| format!("metrics {{ {line} {line} }}");
    for line in ["slab_size 1m;", "max_metric_name_length 10;", "histogram_buckets 1;"] {
        let test = Nginx::new(engine).wasm_directive(twice(line)).conf_test();
        test.refuses().complains("is duplicate");
    }
    Nginx::new(engine).wasm_directive("metrics { } metrics { }").conf_test().refuses().complains("is duplicate");
}

fn every_mistake_is_shown(engine: Engine) {
    let test = Nginx::new(engine)
        .wasm_directive("metrics { slab_size 1;\nmax_metric_name_length 1;\nhistogram_buckets 2 1; }")
        .location("/", "wasm_status xml;")
        .conf_test();
    test.refuses().blames("slab_size", "too small").blames("max_metric", "too small").blames("buckets", "must grow");
    test.blames("wasm_status", r#"invalid status format "xml""#);
}
