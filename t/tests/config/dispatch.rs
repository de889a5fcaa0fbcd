//! Directives about calls of filters: sockets, names, TLS, limits. What they do is seen where calls are tested.

use std::process::Command;

use wasmx_t::{Authority, ConfTest, Engine, Flavour, Nginx};

wasmx_t::on_every_engine![
    every_form_is_accepted,
    the_blocks_come_in_any_order,
    a_resolver_is_that_of_nginx,
    mistakes_of_a_resolver_are_told,
    mistakes_of_known_hosts_are_told,
    known_hosts_need_the_block,
    times_are_checked,
    sizes_are_checked,
    switches_are_checked,
    buffers_are_checked,
    idle_connections_are_checked,
    lua_is_not_here,
    trusted_certificates_are_loaded,
    mistakes_of_trusted_certificates_are_told,
    a_server_is_stopped_without_its_certificates,
    a_value_is_given_once_on_a_level,
    directives_stand_where_they_belong,
    every_mistake_is_shown_in_one_run,
];

/// Directives that take one time.
const TIMES: [&str; 3] = ["socket_connect_timeout", "socket_send_timeout", "socket_read_timeout"];
/// Directives that may stand anywhere, with a good value. In `http {}`, those of sockets have `wasm_` before them.
const ANYWHERE: [&str; 10] = [
    "socket_connect_timeout 500ms;",
    "socket_send_timeout 1m;",
    "socket_read_timeout 0;",
    "socket_buffer_size 4k;",
    "socket_buffer_reuse off;",
    "socket_large_buffers 8 16k;",
    "proxy_wasm_log_dispatch_errors off;",
    "proxy_wasm_dispatch_keepalive 8 10s;",
    "proxy_wasm_dispatch_max_body 1m;",
    "proxy_wasm_lua_resolver off;",
];
/// Directives of `wasm {}` alone, with a good value.
const WASM: [&str; 6] = [
    "resolver 127.0.0.1;",
    "resolver_timeout 5s;",
    "tls_trusted_certificate '';",
    "tls_verify_cert on;",
    "tls_verify_host on;",
    "tls_no_verify_warn on;",
];

/// The name of a directive in `http {}`.
fn in_http(directive: &str) -> String {
    let prefix = if directive.starts_with("socket_") { "wasm_" } else { "" };
    format!("{prefix}{directive}")
}

fn everywhere() -> String {
    ANYWHERE.map(in_http).join("\n")
}

fn wasm(engine: Engine, lines: &str) -> ConfTest {
    Nginx::new(engine).wasm_directive(lines).conf_test()
}

/// A bad directive in `wasm {}`, and in a location if it may stand there: the text that blames it is the same.
fn refused(engine: Engine, directive: &str, text: &str) {
    let line = format!("{directive};");
    wasm(engine, &line).refuses().blames(&line, text);
    if ANYWHERE.iter().any(|good| good.split(' ').next() == directive.split(' ').next()) {
        let line = in_http(&line);
        Nginx::new(engine).location("/", line.as_str()).conf_test().refuses().blames(&line, text);
    }
}

fn every_form_is_accepted(engine: Engine) {
    let hosts = "resolver_add 127.0.0.1 one;
        resolver_add 127.0.0.1:8080 one;
        resolver_add ::1 ONE.example.;
        resolver_add [::1] two;
        resolver_add [::1]:8080 two;";
    let http = (hosts, everywhere());
    let ng = Nginx::new(engine)
        .wasm_directive(hosts)
        .wasm_directive(ANYWHERE.join("\n"))
        .wasm_directive(WASM.join("\n"))
        .http(http.clone())
        .server(http.clone())
        .location("/", http)
        .location("/short", "proxy_wasm_dispatch_keepalive 0; proxy_wasm_dispatch_max_body 0; return 200 ok;")
        .start();
    ng.get("/short").status(200).body("ok");
}

fn the_blocks_come_in_any_order(engine: Engine) {
    let ng = Nginx::new(engine)
        .http_first()
        .http(everywhere())
        .location("/", "resolver_add 127.0.0.1 host; return 200 ok;")
        .start();
    ng.get("/").status(200).body("ok");
}

fn a_resolver_is_that_of_nginx(engine: Engine) {
    wasm(engine, "resolver 127.0.0.1:5353 [::1]:53 valid=10s ipv6=off;").accepts();
    if Flavour::current() != Flavour::Debian {
        // 1.23.1 has it.
        wasm(engine, "resolver 127.0.0.1 ipv4=off;").accepts();
    }
    // Beside that of http, which is another.
    Nginx::new(engine).wasm_directive("resolver 127.0.0.1;").http("resolver 127.0.0.2;").conf_test().accepts();
}

