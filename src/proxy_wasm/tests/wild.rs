//! Every host function with every argument wild: the worst is a status.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use engines::ValType;

use super::guest::guest;
use super::{Engine, HEADERS, LIMIT, on_every_engine, stream};
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::hostcalls::{self, HostcallInfo};
use crate::wasi;

on_every_engine! {
    no_argument_traps_or_panics
    bad_ranges_are_told
    every_function_is_implemented
}

/// Those that end the guest by design.
const ENDS: [&str; 2] = ["proc_exit", "abort"];

/// Past the guest's memory of two pages, across its end, and where additions wrap.
const WILD: [i64; 5] = [-1, 131_072, 131_071, i32::MIN as i64, i32::MAX as i64];

fn types(types: &[ValType]) -> String {
    types.iter().map(|ty| format!(" {ty}")).collect()
}

/// A guest that imports the functions and calls each with each of the argument lists, logging what it answers.
fn caller(module: &str, functions: &[HostcallInfo], arguments: impl Fn(&[ValType]) -> Vec<Vec<i64>>) -> Vec<u8> {
    let (mut imports, mut calls) = (String::new(), String::new());
    for (index, function) in functions.iter().enumerate() {
        let (name, params, results) = (function.name, types(function.params), types(function.results));
        let _ =
            writeln!(imports, "(import \"{module}\" \"{name}\" (func $f{index} (param{params}) (result{results})))");
        for list in arguments(function.params) {
            let list: String =
                function.params.iter().zip(list).map(|(ty, value)| format!(" ({ty}.const {value})")).collect();
            let call = format!("(call $f{index}{list})");
            let _ = match function.results {
                [] => writeln!(calls, "{call}"),
                _ => writeln!(calls, "(call $number {call})"),
            };
        }
    }
    guest(&format!(
        r#"{imports} (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {calls} (i32.const 0))"#
    ))
}

/// All zero but one, all wild, and all wild after a sensible first.
fn each_wild(params: &[ValType]) -> Vec<Vec<i64>> {
    let mut lists = vec![vec![0; params.len()]];
    for wild in WILD {
        lists.push(vec![wild; params.len()]);
        for at in 0..params.len() {
            let mut one = vec![0; params.len()];
            one[at] = wild;
            let mut sensible = vec![wild; params.len()];
            sensible[at] = 0;
            lists.extend([one, sensible]);
        }
    }
    lists
}

fn no_argument_traps_or_panics(engine: &Engine) {
    let statuses: BTreeSet<u32> = [0, 1, 2, 3, 4, 6, 7, 8, 10, 12].into();
    let errnos: BTreeSet<u32> = [0, 8, 21, 28, 52, 58].into();
    let families: [(&str, Vec<HostcallInfo>, _); 3] = [
        ("env", hostcalls::table().collect(), statuses),
        ("wasi_snapshot_preview1", wasi::table().collect(), errnos.clone()),
        ("wasi_unstable", wasi::table().collect(), errnos),
    ];
    for (module, functions, answers) in families {
        for function in functions.into_iter().filter(|function| !ENDS.contains(&function.name)) {
            let wasm = caller(module, &[function], each_wild);
            let (mut vm, server) = engine.vm(&wasm);
            let context = vm.open(1, stream());
            vm.call(context, HEADERS, LIMIT).unwrap_or_else(|error| panic!("{}: {error:?}", function.name));
            // Log lines of the function itself are no numbers.
            let told = server.take().into_iter().filter_map(|line| line.parse().ok()).collect::<BTreeSet<u32>>();
            assert!(told.is_subset(&answers), "{} answered {told:?}", function.name);
            vm.close(context, LIMIT).unwrap();
            assert!(vm.alive());
        }
    }
}

/// With all arguments past the end of memory, what takes a range or gives a result says so.
fn bad_ranges_are_told(engine: &Engine) {
    let enums =
        ["proxy_log", "proxy_get_header_map", "proxy_set_header_map", "proxy_add", "proxy_replace", "proxy_remove"];
    let without = [
        "proxy_set_effective_context",
        "proxy_continue_stream",
        "proxy_close_stream",
        "proxy_set_tick_period_milliseconds",
        "proxy_record_metric",
        "proxy_increment_metric",
        "proxy_grpc_cancel",
        "proxy_grpc_close",
    ];
    for function in hostcalls::table().filter(|it| !it.params.is_empty()) {
        let (name, buffer) = (function.name, function.name.contains("buffer"));
        if !name.starts_with("proxy_") || without.contains(&name) {
            continue;
        }
        let first_is_enum = buffer || enums.iter().any(|start| name.starts_with(start));
        let past = |params: &[ValType]| {
            let mut list = vec![131_073; params.len()];
            if first_is_enum {
                list[0] = 0;
            }
            vec![list]
        };
        let lines = engine.run(&caller("env", &[function], past), stream());
        assert_eq!(lines, [(Status::InvalidMemoryAccess as u32).to_string()], "{name}");
    }
}

fn every_function_is_implemented(_engine: &Engine) {
    let missing: Vec<_> = hostcalls::table().filter(|it| !it.implemented).map(|it| it.name).collect();
    assert_eq!(missing, [""; 0]);
}
