//! What is there for filters that share nothing.

use wasmx_t::{Engine, Nginx, filter};

wasmx_t::on_every_engine![who_shares_nothing_pays_nothing];

fn who_shares_nothing_pays_nothing(engine: Engine) {
    let mappings = |ng: &wasmx_t::Running| {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", ng.workers()[0])).expect("the worker's mappings");
        maps.lines().filter(|line| line.contains("/dev/zero")).count()
    };
    let without = Nginx::new(engine).wat("a", filter("")).location("/", ("proxy_wasm a;", "return 200;")).start();
    let import = r#"(import "env" "proxy_get_shared_data" (func (param i32 i32 i32 i32 i32) (result i32)))"#;
    let with = Nginx::new(engine).wat("a", filter(import)).location("/", ("proxy_wasm a;", "return 200;")).start();
    assert_eq!((mappings(&without) + 1, descriptors(&without)), (mappings(&with), descriptors(&with)));
    let import = r#"(import "env" "proxy_enqueue_shared_queue" (func (param i32 i32 i32) (result i32)))"#;
    let queues = Nginx::new(engine).wat("a", filter(import)).location("/", ("proxy_wasm a;", "return 200;")).start();
    assert!(descriptors(&queues) > descriptors(&with));
}

/// The open eventfds, but for nginx's own.
fn descriptors(ng: &wasmx_t::Running) -> usize {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", ng.master())).expect("the master's descriptors");
    let names = folder.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    names.filter(|name| name.to_string_lossy().contains("eventfd")).count()
}