fn mistakes_of_a_resolver_are_told(engine: Engine) {
    refused(engine, "resolver 127.0.0.1 valid=soon", "invalid parameter: valid=soon");
    refused(engine, "resolver 127.0.0.1 ipv6=maybe", "invalid parameter: ipv6=maybe");
    refused(engine, "resolver valid=1s", "no name servers defined");
    refused(engine, "resolver 127.0.0.1:0x", "invalid port in resolver \"127.0.0.1:0x\"");
    refused(engine, "resolver_timeout soon", "invalid value \"soon\"");
}

fn mistakes_of_known_hosts_are_told(engine: Engine) {
    let cases = [
        ("127.0.0 host", "invalid address value \"127.0.0\""),
        ("'' host", "invalid address value \"\""),
        ("0:0:0:0:0:0 host", "invalid address value \"0:0:0:0:0:0\""),
        ("127.0.0.1:0 host", "invalid address value \"127.0.0.1:0\""),
        ("name host", "invalid address value \"name\""),
        ("127.0.0.1 ''", "invalid host value \"\""),
        ("127.0.0.1 host:80", "invalid host value \"host:80\""),
    ];
    for (arguments, text) in cases {
        let line = format!("resolver_add {arguments};");
        wasm(engine, &line).refuses().blames(&line, text);
        Nginx::new(engine).http(line.as_str()).conf_test().refuses().blames(&line, text);
        Nginx::new(engine).server(line.as_str()).conf_test().refuses().blames(&line, text);
        Nginx::new(engine).location("/", line.as_str()).conf_test().refuses().blames(&line, text);
    }
}

