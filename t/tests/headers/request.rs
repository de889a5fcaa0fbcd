//! Request headers.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    a_header_is_added,
    adding_appends_to_what_is_there,
    replacing_leaves_one,
    replacing_what_is_not_there_adds_it,
    removing_takes_all,
    removing_what_is_not_there_is_fine,
    setting_all_replaces_all_others,
    names_have_no_case,
    the_first_of_several_values_is_given,
    a_value_may_be_empty,
    sixty_headers_are_added,
    a_changed_header_is_a_variable,
    a_change_in_the_body_callback_reaches_the_upstream,
    a_line_break_in_a_value_smuggles_nothing,
    headers_may_be_changed_in_the_access_phase,
    a_filter_may_wait_for_the_rewrite_directives,
    the_number_of_headers_counts_pseudo_headers,
];

fn with(engine: Engine, script: &str, up: &Upstream) -> Running {
    Nginx::new(engine).script("/", &format!("request_headers: {script}"), up.pass()).start()
}

fn a_header_is_added(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let ng = with(engine, "add request x-new value", &up);
    ng.get("/").status(200).body("fine");
    up.saw(|req| {
        req.header("x-new", "value");
    });
}

fn adding_appends_to_what_is_there(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "add request x-a 2; add request X-A 3", &up);
    ng.request("GET", "/").header("x-a", "1").send().status(200);
    up.saw(|req| assert_eq!(req.values("x-a"), ["1", "2", "3"]));
}

fn replacing_leaves_one(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "replace request x-a new", &up);
    ng.request("GET", "/").header("x-a", "1").header("X-A", "2").header("x-b", "3").send().status(200);
    up.saw(|req| {
        req.header("x-a", "new").header("x-b", "3");
    });
}

fn replacing_what_is_not_there_adds_it(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "replace request x-a new", &up);
    ng.get("/").status(200);
    up.saw(|req| {
        req.header("x-a", "new");
    });
}

fn removing_takes_all(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "remove request X-a", &up);
    ng.request("GET", "/").header("x-a", "1").header("X-A", "2").header("x-b", "3").send().status(200);
    up.saw(|req| {
        req.no_header("x-a").header("x-b", "3");
    });
}

fn removing_what_is_not_there_is_fine(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "remove request x-a", &up);
    ng.get("/").status(200);
    ng.log().has("remove request x-a -> 0");
}

fn setting_all_replaces_all_others(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "set request x-a=1 x-b=2 x-a=3; headers request", &up);
    ng.request("GET", "/kept?too=1").header("x-old", "1").header("user-agent", "old").send().status(200);
    up.saw(|req| {
        req.no_header("x-old").no_header("user-agent").header("x-b", "2");
        assert_eq!(req.values("x-a"), ["1", "3"]);
        assert_eq!((req.method(), req.target()), ("GET", "/kept?too=1"));
    });
}

fn names_have_no_case(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "get request X-MiXed; pairs request", &up);
    ng.request("GET", "/").header("x-mIxED", "1").send().status(200);
    ng.log().has(r#"get request X-MiXed -> 0 "1""#).has("x-mixed=1");
}

fn the_first_of_several_values_is_given(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "get request x-a; pairs request", &up);
    ng.request("GET", "/").header("x-a", "1").header("x-a", "2").send().status(200);
    ng.log().has(r#"get request x-a -> 0 "1""#).has("x-a=1, x-a=2");
}

fn a_value_may_be_empty(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "add request x-new; get request x-new; get request x-given", &up);
    ng.request("GET", "/").header("x-given", "").send().status(200);
    up.saw(|req| {
        req.header("x-new", "").header("x-given", "");
    });
    ng.log().has(r#"get request x-new -> 0 """#).has(r#"get request x-given -> 0 """#);
}

fn sixty_headers_are_added(engine: Engine) {
    let up = Upstream::new();
    let script: Vec<_> = (0..60).map(|number| format!("add request x-{number} {number}")).collect();
    let ng = with(engine, &script.join("; "), &up);
    ng.get("/").status(200);
    up.saw(|req| {
        for number in 0..60 {
            req.header(&format!("x-{number}"), &number.to_string());
        }
    });
}

fn a_changed_header_is_a_variable(engine: Engine) {
    let script = "request_headers: replace request x-a changed; add request x-new made; remove request x-gone";
    let ng = Nginx::new(engine).script("/", script, "return 200 $http_x_a,$http_x_new,$http_x_gone;").start();
    ng.request("GET", "/").header("x-a", "1").header("x-gone", "1").send().body("changed,made,");
}

fn a_change_in_the_body_callback_reaches_the_upstream(engine: Engine) {
    let up = Upstream::new();
    let ng = Nginx::new(engine).script("/", "request_body: add request x-size {size}", up.pass()).start();
    ng.post("/", "12345").status(200);
    up.saw(|req| {
        req.header("x-size", "5").body("12345");
    });
}

fn a_line_break_in_a_value_smuggles_nothing(engine: Engine) {
    let up = Upstream::new();
    let script = "add request x-a 1%0D%0Ax-smuggled: 1; replace request x-b 1%0Ax-smuggled: 1; add request x-c%0A 1";
    let ng = with(engine, script, &up);
    let response = ng.get("/");
    if response.code() == Some(200) {
        up.saw(|req| {
            req.no_header("x-smuggled");
        });
    }
}

fn headers_may_be_changed_in_the_access_phase(engine: Engine) {
    let script = "request_headers: add request x-a filter";
    let set = "set $seen $http_x_a; add_header x-seen <$seen>;";
    let (late, early) = (Upstream::new(), Upstream::new());
    let access = ("proxy_wasm_request_headers_in_access on;", set, late.pass());
    let ng = Nginx::new(engine).script("/late", script, access).script("/early", script, (set, early.pass())).start();
    ng.get("/early").status(200).header("x-seen", "<filter>");
    ng.get("/late").status(200).header("x-seen", "<>");
    for up in [late, early] {
        up.saw(|req| {
            req.header("x-a", "filter");
        });
    }
}

fn a_filter_may_wait_for_the_rewrite_directives(engine: Engine) {
    let script = "request_headers: add request x-a filter";
    let up = Upstream::new();
    let lines = ("wasm_postpone_rewrite on; set $seen $http_x_a; add_header x-seen <$seen>;", up.pass());
    let ng = Nginx::new(engine).script("/", script, lines).start();
    ng.get("/").status(200).header("x-seen", "<>");
    up.saw(|req| {
        req.header("x-a", "filter");
    });
}

fn the_number_of_headers_counts_pseudo_headers(engine: Engine) {
    let up = Upstream::new();
    let ng = with(engine, "say given {size}; pairs request", &up);
    ng.request("GET", "/").header("x-a", "1").header("x-a", "2").send().status(200);
    // Host comes as :authority; Connection and the two of the request; four pseudo headers.
    let pairs = ng.log().wait("pairs request");
    let listed = pairs.split("-> 0").nth(1).unwrap_or_default().matches('=').count();
    ng.log().has(&format!("given {listed},"));
}
