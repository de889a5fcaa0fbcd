//! The text for Prometheus, read strictly.

use wasmx_t::{Engine, Nginx};

use crate::parser::{read, values};

wasmx_t::on_every_engine![
    an_idle_server_has_a_page,
    every_kind_is_read,
    any_text_is_a_name,
    names_that_clash_are_told_apart,
    a_page_with_many_metrics_is_read,
];

fn an_idle_server_has_a_page(engine: Engine) {
    let ng = Nginx::new(engine).location("/status", "wasm_status;").start();
    let page = read(&ng.get("/status").status(200).text());
    assert_eq!(values(&page, "wasmx_workers"), [(String::new(), "1".to_owned())]);
    assert_eq!(values(&page, "wasmx_filter_calls_total"), []);
    assert_eq!(values(&page, "wasmx_shared_memory_bytes").len(), 1);
}

fn page(engine: Engine, script: &str) -> crate::parser::Page {
    let ng = Nginx::new(engine)
        .script("/", &format!("configure: {script}"), "return 200;")
        .location("/status", "wasm_status;")
        .start();
    read(&ng.get("/status").status(200).text())
}

fn every_kind_is_read(engine: Engine) {
    let page =
        page(engine, "define counter c; increment 3 c; define gauge g; increment -3 g; define histogram h; record 9 h");
    for (family, kind, value) in [("c", "counter", "3"), ("g", "gauge", "-3")] {
        assert_eq!(page[family].kind, kind);
        assert_eq!(values(&page, family), [("filter=script".to_owned(), value.to_owned())]);
    }
    assert_eq!(page["h"].kind, "histogram");
    assert_eq!(page["h"].samples.len(), 36 + 1 + 2);
    assert_eq!(page["wasmx_filter_call_seconds"].samples.len(), 25 + 1 + 2);
}

fn any_text_is_a_name(engine: Engine) {
    let page = page(engine, r#"define counter a.b; define counter 9 é"%0a\%7d,; define counter {}"#);
    let name = |name: &str| (format!("filter=script,name={name}"), "0".to_owned());
    assert_eq!(values(&page, "a_b"), [name("a.b")]);
    assert_eq!(values(&page, "_9_______"), [name("9 é\"\n\\},")]);
    assert_eq!(values(&page, "__"), [name("{}")]);
}

fn names_that_clash_are_told_apart(engine: Engine) {
    let script = "define counter a.b; define gauge a_b; define counter a-b; define histogram x; define counter x_sum; \
                  define gauge wasmx_workers; define counter wasmx_filter_call_seconds_bucket";
    let page = page(engine, &script.replace("a-b", "a_b"));
    assert_eq!(values(&page, "a_b").len(), 2);
    assert_eq!(values(&page, "a_b_gauge").len(), 1);
    assert_eq!(values(&page, "x_sum_counter").len(), 1);
    assert_eq!(values(&page, "wasmx_workers_gauge").len(), 1);
    assert_eq!(values(&page, "wasmx_filter_call_seconds_bucket_counter").len(), 1);
}

fn a_page_with_many_metrics_is_read(engine: Engine) {
    let many = (0..120).map(|n| format!("define histogram h{n}; ")).collect::<String>();
    let page = page(engine, &many);
    assert_eq!(page.values().filter(|family| family.kind == "histogram").count(), 121);
}
