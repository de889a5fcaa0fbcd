//! Bodies that nginx stores itself: its DAV, and `client_body_in_file_only`.

use wasmx_t::{Engine, Nginx, Running, Upstream, eventually};

wasmx_t::on_every_engine![
    dav_stores_what_a_filter_has_seen,
    dav_stores_what_a_filter_made_of_it,
    dav_stores_a_body_that_was_held,
    dav_stores_a_large_body,
    a_method_that_dav_does_not_serve_stores_nothing,
    a_body_in_a_file_only_stays_in_one,
];

const DAV: &str = "root html; dav_methods PUT DELETE; create_full_put_path on; client_max_body_size 0;";

fn dav(engine: Engine, script: &str) -> Running {
    Nginx::new(engine).script("/", script, DAV).start()
}

fn stores(engine: Engine, script: &str, body: &str, expected: &str) {
    let ng = dav(engine, script);
    for status in [201, 204] {
        ng.request("PUT", "/new/file").body(body).send().status(status);
        let stored = std::fs::read_to_string(ng.prefix().join("html/new/file")).expect("the file");
        assert!(stored == expected, "{} bytes in place of {}", stored.len(), expected.len());
        // They go with the request, which ends after its response.
        let left = || std::fs::read_dir(ng.prefix().join("tmp/body")).expect("nginx's own folder").count();
        eventually("the end of temporary files", || (left() == 0).then_some(()));
    }
}

fn dav_stores_what_a_filter_has_seen(engine: Engine) {
    stores(engine, "request_body: body request 0 100", "hello", "hello");
}

fn dav_stores_what_a_filter_made_of_it(engine: Engine) {
    stores(engine, "request_body: write request 100 0 , world", "hello", "hello, world");
    stores(engine, "request_body: write request 0 0 oh; write request 0 1 O", "hello", "Ohhello");
    stores(engine, "request_body: write request 0 100 ", "hello", "");
}

fn dav_stores_a_body_that_was_held(engine: Engine) {
    let script = "configure: tick 10; request_body: pause; write request 100 0 !; tick: each continue 0";
    stores(engine, script, "hello", "hello!");
}

fn dav_stores_a_large_body(engine: Engine) {
    let large: String = (0..100_000).map(|number| format!("{number:06}\n")).collect();
    stores(engine, "request_body: body request 0 10", &large, &large);
    stores(engine, "request_body: write request 0xffffffff 0 end", &large, &format!("{large}end"));
}

fn a_method_that_dav_does_not_serve_stores_nothing(engine: Engine) {
    let lines = "root html; dav_methods DELETE;";
    let ng = Nginx::new(engine).script("/", "request_body: write request 100 0 !", lines).start();
    ng.request("PUT", "/file").body("hello").send().status(405);
    assert!(!ng.prefix().join("html/file").exists());
    let left = std::fs::read_dir(ng.prefix().join("tmp/body")).expect("nginx's own folder").count();
    assert_eq!(left, 0, "the body was in a file");
}

fn a_body_in_a_file_only_stays_in_one(engine: Engine) {
    let up = Upstream::new();
    let lines = ("client_body_in_file_only clean; proxy_set_header X-File $request_body_file;", up.pass());
    for (script, expected) in [("body request 0 100", "hello"), ("write request 100 0 !", "hello!")] {
        let ng = Nginx::new(engine).script("/", &format!("request_body: {script}"), lines.clone()).start();
        ng.post("/", "hello").status(200);
        up.saw(|req| {
            assert!(req.values("x-file").iter().any(|file| file.contains("tmp/body/")), "{:?}", req.values("x-file"));
            req.body(expected);
        });
    }
}
