//! The filter of `examples/rust/auth-call`.

use wasmx_t::{Answer, Engine, Nginx, Nobody, Peer, Upstream, example};

wasmx_t::on_every_engine![
    one_who_may_passes,
    one_who_may_not_is_told_so,
    a_service_that_is_out_of_order,
    a_service_that_is_not_there,
    a_service_that_is_late,
    a_client_cannot_speak_for_the_service,
    a_configuration_that_is_none,
];

/// nginx whose requests the service at `name` decides upon.
fn guarded(engine: Engine, name: &str, up: &Upstream) -> Nginx {
    Nginx::new(engine)
        .wasm("auth_call", example("auth-call"))
        .http(format!("upstream auth {{ server {name}; }}"))
        .location("/", ("proxy_wasm auth_call 'auth /check 5000';", up.pass()))
        .location("/hurry", ("proxy_wasm auth_call 'auth /check 50';", up.pass()))
}

fn one_who_may_passes(engine: Engine) {
    let fields = [("X-Auth-User", "jo"), ("x-auth-role", "admin"), ("x-other", "1")];
    let (peer, up) = (Peer::new().always(Answer::with("204 No Content", &fields, "")), Upstream::new().ok("passed"));
    let ng = guarded(engine, &peer.name(), &up).start();
    ng.request("POST", "/a?b=c").header("Authorization", "Bearer x").body("the body").send().status(200).body("passed");
    peer.saw("/check")
        .header("host", "auth")
        .header("x-original-method", "POST")
        .header("x-original-path", "/a?b=c")
        .header("authorization", "Bearer x")
        .body("");
    up.saw(|req| {
        req.header("x-auth-user", "jo").header("x-auth-role", "admin").no_header("x-other").body("the body");
    });
    ng.get("/").status(200);
    peer.asked()[1].no_header("authorization");
}

fn one_who_may_not_is_told_so(engine: Engine) {
    for (code, status) in [(401, "401 Unauthorized"), (403, "403 Forbidden")] {
        let fields = [("Content-Type", "application/json"), ("WWW-Authenticate", "Bearer"), ("x-secret", "1")];
        let (peer, up) = (Peer::new().always(Answer::with(status, &fields, "{\"no\":1}")), Upstream::new());
        let ng = guarded(engine, &peer.name(), &up).start();
        let response = ng.get("/");
        response.status(code).header("content-type", "application/json").header("www-authenticate", "Bearer");
        response.no_header("x-secret").body("{\"no\":1}");
        up.saw_nothing();
    }
}

fn unavailable(engine: Engine, name: &str, path: &str, why: &str) {
    let up = Upstream::new();
    let ng = guarded(engine, name, &up).start();
    ng.get(path).status(503).body("authorisation is unavailable\n");
    ng.log().has(why);
    up.saw_nothing();
}

fn a_service_that_is_out_of_order(engine: Engine) {
    let peer = Peer::new().always(Answer::with("500 Internal Server Error", &[], "secret"));
    unavailable(engine, &peer.name(), "/", "auth answered 500");
}

fn a_service_that_is_not_there(engine: Engine) {
    let nobody = Nobody::new();
    unavailable(engine, &nobody.address().to_string(), "/", "auth did not answer: ");
}

fn a_service_that_is_late(engine: Engine) {
    let peer = Peer::new().always(Answer::silence());
    unavailable(engine, &peer.name(), "/hurry", "auth did not answer: timeout");
}

fn a_client_cannot_speak_for_the_service(engine: Engine) {
    let (peer, up) = (Peer::new(), Upstream::new());
    let ng = guarded(engine, &peer.name(), &up).start();
    ng.request("GET", "/").header("X-Auth-User", "root").header("x-auth-user", "root").send().status(200);
    up.saw(|req| {
        req.no_header("x-auth-user");
    });
}

fn a_configuration_that_is_none(engine: Engine) {
    for configuration in ["", "auth", "auth /check", "auth /check soon", "auth /check 1 more"] {
        let test = Nginx::new(engine)
            .wasm("auth_call", example("auth-call"))
            .location("/", format!("proxy_wasm auth_call '{configuration}';"))
            .conf_test();
        test.refuses().blames("proxy_wasm auth_call", "on_configure failure");
    }
}
