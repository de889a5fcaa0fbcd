//! What `wasmx inspect` tells, and its exit codes.

use serde_json::Value;
use wasmx_t::{filter, guest};

use crate::{Folder, compiles, wasmx};

#[track_caller]
pub fn json(file: &str, code: i32) -> Value {
    let run = wasmx(&["inspect", "--json", file]).ends_with(code);
    serde_json::from_str(&run.stdout).expect("JSON")
}

pub fn texts(value: &Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|it| it.as_str().expect("a text")).collect()
}

#[test]
fn a_filter_of_the_sdk_is_fit() {
    let sdk = guest("sdk");
    let file = sdk.to_str().expect("UTF-8");
    let run = wasmx(&["inspect", file]).ends_with(0);
    let run = run.says("sdk.wasm: a filter\n").says("Proxy-Wasm 0.2.1").says("Rust SDK 0.2").says("all met");
    run.says("proxy_on_request_headers").says("no start section");
    let all = json(file, 0);
    assert_eq!((&all["fit"], &all["kind"]), (&Value::Bool(true), &"wasm".into()));
    assert_eq!(all["size"], std::fs::metadata(&sdk).expect("the guest").len());
    let module = &all["module"];
    assert_eq!((&module["abi"], &module["reason"]), (&"0.2.1".into(), &Value::Null));
    assert!(module["sdk"].as_str().expect("a guess").starts_with("Rust SDK 0.2"));
    assert!(texts(&module["callbacks"]).contains(&"proxy_on_vm_start"));
    assert!(module["imports"].as_array().expect("imports").iter().all(|it| it["met"] == true));
    assert!(module["memory"]["min"].as_u64().expect("a size") >= 65_536);
    assert!(module["engines"].as_array().expect("engines").iter().all(|it| it["fit"] == true));
}

#[test]
fn text_is_read_too() {
    let folder = Folder::new();
    let all = json(&folder.file("a.wat", filter("")), 0);
    assert_eq!((&all["kind"], &all["module"]["memory"]["min"]), (&"wat".into(), &131_072.into()));
    let start = filter("(func $start) (start $start)").replace("\"memory\") 2)", "\"memory\") 2 16)");
    let all = json(&folder.file("b.wat", start), 0);
    assert_eq!((&all["module"]["start"], &all["module"]["memory"]["max"]), (&true.into(), &1_048_576.into()));
}

#[test]
fn what_is_missing_is_told() {
    let folder = Folder::new();
    let strange = filter(
        r#"(import "env" "no_such" (func (param i32)))
        (import "other" "thing" (global i32))
        (import "env" "proxy_done" (func (param i64)))"#,
    );
    let file = folder.file("a.wat", strange);
    let run =
        wasmx(&["inspect", &file]).ends_with(1).says("a.wat: not fit to be a filter").says("4, of which 3 not met:");
    let run = run.says("env.no_such: missing host function").says("other.thing: missing host global");
    run.says("env.proxy_done: incompatible type (i64) -> (), should be () -> i32");
    let imports = json(&file, 1)["module"]["imports"].clone();
    let unmet = imports.as_array().expect("imports").iter().filter(|it| it["met"] == false);
    let unmet: Vec<_> = unmet.map(|it| it["name"].as_str().expect("a name")).collect();
    assert_eq!(unmet, ["no_such", "thing", "proxy_done"]);
}

#[test]
fn what_is_no_filter_is_told() {
    let folder = Folder::new();
    for (text, reason) in [
        ("(module)".to_owned(), "failed loading filter (unknown ABI version)"),
        (filter("").replace("proxy_abi_version_0_2_1", "proxy_abi_version_9_9_9"), "(incompatible ABI version)"),
        (filter("").replace("\"malloc\"", "\"other\""), "filter missing malloc"),
        (filter("").replace("proxy_on_context_create", "other"), "missing one of: proxy_on_context_create"),
    ] {
        let file = folder.file("a.wat", text);
        wasmx(&["inspect", &file]).ends_with(1).says(reason);
        assert!(json(&file, 1)["module"]["reason"].as_str().expect("a reason").contains(reason));
    }
}

#[test]
fn a_module_that_engines_refuse_is_not_fit() {
    let folder = Folder::new();
    let file = folder.file("a.wasm", b"\0asm\x01\0\0\0\x07");
    wasmx(&["inspect", &file]).ends_with(1).says("refuses it: ");
    let all = json(&file, 1);
    let engines = all["module"]["engines"].as_array().expect("engines");
    assert!(engines.iter().all(|it| it["fit"] == false && it["reason"].is_string()), "{all}");
}

#[test]
fn one_engine_may_be_asked() {
    if !compiles() {
        return;
    }
    let folder = Folder::new();
    let file = folder.file("a.wat", filter(""));
    let run = wasmx(&["inspect", &file, "--engine=wasmtime"]).ends_with(0).says("wasmtime");
    assert!(!run.stdout.contains("wasmi "), "{run:?}");
    wasmx(&["inspect", &file, "--engine=v9"]).ends_with(2).says("unknown engine \"v9\"");
}

#[test]
fn what_is_no_module_cannot_be_read() {
    let folder = Folder::new();
    for bytes in [&b""[..], b"no module", b"\x7fELF"] {
        wasmx(&["inspect", &folder.file("a", bytes)]).ends_with(2).says("neither a module nor an artefact");
    }
    wasmx(&["inspect", &folder.file("a.wat", "(modul")]).ends_with(2).says("a.wat: ");
    wasmx(&["inspect", &folder.at("not-there")]).ends_with(2).says("No such file or directory");
    wasmx(&["inspect", folder.0.path().to_str().expect("UTF-8")]).ends_with(2).says("no regular file");
}

#[test]
fn an_artefact_says_what_it_is_for() {
    if !compiles() {
        return;
    }
    let folder = Folder::new();
    let options = ["--flag=cranelift_opt_level=none", "--memory-limit=64m", "--backtraces"];
    let artefact = folder.compiled(&guest("script"), &options);
    let run = wasmx(&["inspect", &artefact]).ends_with(0).says("an artefact that runs here");
    run.says("wasmtime").says("cranelift_opt_level=none").says("memory limit 64.0 MiB").says("backtraces on");
    let all = json(&artefact, 0);
    assert_eq!((&all["kind"], &all["artefact"]["engine"]), (&"artefact".into(), &"wasmtime".into()));
    assert_eq!(texts(&all["artefact"]["flags"]), ["cranelift_opt_level=none"]);
    let bytes = std::fs::read(&artefact).expect("the artefact");
    let elsewhere = folder.file("elsewhere", crate::retouched(&bytes, "\ncpu=", "\ncpu=amx,"));
    wasmx(&["inspect", &elsewhere]).ends_with(1).says("compiled for a CPU with amx, which this one lacks");
    let damaged = folder.file("damaged", &bytes[..bytes.len() - 1]);
    wasmx(&["inspect", &damaged]).ends_with(2).says("the artefact is cut off");
}
