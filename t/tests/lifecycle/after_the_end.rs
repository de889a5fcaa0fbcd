//! A context that outlives its request, because `on_done` said no.

use wasmx_t::{Engine, Nginx};

wasmx_t::on_every_engine![not yet: "maps and properties end with the request";
    after_the_end_headers_and_properties_are_still_there,
];

fn after_the_end_headers_and_properties_are_still_there(engine: Engine) {
    let script = "configure: tick 10
                  done: refuse
                  tick: each finish
                  log: get request x-a; get response x-b; property request.path; get response :status";
    let ng = Nginx::new(engine).script("/", script, "add_header x-b 2; return 200;").start();
    ng.request("GET", "/path").header("x-a", "1").send().status(200);
    ng.log().wait("get response :status");
    ng.log()
        .has(r#"get request x-a -> 0 "1""#)
        .has(r#"get response x-b -> 0 "2""#)
        .has(r#"property request.path -> 0 "/path""#)
        .has(r#"get response :status -> 0 "200""#);
}
