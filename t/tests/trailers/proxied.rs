//! Trailers of an HTTP/1 upstream, which nginx passes since 1.27.2, and those of `add_trailer`.

use wasmx_t::{Engine, Nginx, Reply, Upstream};

wasmx_t::on_every_engine![
    trailers_of_a_chunked_response_are_changed,
    a_connection_goes_on_after_a_body_that_was_collected,
    a_response_with_a_length_keeps_it,
    trailers_of_nginxs_own_come_after_the_filters,
];

fn trailers_of_a_chunked_response_are_changed(engine: Engine) {
    if Nginx::lacks_proxied_trailers("proxied::trailers_of_a_chunked_response_are_changed") {
        return;
    }
    let up = Upstream::new().respond(|_| Reply::chunks(["one", "two"]).trailer("x-sum", "6").trailer("x-up", "1"));
    let script = "trace; response_trailers: get response_trailers x-sum; replace response_trailers x-sum 7; \
                  remove response_trailers x-up";
    for buffering in ["on", "off"] {
        let lines =
            (format!("proxy_pass_trailers on; proxy_http_version 1.1; proxy_buffering {buffering};"), up.pass());
        let ng = Nginx::new(engine).script("/", script, lines).start();
        let response = ng.request("GET", "/").header("TE", "trailers").send();
        response.status(200).body("onetwo").trailers_are(&[("x-sum", "7")]);
        ng.log().wait("on delete #");
        ng.log().has_times(1, "on response_trailers #").has(r#"get response_trailers x-sum -> 0 "6""#);
    }
}

fn a_connection_goes_on_after_a_body_that_was_collected(engine: Engine) {
    if Nginx::lacks_proxied_trailers("proxied::a_connection_goes_on_after_a_body_that_was_collected") {
        return;
    }
    let up = Upstream::new().respond(|_| Reply::chunks(["one", "two"]).trailer("x-sum", "6"));
    // The trailers let go what the body's callback holds.
    for script in ["trace; response_body: pause; response_trailers: say sum", "trace; response_body: before_end pause"]
    {
        let ng = Nginx::new(engine)
            .script("/", script, ("proxy_pass_trailers on; proxy_http_version 1.1; send_timeout 9s;", up.pass()))
            .start();
        let mut connection = ng.connect();
        for count in 1..4 {
            connection.get("/").response().status(200).body("onetwo").trailers_are(&[("x-sum", "6")]);
            ng.log().wait_for(count, "on delete #");
        }
    }
}

fn a_response_with_a_length_keeps_it(engine: Engine) {
    if Nginx::lacks_proxied_trailers("proxied::a_response_with_a_length_keeps_it") {
        return;
    }
    let up = Upstream::new().ok("hello");
    let lines = ("proxy_pass_trailers on; proxy_http_version 1.1;", up.pass());
    let ng = Nginx::new(engine).script("/", "trace", lines).start();
    ng.get("/").status(200).header("content-length", "5").body("hello").trailers_are(&[]);
    ng.log().wait("on delete #");
    ng.log().lacks("on response_trailers #").has("size=5 end=true");
}

fn trailers_of_nginxs_own_come_after_the_filters(engine: Engine) {
    let script = "response_headers: add response_trailers x-filter 1; response_trailers: pairs response_trailers";
    let lines = "add_trailer x-nginx 2; return 200 hello;";
    let ng = Nginx::new(engine).script("/", script, lines).start();
    ng.get("/").status(200).body("hello").trailers_are(&[("x-filter", "1"), ("x-nginx", "2")]);
    ng.log().has(r#"pairs response_trailers -> 0 "x-filter=1""#);
}
