//! The page as JSON.

use serde_json::{Value, json};
use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![it_has_all_there_is, any_text_is_a_name];

fn page(engine: Engine, script: &str) -> Value {
    let ng = Nginx::new(engine).script("/", script, "return 200;").location("/status", "wasm_status json;").start();
    ng.get("/").status(200);
    let text = ng.get("/status").status(200).text();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn it_has_all_there_is(engine: Engine) {
    let script = "configure: define counter c; define gauge g; increment -1 g; define histogram h; record 3 h; \
                  request_headers: increment 1 c";
    let page = page(engine, script);
    assert_eq!((&page["workers"], &page["engines"]), (&json!(1), &json!([engine.name()])));
    let filter = &page["filters"][0];
    assert_eq!((&filter["filter"], &filter["engine"]), (&json!("script"), &json!(engine.name())));
    assert_eq!((&filter["calls"], &filter["time"]["count"]), (&filter["time"]["count"], &filter["calls"]));
    let numbers = ["calls", "failures", "traps", "deadlines", "restarts", "instances", "contexts", "memory"];
    assert!(numbers.iter().all(|name| filter[name].is_u64()), "{filter}");
    assert_eq!(page["metrics"][0], json!({"filter": "script", "name": "c", "type": "counter", "value": 1}));
    assert_eq!(page["metrics"][1], json!({"filter": "script", "name": "g", "type": "gauge", "value": -1}));
    let histogram = &page["metrics"][2];
    assert_eq!((&histogram["count"], &histogram["sum"]), (&json!(1), &json!(3)));
    assert_eq!(histogram["buckets"][1], json!([2, 0]));
    assert_eq!(histogram["buckets"][2], json!([4, 1]));
    assert_eq!(histogram["buckets"][36], json!([null, 1]));
    let zone = &page["shared_memory"][0];
    assert_eq!(zone["zone"], "metrics");
    assert!(zone["used"].as_u64() > Some(0) && zone["used"].as_u64() < zone["size"].as_u64(), "{zone}");
}

fn any_text_is_a_name(engine: Engine) {
    let page = page(engine, "configure: define counter é\"\\%0a%01</script>%7f");
    assert_eq!(page["metrics"][0]["name"], "é\"\\\n\u{1}</script>\u{7f}");
}
