//! A context that outlives its request, because `on_done` said no.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    headers_and_properties_are_still_there,
    variables_that_the_configuration_uses_are_still_there,
    nothing_can_be_changed,
    bodies_are_gone,
    the_client_may_have_left,
    requests_end_apart,
    a_reload_does_not_wait,
];

/// Refuses the end of a request, and says it is done in the next tick; `log` follows then.
fn with(engine: Engine, log: &str, lines: &str) -> Running {
    let script = format!("configure: tick 10; done: refuse; tick: each finish; log: {log}");
    Nginx::new(engine).script("/", &script, lines).start()
}

fn headers_and_properties_are_still_there(engine: Engine) {
    let log = "get request x-a; get response x-b; pairs request; property request.path; property request.headers.x-a; \
               property response.code; property source.address; property plugin_name; get request x-none; \
               get response :status";
    let ng = with(engine, log, "add_header x-b 2; return 200;");
    ng.request("GET", "/path").header("x-a", "1").send().status(200);
    ng.log().wait("get response :status");
    ng.log()
        .has(r#"get request x-a -> 0 "1""#)
        .has(r#"get response x-b -> 0 "2""#)
        .has(r#"pairs request -> 0 ":method=GET, :path=/path, "#)
        .has(r#"property request.path -> 0 "/path""#)
        .has(r#"property request.headers.x-a -> 0 "1""#)
        .has(r#"property response.code -> 0 "200""#)
        .has(r#"property source.address -> 0 "127.0.0.1""#)
        .has(r#"property plugin_name -> 0 "script""#)
        .has("get request x-none -> 1")
        .has(r#"get response :status -> 0 "200""#);
}

fn variables_that_the_configuration_uses_are_still_there(engine: Engine) {
    let log = "property ngx.mine; property ngx.msec; property wasmx.kept; property request.id";
    let script = format!(
        "configure: tick 10; request_headers: set_property ngx.mine of the filter; set_property wasmx.kept too
         done: refuse; tick: each finish; log: {log}"
    );
    let lines = "wasm_postpone_rewrite on; set $mine before; try_files /not =204;";
    let ng = Nginx::new(engine).script("/", &script, lines).start();
    ng.get("/").status(204);
    ng.log().wait("property request.id");
    ng.log()
        .has(r#"property ngx.mine -> 0 "of the filter""#)
        .has(r#"property wasmx.kept -> 0 "too""#)
        .has("property ngx.msec -> 1");
}

fn nothing_can_be_changed(engine: Engine) {
    let log = "add request x-a 1; replace response x-b 1; remove request host; set_property ngx.args x; \
               set_property wasmx.mine x; property wasmx.mine; reply 403 no; continue 0; close 0";
    let ng = with(engine, log, "return 200 fine;");
    ng.get("/").status(200).body("fine");
    ng.log().wait("close 0");
    ng.log()
        .has("add request x-a 1 -> 2")
        .has("replace response x-b 1 -> 2")
        .has("remove request host -> 2")
        .has("set_property ngx.args x -> 1")
        .has("set_property wasmx.mine x -> 0")
        .has(r#"property wasmx.mine -> 0 "x""#)
        .has("reply 403 no -> 2")
        .has("continue 0 -> 0")
        .has("close 0 -> 0");
}

fn bodies_are_gone(engine: Engine) {
    let ng = with(engine, "body request 0 9; buffer_size response; body plugin 0 9", "return 200;");
    ng.post("/", "hello").status(200);
    ng.log().wait("body plugin 0 9");
    ng.log().has("body request 0 9 -> 1").has("buffer_size response -> 1").has("body plugin 0 9 -> 0 \"configure\"");
}

fn the_client_may_have_left(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let script = "configure: tick 10; request_headers: say asked; done: refuse; tick: each finish
                  log: get request x-a; property request.path";
    let ng = Nginx::new(engine).script("/", script, up.pass()).start();
    let connection = ng.request("GET", "/path").header("x-a", "1").begin();
    ng.log().wait("] asked");
    connection.reset();
    ng.log().wait(r#"property request.path -> 0 "/path""#);
    ng.log().has(r#"get request x-a -> 0 "1""#);
    drop(tap);
}

fn requests_end_apart(engine: Engine) {
    let ng = with(engine, "property request.path", "return 200;");
    let mut connection = ng.connect();
    for path in ["/one", "/two", "/three"] {
        connection.get(path).response().status(200);
    }
    for path in ["/one", "/two", "/three"] {
        ng.log().wait(&format!("property request.path -> 0 \"{path}\""));
        ng.log().has_times(1, &format!("property request.path -> 0 \"{path}\""));
    }
}

fn a_reload_does_not_wait(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "done: refuse; delete: say deleted", "return 200;").start();
    ng.get("/").status(200);
    ng.reload();
    ng.log().lacks("deleted");
}
