//! Setting a whole map.

use wasmx_t::{Engine, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![
    a_bad_header_leaves_the_request_as_it_was,
    a_bad_header_leaves_the_response_as_it_was,
    pseudo_headers_are_set_with_it,
    what_was_read_may_be_set,
    a_late_change_is_logged_once,
];

fn a_bad_header_leaves_the_request_as_it_was(engine: Engine) {
    let bad = [
        "x-new=1 x-bad%20name=2",
        "x-new=1 x-bad=a%0Ab",
        "x-new=1 content-length=many",
        "x-new=1 :path=nowhere",
        "x-new=1 :method=a%20b",
        "x-new=1 :authority=a%20b",
        "x-new=1 host=a/b",
        "x-new=1 :scheme=https",
        "x-new=1 :status=200",
        "x-new=1 :other=1",
    ];
    let script: Vec<_> = bad.iter().map(|pairs| format!("set request {pairs}")).collect();
    let up = Upstream::new();
    let ng = Nginx::new(engine).script("/", &format!("request_headers: {}", script.join("; ")), up.pass()).start();
    ng.request("GET", "/path?query").header("x-old", "1").send().status(200);
    up.saw(|req| {
        req.header("x-old", "1").no_header("x-new");
        assert_eq!((req.method(), req.target()), ("GET", "/path?query"));
    });
    for pairs in bad {
        ng.log().has(&format!("set request {pairs} -> 2"));
    }
}

fn a_bad_header_leaves_the_response_as_it_was(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("up").header("x-old", "1"));
    let script = "response_headers: set response x-new=1 x-bad=a%0Ab; set response x-new=1 :status=7";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.get("/").status(200).header("x-old", "1").no_header("x-new").body("up");
    ng.log().has("set response x-new=1 x-bad=a%0Ab -> 2").has("set response x-new=1 :status=7 -> 2");
}

fn pseudo_headers_are_set_with_it(engine: Engine) {
    let up = Upstream::new();
    let script = "request_headers: set request :method=PUT :path=/new?q :authority=new.example x-a=1
                  response_headers: set response :status=202 x-b=1";
    let lines = ("proxy_set_header Host $http_host;", up.pass());
    let ng = Nginx::new(engine).script("/", script, lines).start();
    ng.request("POST", "/old").header("x-old", "1").body("body").send().status(202).header("x-b", "1");
    up.saw(|req| {
        req.header("x-a", "1").no_header("x-old").header("host", "new.example").body("body");
        assert_eq!((req.method(), req.target()), ("PUT", "/new?q"));
    });
}

/// A filter reads the map, changes some of it and sets it: a pseudo header that cannot be set is no mistake then.
fn what_was_read_may_be_set(engine: Engine) {
    let up = Upstream::new();
    let script = "request_headers: set request :method=GET :path=/old :authority=new.example :scheme=http \
                  host=localhost x-a=1; get request host
                  response_headers: set response :status=200 x-b=1";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    ng.get("/old").status(200).header("x-b", "1");
    up.saw(|req| {
        req.header("x-a", "1");
        assert_eq!((req.method(), req.target()), ("GET", "/old"));
    });
    ng.log().has(r#"get request host -> 0 "new.example""#);
}

fn a_late_change_is_logged_once(engine: Engine) {
    let changes =
        ["add response x-late 1", "replace response x-late 1", "replace response :status 500", "set response a=b"];
    let script = format!("log: {}; remove response server; get response :status; say told", changes.join("; "));
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.get("/").status(200).no_header("x-late");
    ng.log().wait("told");
    for change in changes {
        ng.log().has(&format!("{change} -> 2"));
    }
    ng.log().has("remove response server -> 2").has(r#"get response :status -> 0 "200""#);
    ng.log().has_times(1, "they were sent already");
    ng.get("/").status(200);
    ng.log().wait_for(2, "told");
    ng.log().has_times(2, "they were sent already");
}