fn known_hosts_need_the_block(engine: Engine) {
    let line = "resolver_add 127.0.0.1 host;";
    let test = Nginx::new(engine).no_wasm_block().location("/", line).conf_test();
    test.refuses().blames(line, "no resolver defined and no default resolver");
    let test = Nginx::new(engine).no_wasm_block().server("wasm_socket_read_timeout 1s;").conf_test();
    test.refuses().complains(r#""wasm_socket_read_timeout" directive is specified but config has no "wasm" section"#);
    Nginx::new(engine).no_wasm_block().main("wasm { }").location("/", line).conf_test().accepts();
}

fn times_are_checked(engine: Engine) {
    for directive in TIMES {
        for bad in ["1x", "-1", "''"] {
            let text = format!("invalid value \"{}\"", bad.trim_matches('\''));
            refused(engine, &format!("{directive} {bad}"), &text);
        }
    }
}

fn sizes_are_checked(engine: Engine) {
    for bad in ["1x", "-1", "0"] {
        refused(engine, &format!("socket_buffer_size {bad}"), &format!("invalid value \"{bad}\""));
    }
    for bad in ["1x", "-1"] {
        refused(engine, &format!("proxy_wasm_dispatch_max_body {bad}"), &format!("invalid value \"{bad}\""));
    }
}

fn switches_are_checked(engine: Engine) {
    for directive in ["tls_verify_cert", "tls_verify_host", "tls_no_verify_warn"] {
        let text = format!("invalid value \"maybe\" in \"{directive}\" directive, it must be \"on\" or \"off\"");
        refused(engine, &format!("{directive} maybe"), &text);
    }
    for directive in ["socket_buffer_reuse", "proxy_wasm_log_dispatch_errors", "proxy_wasm_lua_resolver"] {
        refused(engine, &format!("{directive} maybe"), "directive, it must be \"on\" or \"off\"");
    }
}

fn buffers_are_checked(engine: Engine) {
    for bad in ["0 8k", "4 0", "x 8k", "4 8x", "-4 8k", "9999999999 9999999999g"] {
        refused(engine, &format!("socket_large_buffers {bad}"), "invalid number or size of buffers");
    }
}

fn idle_connections_are_checked(engine: Engine) {
    for (arguments, bad) in [("many", "many"), ("-1", "-1"), ("1k", "1k"), ("8 soon", "soon")] {
        let text = format!("invalid value \"{bad}\"");
        refused(engine, &format!("proxy_wasm_dispatch_keepalive {arguments}"), &text);
    }
}

fn lua_is_not_here(engine: Engine) {
    refused(engine, "proxy_wasm_lua_resolver on", "[wasm] proxy_wasm_lua_resolver requires lua support");
}

fn trusted_certificates_are_loaded(engine: Engine) {
    // Relative to the folder of nginx.conf.
    let ng = Nginx::new(engine)
        .authority("trusted", &Authority::new())
        .wasm_directive("tls_trusted_certificate trusted.crt;")
        .location("/", "return 200 ok;")
        .start();
    ng.get("/").status(200).body("ok");
    ng.reload();
    ng.get("/").status(200).body("ok");
}

fn mistakes_of_trusted_certificates_are_told(engine: Engine) {
    let gone = "tls_trusted_certificate /not/there.pem";
    refused(engine, gone, "[wasm] open() \"/not/there.pem\" failed (2: No such file or directory)");
    let line = "tls_trusted_certificate trusted.crt;";
    let test = Nginx::new(engine).file("trusted.crt", "no certificate").wasm_directive(line).conf_test();
    test.refuses().blames(line, "[wasm] failed loading trusted certificates \"").says("trusted.crt\"");
}

fn a_server_is_stopped_without_its_certificates(engine: Engine) {
    let ng = Nginx::new(engine)
        .authority("trusted", &Authority::new())
        .wasm_directive("tls_trusted_certificate trusted.crt;")
        .start();
    std::fs::remove_file(ng.prefix().join("trusted.crt")).expect("the certificates");
    let nginx = std::fs::read_link(format!("/proc/{}/exe", ng.master())).expect("the program that runs");
    let mut signaller = Command::new(nginx);
    signaller.arg("-p").arg(ng.prefix()).args(["-c", "nginx.conf", "-e", "logs/error.log", "-s", "reopen"]);
    let output = signaller.output().expect("nginx -s");
    assert!(output.status.success(), "nginx -s: {}", String::from_utf8_lossy(&output.stderr));
}

fn a_value_is_given_once_on_a_level(engine: Engine) {
    for line in ANYWHERE.iter().chain(&WASM) {
        let again = format!("{line} #again");
        let test = Nginx::new(engine).wasm_directive(*line).wasm_directive(again).conf_test();
        test.refuses().blames("#again", "directive is duplicate");
    }
    for line in ANYWHERE.map(in_http) {
        let again = format!("{line} #again");
        Nginx::new(engine)
            .location("/", (line, again))
            .conf_test()
            .refuses()
            .blames("#again", "directive is duplicate");
    }
}

fn directives_stand_where_they_belong(engine: Engine) {
    let not_here = |nginx: Nginx| {
        nginx.conf_test().refuses().complains("directive is not allowed here");
    };
    for line in &ANYWHERE[..6] {
        not_here(Nginx::new(engine).location("/", *line));
        not_here(Nginx::new(engine).wasm_directive(in_http(line)));
    }
    for line in &WASM[2..] {
        not_here(Nginx::new(engine).http(*line));
    }
    for line in ANYWHERE.map(in_http) {
        not_here(Nginx::new(engine).main(line));
    }
    not_here(Nginx::new(engine).main("resolver_add 127.0.0.1 host;"));
}

fn every_mistake_is_shown_in_one_run(engine: Engine) {
    let lines = [
        ("resolver 127.0.0.1 valid=soon;", "invalid parameter"),
        ("resolver_timeout 1x;", "invalid value \"1x\""),
        ("resolver_add 127.0.0 a;", "invalid address value \"127.0.0\""),
        ("socket_connect_timeout 2x;", "invalid value \"2x\""),
        ("socket_large_buffers 0 0;", "invalid number or size of buffers"),
        ("tls_verify_cert maybe;", "invalid value \"maybe\""),
        ("tls_trusted_certificate /gone.pem;", "open() \"/gone.pem\" failed"),
        ("proxy_wasm_dispatch_keepalive x;", "invalid value \"x\""),
        ("proxy_wasm_lua_resolver on;", "requires lua support"),
    ];
    let in_location = [
        ("resolver_add 127.0.0.1 '';", "invalid host value \"\""),
        ("wasm_socket_buffer_size 0;", "invalid value \"0\""),
        ("proxy_wasm_dispatch_max_body 3x;", "invalid value \"3x\""),
    ];
    let wasm = lines.map(|(line, _)| line).join("\n");
    let location = in_location.map(|(line, _)| line).join("\n");
    let test = Nginx::new(engine).wasm_directive(wasm).location("/", location).conf_test();
    test.refuses();
    for (line, text) in lines.iter().chain(&in_location) {
        test.blames(line, text);
    }
    assert_eq!(test.complaints(), lines.len() + in_location.len(), "{test}");
}
