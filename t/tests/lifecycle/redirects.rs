//! A request that moves inside nginx keeps the chain that it met first, and no callback comes twice.

use wasmx_t::{Engine, Log, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![
    a_rewrite_to_another_location,
    a_rewrite_of_the_server_comes_before_the_chain,
    a_rewrite_that_comes_before_the_filters,
    many_rewrites,
    a_return_to_a_named_location,
    an_error_page,
    an_error_page_with_another_status,
    an_error_page_for_an_upstream_that_is_not_there,
    an_intercepted_error,
    an_error_page_of_a_location_without_filters,
    an_error_page_of_an_error_page,
    try_files_to_another_path,
    try_files_to_a_named_location,
    an_index_in_another_location,
    an_upstreams_accel_redirect,
    a_held_request_moves_on,
    a_request_with_a_body_moves_on,
    what_a_filter_changed_goes_along,
    an_action_after_the_response,
];

const FIRST: &str = "trace; request_headers: set_property wasmx.kept first; \
                     response_headers: property wasmx.kept; get response :status; add response x-chain {it}";
/// The chain of the location that the request comes to.
const SECOND: &str = "create: say second chain";

/// The chain was the first one, and each of its callbacks came once.
fn first_chain_only(log: &Log) {
    log.wait("on delete #");
    log.has(r#"property wasmx.kept -> 0 "first""#).lacks("second chain");
    for callback in ["create", "request_headers", "response_headers", "done", "log", "delete"] {
        log.has_times(1, &format!("on {callback} #"));
    }
}

/// Asks for `/from`, with these lines and the first chain, which gets to `/to`, with the second.
fn from(engine: Engine, lines: &str) -> Nginx {
    Nginx::new(engine).file("html/file", "a file").script("/from", FIRST, lines).script(
        "/to",
        SECOND,
        "return 200 there;",
    )
}

fn a_rewrite_to_another_location(engine: Engine) {
    let ng = from(engine, "rewrite ^ /to last;").start();
    ng.get("/from").status(200).header("x-chain", "200").body("there");
    first_chain_only(&ng.log());
}

fn a_rewrite_of_the_server_comes_before_the_chain(engine: Engine) {
    let nginx = Nginx::new(engine).server("rewrite ^/old /from;");
    let ng = nginx.script("/from", FIRST, "return 200 there;").script("/old", SECOND, "return 200 never;").start();
    ng.get("/old").status(200).header("x-chain", "200").body("there");
    first_chain_only(&ng.log());
}

fn a_rewrite_that_comes_before_the_filters(engine: Engine) {
    let ng = from(engine, "wasm_postpone_rewrite on; rewrite ^ /to last;").start();
    ng.get("/from").status(200).header("x-chain", "200").body("there");
    first_chain_only(&ng.log());
}

fn many_rewrites(engine: Engine) {
    let step = |n: u32| format!("rewrite ^ /step/{n} last;");
    let nginx = from(engine, &step(1));
    let nginx = (1..5).fold(nginx, |nginx, n| nginx.script(&format!("/step/{n}"), SECOND, step(n + 1).as_str()));
    let ng = nginx.script("/step/5", SECOND, "rewrite ^ /to last;").start();
    ng.get("/from").status(200).body("there");
    first_chain_only(&ng.log());
}

fn a_return_to_a_named_location(engine: Engine) {
    let nginx = from(engine, "error_page 418 = @named; return 418;").script("@named", SECOND, "return 200 named;");
    let ng = nginx.start();
    ng.get("/from").status(200).header("x-chain", "200").body("named");
    first_chain_only(&ng.log());
}

fn an_error_page(engine: Engine) {
    let ng = from(engine, "error_page 404 /to; root html;").start();
    ng.get("/from/nothing").status(404).header("x-chain", "404").body("there");
    first_chain_only(&ng.log());
}

fn an_error_page_with_another_status(engine: Engine) {
    let ng = from(engine, "error_page 403 =202 /to; return 403;").start();
    ng.get("/from").status(202).header("x-chain", "202").body("there");
    first_chain_only(&ng.log());
}

fn an_error_page_for_an_upstream_that_is_not_there(engine: Engine) {
    let gone = Upstream::new().address();
    let lines = format!("error_page 502 =203 @named; proxy_pass http://{gone};");
    let ng = from(engine, &lines).script("@named", SECOND, "return 200 named;").start();
    ng.get("/from").status(203).header("x-chain", "203").body("named");
    first_chain_only(&ng.log());
}

fn an_intercepted_error(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("secret").status(500).header("x-up", "1"));
    let lines = format!("proxy_intercept_errors on; error_page 500 /to; {}", up.pass());
    let ng = from(engine, &lines).start();
    ng.get("/from").status(500).header("x-chain", "500").no_header("x-up").body("there");
    first_chain_only(&ng.log());
}

fn an_error_page_of_a_location_without_filters(engine: Engine) {
    let nginx = Nginx::new(engine).location("/plain", "error_page 404 /from; root html;");
    let ng = nginx.script("/from", FIRST, "return 200 there;").start();
    // The chain begins where the request meets one.
    ng.get("/plain/nothing").status(404).header("x-chain", "404").body("there");
    first_chain_only(&ng.log());
}

fn an_error_page_of_an_error_page(engine: Engine) {
    let lines = "recursive_error_pages on; error_page 404 /again; root html;";
    let nginx =
        from(engine, lines).script("/again", SECOND, "recursive_error_pages on; error_page 403 /to; return 403;");
    let ng = nginx.start();
    ng.get("/from/nothing").status(403).body("there");
    first_chain_only(&ng.log());
}

fn try_files_to_another_path(engine: Engine) {
    let ng = from(engine, "root html; try_files $uri.none /to;").start();
    ng.get("/from").status(200).header("x-chain", "200").body("there");
    first_chain_only(&ng.log());
}

fn try_files_to_a_named_location(engine: Engine) {
    let nginx = from(engine, "root html; try_files $uri.none @named;").script("@named", SECOND, "return 201 named;");
    let ng = nginx.start();
    ng.get("/from").status(201).header("x-chain", "201").body("named");
    first_chain_only(&ng.log());
}

fn an_index_in_another_location(engine: Engine) {
    let nginx = from(engine, "root html; index page;").file("html/from/page", "never");
    let ng = nginx.script("= /from/page", SECOND, "return 200 page;").start();
    ng.get("/from/").status(200).header("x-chain", "200").body("page");
    first_chain_only(&ng.log());
}

fn an_upstreams_accel_redirect(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("never").header("X-Accel-Redirect", "/to"));
    let ng = from(engine, &up.pass()).start();
    ng.get("/from").status(200).header("x-chain", "200").body("there");
    first_chain_only(&ng.log());
}

