//! An artefact is made, and nginx serves with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use wasmx_t::{Engine, Nginx, filter, guest};

use crate::{Folder, compiles, nginx, wasmx};

wasmx_t::on_every_engine![
    nginx_serves_with_an_artefact,
    settings_of_both_have_to_be_the_same,
    text_keeps_its_lines,
    a_reload_keeps_it,
    an_artefact_has_a_digest_too,
    an_engine_without_a_compiled_form_is_refused,
];

fn is_compiled(engine: Engine) -> bool {
    engine != Engine::Wasmi
}

fn nginx_serves_with_an_artefact(engine: Engine) {
    if !is_compiled(engine) {
        return;
    }
    let folder = Folder::new();
    let artefact = folder.compiled_for(engine, &guest("script"), &[]);
    assert_eq!(fs::metadata(&artefact).expect("the artefact").permissions().mode() & 0o7022, 0);
    let ng = nginx(engine, &artefact).workers(2).start();
    ng.get("/").status(203).body("compiled");
    ng.log().has(r#"[wasm] loaded precompiled "a" module in "#).lacks("successfully loaded");
}

fn settings_of_both_have_to_be_the_same(engine: Engine) {
    if engine != Engine::Wasmtime {
        return;
    }
    let folder = Folder::new();
    for (options, directives) in [
        (&["--compiler=winch"][..], "compiler winch;"),
        (&["--compiler=cranelift"], ""),
        (&["--flag", "cranelift_opt_level=none"], "wasmtime { flag cranelift_opt_level none; }"),
        (&["--memory-limit=64m"], "proxy_wasm_memory_limit 64m;"),
        (&["--backtraces"], "backtraces on;"),
    ] {
        let artefact = folder.compiled(&guest("script"), options);
        let ng = nginx(engine, &artefact).wasm_directive(directives).start();
        ng.get("/").status(203).body("compiled");
    }
}

fn text_keeps_its_lines(engine: Engine) {
    if !is_compiled(engine) {
        return;
    }
    let folder = Folder::new();
    let traps = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)"#;
    let artefact = folder.compiled_for(engine, folder.file("traps.wat", filter(traps)).as_ref(), &["--backtraces"]);
    let nginx = Nginx::new(engine).wasm_directive("backtraces on;").wasm("a", artefact);
    let ng = nginx.location("/", "proxy_wasm a; return 200;").start();
    ng.get("/").status(500);
    ng.log().wait("wasm trap");
    ng.log().has("traps.wat:3");
}

fn a_reload_keeps_it(engine: Engine) {
    if !is_compiled(engine) {
        return;
    }
    let folder = Folder::new();
    let ng = nginx(engine, &folder.compiled_for(engine, &guest("script"), &[])).start();
    let log = ng.log().from_here();
    ng.reload();
    ng.get("/").status(203);
    log.has(r#"[wasm] reusing compiled "a" module"#).lacks("loaded precompiled");
    // Another one in its place.
    let log = ng.log().from_here();
    folder.compiled_for(engine, &guest("empty"), &[]);
    ng.edit(|conf| conf.replace("proxy_wasm a 'request_headers: reply 203 compiled';", "proxy_wasm a; return 204;"));
    ng.reload();
    ng.get("/").status(204);
    log.has("loaded precompiled");
}

fn an_artefact_has_a_digest_too(engine: Engine) {
    if !is_compiled(engine) {
        return;
    }
    let folder = Folder::new();
    let artefact = folder.compiled_for(engine, &guest("script"), &[]);
    let report = wasmx(&["inspect", "--json", &artefact]).ends_with(0).stdout;
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let digest = report["sha256"].as_str().expect("the digest");
    nginx(engine, &format!("{artefact} sha256={digest}")).conf_test().accepts();
    let other = "0".repeat(64);
    nginx(engine, &format!("{artefact} sha256={other}")).conf_test().refuses().complains("sha256 is ");
}

fn an_engine_without_a_compiled_form_is_refused(engine: Engine) {
    if is_compiled(engine) {
        return;
    }
    let folder = Folder::new();
    let (input, output) = (guest("script"), folder.at("out"));
    let run = wasmx(&["compile", input.to_str().expect("UTF-8"), &output, &format!("--engine={engine}")]);
    run.ends_with(2).says("it has no compiled form of them");
    assert!(!fs::exists(&output).expect("the folder"));
}

#[test]
fn mistakes_write_nothing() {
    if !compiles() {
        return;
    }
    let folder = Folder::new();
    let (bad, output) = (folder.file("bad.wasm", b"\0asm\x01\0\0\0\x07"), folder.at("out"));
    let bad_text = folder.file("bad.wat", "(module");
    let good = folder.file("good.wat", "(module)");
    for (input, options, text) in [
        (&bad, &["--engine=wasmtime"][..], "bad.wasm: "),
        (&bad_text, &["--engine=wasmtime"], "expected"),
        (&folder.at("not-there"), &["--engine=wasmtime"], "No such file or directory"),
        (&good, &["--engine=v9"], "unknown engine \"v9\", this build has: "),
        (&good, &["--engine=wasmtime", "--compiler=gcc"], "invalid compiler \"gcc\""),
        (&good, &["--engine=wasmtime", "--flag=x=1"], "wasmtime flag \"x\": unknown configuration flag"),
        (&good, &["--engine=wasmtime", "--flag=debug_info=7"], "wasmtime flag \"debug_info\": invalid value \"7\""),
        (&good, &[], "for which engine?"),
    ] {
        let run = wasmx(&[&["compile", input, &output], options].concat());
        run.ends_with(2).says(text);
        assert_eq!(fs::read_dir(folder.0.path()).expect("the folder").count(), 3, "{text}");
    }
}

#[test]
fn help_and_version() {
    wasmx(&["--help"]).ends_with(0).says("wasmx compile IN OUT").says("wasmx inspect FILE");
    wasmx(&["--version"]).ends_with(0).says("wasmx 0.").says("wasm");
    wasmx(&[]).ends_with(2).says("wasmx --help");
    wasmx(&["fly"]).ends_with(2).says("unknown command \"fly\"");
}
