//! `engine=`, `sha256=` and `config_file=` of a `module`; `config_file=` and `root_id=` of a `proxy_wasm`.

use sha2::{Digest, Sha256};
use wasmx_t::{Engine, Nginx, guest};

wasmx_t::on_every_engine![
    a_module_names_its_engine,
    the_file_has_the_digest_that_is_asked_for,
    another_digest_is_refused,
    options_come_in_any_order_beside_the_configuration,
    there_is_one_configuration,
    a_configuration_comes_from_a_file,
    a_configuration_file_that_is_missing_is_told,
    a_configuration_file_may_hold_a_mebibyte_and_no_more,
    a_filter_has_a_root_id,
];

fn a_module_names_its_engine(engine: Engine) {
    let Some(other) = engine.other() else { return };
    let nginx = Nginx::new(other).wasm_with("a", guest("script"), &format!("engine={engine}"));
    let ng = nginx.location("/", ("proxy_wasm a 'request_headers: trap unreachable';", "return 200;")).start();
    ng.get("/").status(500);
    ng.log().has(&format!(r#"<module: "a", vm: "main", runtime: "{engine}">"#));
}

/// A chain with a filter on each engine, in one nginx.
#[test]
fn engines_serve_side_by_side() {
    let all: Vec<_> = Engine::ALL.into_iter().filter(|engine| engine.is_listed()).collect();
    let Some(first) = all.first() else { return };
    let mut nginx = Nginx::new(*first);
    let mut chain = Vec::new();
    for engine in &all {
        nginx = nginx.wasm_with(&format!("on_{engine}"), guest("script"), &format!("engine={engine}"));
        chain.push(format!("proxy_wasm on_{engine} 'response_headers: add response x-by {engine}';"));
    }
    chain.push("return 200 ok;".to_owned());
    let ng = nginx.location("/", chain.join("\n")).start();
    ng.get("/").status(200).headers("x-by", &all.iter().map(|engine| engine.name()).collect::<Vec<_>>());
    for engine in &all {
        ng.log().has(&format!(r#"<module: "on_{engine}", vm: "main", runtime: "{engine}">"#));
    }
}

fn digest() -> String {
    let bytes = std::fs::read(guest("empty")).expect("the guest's bytes");
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn the_file_has_the_digest_that_is_asked_for(engine: Engine) {
    Nginx::new(engine).wasm_with("a", guest("empty"), &format!("sha256={}", digest())).conf_test().accepts();
    let upper = digest().to_uppercase();
    Nginx::new(engine).wasm_with("a", guest("empty"), &format!("sha256={upper}")).conf_test().accepts();
}

fn another_digest_is_refused(engine: Engine) {
    let other = "0".repeat(64);
    let test = Nginx::new(engine).wasm_with("a", guest("empty"), &format!("sha256={other}")).conf_test();
    test.refuses().blames("sha256=", &digest());
}

fn options_come_in_any_order_beside_the_configuration(engine: Engine) {
    let arguments = format!("sha256={} 'vm_start: say started' engine={engine}", {
        let bytes = std::fs::read(guest("script")).expect("the guest's bytes");
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    });
    let nginx = Nginx::new(engine).wasm_with("script", guest("script"), &arguments);
    let ng = nginx.location("/", "proxy_wasm script; return 200;").start();
    ng.log().wait("started");
}

fn there_is_one_configuration(engine: Engine) {
    let test = Nginx::new(engine).wasm_with("a", guest("empty"), "one two").conf_test();
    test.refuses().blames("one two", "");
    // What looks like an option and is none is the configuration.
    Nginx::new(engine).wasm_with("a", guest("empty"), "engine=nobodys").conf_test().accepts();
    Nginx::new(engine).wasm_with("a", guest("empty"), "sha256=short").conf_test().accepts();
}

fn a_configuration_comes_from_a_file(engine: Engine) {
    let nginx = Nginx::new(engine)
        .file("vm.conf", "vm_start: say from the file of the module")
        .file("filter.conf", "configure: say from the file of the filter\nrequest_headers: reply 203 read");
    let (vm, filter) = (nginx.prefix().join("vm.conf"), nginx.prefix().join("filter.conf"));
    let ng = nginx
        .wasm_with("script", guest("script"), &format!("config_file={}", vm.display()))
        .location("/", format!("proxy_wasm script config_file={};", filter.display()))
        .location("/relative", "proxy_wasm script config_file=filter.conf;")
        .start();
    ng.log().wait("from the file of the module");
    ng.log().wait("from the file of the filter");
    ng.get("/").status(203).body("read");
    ng.get("/relative").status(203).body("read");
}

fn a_configuration_file_that_is_missing_is_told(engine: Engine) {
    let test = Nginx::new(engine)
        .wasm("a", guest("empty"))
        .location("/", "proxy_wasm a config_file=/not/there;")
        .wasm_with("b", guest("empty"), "config_file=/nor/there")
        .conf_test();
    test.refuses().blames("config_file=/not/there", "/not/there").blames("config_file=/nor/there", "/nor/there");
}

fn a_configuration_file_may_hold_a_mebibyte_and_no_more(engine: Engine) {
    let with_size = |size: usize| {
        let nginx = Nginx::new(engine).file("big.conf", vec![b'\n'; size]).wasm("script", guest("script"));
        nginx.location("/", "proxy_wasm script config_file=big.conf;")
    };
    with_size(1 << 20).conf_test().accepts();
    with_size((1 << 20) + 1).conf_test().refuses().blames("config_file=", "big.conf");
}

fn a_filter_has_a_root_id(engine: Engine) {
    let script = "'request_headers: property plugin_root_id; reply 200 {it}'";
    let ng = Nginx::new(engine)
        .wasm("script", guest("script"))
        .location("/named", format!("proxy_wasm script {script} root_id=mine;"))
        .location("/before", format!("proxy_wasm script root_id=mine {script};"))
        .location("/", format!("proxy_wasm script {script};"))
        .start();
    ng.get("/named").body("mine");
    ng.get("/before").body("mine");
    ng.get("/").body("");
}
