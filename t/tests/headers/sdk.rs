//! A filter as one writes it: the SDK panics on every status that it does not expect.

use wasmx_t::{Engine, Nginx, Reply, Upstream, guest};

wasmx_t::on_every_engine![
    a_filter_written_with_the_sdk_changes_request_and_response,
    a_filter_written_with_the_sdk_answers_by_itself,
    the_empty_filter_changes_nothing,
];

fn a_filter_written_with_the_sdk_changes_request_and_response(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("hello world").header("x-secret", "1"));
    let ng = Nginx::new(engine)
        .wasm_with("sdk", guest("sdk"), "'of the vm'")
        .location("/", ("proxy_wasm sdk 'good day';", up.pass()))
        .start();
    let request = ng.request("POST", "/").header("x-unwanted", "1").header("x-unwanted-too", "1").body("loud");
    let response = request.send();
    response.status(200).header("x-greeting", "good day").header("x-status", "200").no_header("x-secret");
    response.body("hello wasm");
    up.saw(|req| {
        req.header("x-greeting", "good day").no_header("x-unwanted").no_header("x-unwanted-too").body("LOUD");
        assert_eq!(req.values("x-many"), ["1", "2"]);
    });
    ng.log().wait("logged / 200");
    ng.log().has("vm configuration: of the vm").has("a warning").has("an error").has("done ");
}

fn a_filter_written_with_the_sdk_answers_by_itself(engine: Engine) {
    let up = Upstream::new();
    let ng = Nginx::new(engine).wasm("sdk", guest("sdk")).location("/", ("proxy_wasm sdk;", up.pass())).start();
    ng.get("/denied").status(403).header("x-by", "sdk").body("denied\n");
    up.saw_nothing();
}

fn the_empty_filter_changes_nothing(engine: Engine) {
    let up = Upstream::new().respond(|_| Reply::ok("body").header("x-up", "1"));
    let ng = Nginx::new(engine)
        .wasm("empty", guest("empty"))
        .location("/", ("proxy_wasm empty;", up.pass()))
        .location("/plain", up.pass())
        .start();
    for path in ["/", "/plain"] {
        ng.post(path, "posted").status(200).header("x-up", "1").header("content-length", "4").body("body");
        up.saw(|req| assert_eq!(req.text(), "posted"));
    }
}
