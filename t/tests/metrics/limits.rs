//! Names that are too long, and memory that is full: a status and a line in the log, and requests go on.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![a_name_has_its_limit, the_limit_is_configured, a_full_zone_is_told, a_full_zone_counts_on];

fn a_name_has_its_limit(engine: Engine) {
    let (fits, long) = ("a".repeat(256), "b".repeat(257));
    let script = format!("request_headers: define counter {fits}; define counter {long}; reply 200 ok");
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200);
    let line = ng.log().wait("its name is longer than \"max_metric_name_length\" allows");
    assert!(
        line.contains("[error]") && line.contains("[proxy-wasm][\"script\" #1] cannot define metric \"bbb"),
        "{line}"
    );
    ng.log().has(&format!("define counter {}", "a".repeat(100))).has_times(1, "cannot define metric");
}

fn the_limit_is_configured(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("metrics { max_metric_name_length 6; }")
        .script("/", "request_headers: define counter abcdef; define counter abcdefg; reply 200 ok", "")
        .start();
    ng.get("/").status(200);
    ng.log().has("define counter abcdef -> 0").has("define counter abcdefg -> 10");
}

/// Far more than fit.
fn many() -> String {
    let each = (0..100).map(|n| format!("define histogram h{n}; ")).collect::<String>();
    format!("request_headers: define counter c; {each}; increment 1 c; metric c; reply 200 {{it}}")
}

fn a_full_zone_is_told(engine: Engine) {
    let ng = Nginx::new(engine).wasm_directive("metrics { slab_size 12k; }").script("/", &many(), "").start();
    ng.get("/").status(200);
    let line = ng.log().wait("cannot define metric \"h99\"");
    assert!(line.contains("there is no room for it, raise \"slab_size\" in \"metrics\""), "{line}");
    ng.log().has("define histogram h99 -> 10").has("define histogram h0 -> 0");
}

fn a_full_zone_counts_on(engine: Engine) {
    let ng = Nginx::new(engine)
        .wasm_directive("metrics { slab_size 12k; }")
        .script("/", &many(), "")
        .location("/status", "wasm_status;")
        .start();
    ng.get("/").body("1");
    ng.get("/").body("2");
    ng.get("/status").status(200).body_has("\nc{filter=\"script\"} 2\n");
}