fn a_held_request_moves_on(engine: Engine) {
    for setting in ["", "proxy_wasm_request_headers_in_access on;"] {
        let script = format!("{FIRST}; request_headers: pause; configure: tick 10; tick: each continue 0");
        let lines = format!("{setting} root html; try_files $uri.none /to;");
        let nginx = Nginx::new(engine).script("/from", &script, lines.as_str());
        let ng = nginx.script("/to", SECOND, "return 200 there;").start();
        ng.get("/from").status(200).body("there");
        first_chain_only(&ng.log());
    }
}

fn a_request_with_a_body_moves_on(engine: Engine) {
    let up = Upstream::new().ok("there");
    let script = format!("{FIRST}; request_body: write request 0 0 new%20");
    let nginx = Nginx::new(engine).script("/from", &script, "rewrite ^ /to last;");
    let ng = nginx.script("/to", SECOND, up.pass()).start();
    ng.post("/from", "body").status(200).body("there");
    first_chain_only(&ng.log());
    ng.log().has_times(1, "on request_body #");
    up.saw_times(1).saw(|seen| {
        seen.body("new body").header("content-length", "8");
    });
}

fn what_a_filter_changed_goes_along(engine: Engine) {
    let up = Upstream::new().ok("there");
    let script = format!("{FIRST}; request_headers: add request x-new 1; add response x-early 2");
    let nginx = Nginx::new(engine).script("/from", &script, "root html; try_files $uri.none @named;");
    let ng = nginx.script("@named", SECOND, up.pass()).start();
    ng.get("/from").status(200).header("x-early", "2").body("there");
    first_chain_only(&ng.log());
    up.saw(|seen| {
        seen.header("x-new", "1");
    });
}

fn an_action_after_the_response(engine: Engine) {
    let up = Upstream::new().ok("never seen");
    let nginx = from(engine, "post_action /after; return 200 there;");
    let ng = nginx.script("/after", SECOND, ("internal;", up.pass())).start();
    ng.get("/from").status(200).header("x-chain", "200").body("there");
    up.saw(|seen| assert_eq!(seen.target(), "/after"));
    first_chain_only(&ng.log());
}
