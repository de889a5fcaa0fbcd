//! Compilers and flags.

use engines::{Config, FlagEffect, FlagError, WasmEngine};

use crate::host::config;

on_every_engine!(
    a_flag_that_no_version_has_is_unknown,
    a_value_of_the_wrong_kind_is_invalid,
    every_compiler_by_name_works_and_no_other,
    flags_that_turn_a_feature_off_do_so,
    the_stack_can_be_made_larger_and_smaller,
);

fn a_flag_that_no_version_has_is_unknown<E: WasmEngine>() {
    assert_eq!(E::check_flag("nope", "on"), Err(FlagError::Unknown));
    assert_eq!(E::check_flag("", ""), Err(FlagError::Unknown));
}

fn a_value_of_the_wrong_kind_is_invalid<E: WasmEngine>() {
    for (name, value) in [("max_wasm_stack", "10U"), ("wasm_bulk_memory", "yes"), ("wasm_simd", "")] {
        assert_eq!(E::check_flag(name, value), Err(FlagError::Invalid(value.into())));
    }
    for (name, value) in [("max_wasm_stack", "1m"), ("wasm_bulk_memory", "on"), ("wasm_simd", "off")] {
        assert_eq!(E::check_flag(name, value), Ok(FlagEffect::Applied));
    }
    assert_eq!(FlagError::Invalid("10U".into()).to_string(), r#"invalid value "10U""#);
}

fn every_compiler_by_name_works_and_no_other<E: WasmEngine>() {
    for compiler in E::COMPILERS.iter().chain(&["auto"]) {
        let config = Config { compiler: (*compiler).into(), ..config() };
        assert!(E::new(&config).is_ok(), "{compiler}");
    }
    for compiler in ["", "x", "llvm"] {
        if E::COMPILERS.contains(&compiler) {
            continue;
        }
        let config = Config { compiler: compiler.into(), ..config() };
        assert!(E::new(&config).is_err(), "{compiler}");
    }
}

fn with<E: WasmEngine>(flags: &[(&str, &str)]) -> anyhow::Result<E> {
    let flags = flags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    E::new(&Config { flags, ..config() })
}

fn flags_that_turn_a_feature_off_do_so<E: WasmEngine>() {
    let wasm = crate::host::bytes("(module (func (param v128)))");
    assert!(with::<E>(&[]).unwrap().compile(&wasm).is_ok());
    let plain = with::<E>(&[("wasm_simd", "off"), ("wasm_relaxed_simd", "off")]).unwrap();
    assert!(plain.compile(&wasm).is_err());
}

fn the_stack_can_be_made_larger_and_smaller<E: WasmEngine>() {
    use crate::host::{Loaded, plan};

    let deepest = |size: &str| {
        let engine = with::<E>(&[("max_wasm_stack", size)]).unwrap();
        let wat = r#"(module (func $f (export "f") (param i32)
            (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))))))"#;
        let plan = plan(&engine, wat);
        let loaded = Loaded { engine, plan };
        (0..).map(|n| 1u32 << n).find(|depth| loaded.start().call::<_, ()>("f", (*depth,)).is_err()).unwrap()
    };
    let (small, large) = (deepest("64k"), deepest("256k"));
    assert!(small < large, "{small} {large}");
}

#[cfg(feature = "wasmtime")]
#[test]
fn flags_of_wasmtime() {
    use engines::Wasmtime;

    let applied = [
        ("debug_info", "on"),
        ("consume_fuel", "on"),
        ("epoch_interruption", "on"),
        ("max_wasm_stack", "4m"),
        ("wasm_threads", "on"),
        ("wasm_reference_types", "off"),
        ("wasm_relaxed_simd", "on"),
        ("wasm_simd", "on"),
        ("wasm_bulk_memory", "on"),
        ("wasm_multi_value", "on"),
        ("wasm_multi_memory", "off"),
        ("wasm_memory64", "on"),
        ("strategy", "auto"),
        ("strategy", "cranelift"),
        ("strategy", "winch"),
        ("parallel_compilation", "off"),
        ("cranelift_debug_verifier", "on"),
        ("cranelift_nan_canonicalization", "on"),
        ("cranelift_opt_level", "none"),
        ("cranelift_opt_level", "speed"),
        ("cranelift_opt_level", "speed_and_size"),
        ("compiler_inlining", "on"),
        ("compiler_inlining", "off"),
        ("profiler", "none"),
        ("static_memory_maximum_size", "1m"),
        ("static_memory_guard_size", "64k"),
    ];
    let module = r#"(module (func (export "f") (result i32) (i32.const 42)))"#;
    for (name, value) in applied {
        assert_eq!(Wasmtime::check_flag(name, value), Ok(FlagEffect::Applied), "{name} {value}");
        let engine = with::<Wasmtime>(&[(name, value)]).unwrap_or_else(|error| panic!("{name} {value}: {error:#}"));
        let plan = crate::host::plan(&engine, module);
        let answer = crate::host::Loaded { engine, plan }.start().call::<(), u32>("f", ());
        assert_eq!(answer.unwrap(), 42, "{name} {value}");
    }
    for (name, value) in
        [("dynamic_memory_guard_size", "64k"), ("parallel_compilation", "on"), ("epoch_interruption", "off")]
    {
        assert_eq!(Wasmtime::check_flag(name, value), Ok(FlagEffect::Ignored), "{name} {value}");
        assert!(with::<Wasmtime>(&[(name, value)]).is_ok());
    }
    for profiler in ["jitdump", "perfmap", "vtune"] {
        assert_eq!(Wasmtime::check_flag("profiler", profiler), Ok(FlagEffect::Applied));
    }
    for name in ["strategy", "profiler", "cranelift_opt_level"] {
        assert_eq!(Wasmtime::check_flag(name, "x"), Err(FlagError::Invalid("x".into())));
    }
    assert_eq!(Wasmtime::check_flag("async_support", "on"), Err(FlagError::Unsupported));
}

/// Found by its effect: the function that was called leaves no frame of its own.
#[cfg(feature = "wasmtime")]
#[test]
fn wasmtime_inlines_functions_when_told_so() {
    use engines::Wasmtime;

    let module = r#"(module (func $inner (unreachable)) (func $outer (export "outer") (call $inner)))"#;
    let frames = |flags: &[(&str, &str)]| {
        let flags = flags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let engine = Wasmtime::new(&Config { flags, backtraces: true, ..config() }).unwrap();
        let plan = crate::host::plan(&engine, module);
        let trap = crate::host::Loaded { engine, plan }.start().call::<(), ()>("outer", ()).unwrap_err();
        trap.backtrace().map(|frames| frames.to_string()).unwrap_or_default()
    };
    let (plain, off) = (frames(&[]), frames(&[("compiler_inlining", "off")]));
    assert!(plain.contains("inner") && off.contains("inner"), "{plain}\n{off}");
    let inlined = frames(&[("compiler_inlining", "on")]);
    assert!(inlined.contains("outer") && !inlined.contains("inner"), "{inlined}");
}

#[cfg(feature = "wasmtime")]
#[test]
fn a_strategy_must_not_contradict_the_compiler() {
    let flags = vec![("strategy".into(), "cranelift".into())];
    let config = Config { compiler: "winch".into(), flags, ..config() };
    let error = engines::Wasmtime::new(&config).err().unwrap();
    assert_eq!(error.to_string(), r#"flag "strategy" contradicts compiler "winch""#);
}

#[cfg(feature = "wasmer")]
#[test]
fn flags_of_wasmer() {
    use engines::Wasmer;

    let applied = [
        ("wasm_bulk_memory", "on"),
        ("wasm_memory64", "off"),
        ("wasm_module_linking", "off"),
        ("wasm_multi_memory", "off"),
        ("wasm_multi_value", "on"),
        ("wasm_reference_types", "off"),
        ("wasm_simd", "on"),
        ("wasm_relaxed_simd", "on"),
        ("wasm_extended_const", "off"),
        ("wasm_wide_arithmetic", "on"),
        ("wasm_exceptions", "on"),
        ("wasm_tail_call", "off"),
        ("wasm_threads", "off"),
        ("max_wasm_stack", "4m"),
        ("static_memory_bound", "1m"),
        ("static_memory_offset_guard_size", "64k"),
        ("dynamic_memory_offset_guard_size", "100"),
        ("nan_canonicalization", "on"),
        ("cranelift_opt_level", "none"),
        ("cranelift_opt_level", "speed"),
        ("cranelift_opt_level", "speed_and_size"),
    ];
    let module = r#"(module (memory 1) (func (export "grow") (result i32) (memory.grow (i32.const 1)))
        (func (export "f") (result i32) (i32.store (i32.const 0x1fffc) (i32.const 42)) (i32.load (i32.const 0x1fffc)))
        (func (export "out") (result i32) (i32.load (i32.const 0x1fffd))))"#;
    for (name, value) in applied {
        assert_eq!(Wasmer::check_flag(name, value), Ok(FlagEffect::Applied), "{name} {value}");
        let engine = with::<Wasmer>(&[(name, value)]).unwrap_or_else(|error| panic!("{name} {value}: {error:#}"));
        let plan = crate::host::plan(&engine, module);
        let loaded = crate::host::Loaded { engine, plan };
        let mut guest = loaded.start();
        let answers = ["grow", "f"].map(|export| guest.call::<(), u32>(export, ()).unwrap());
        assert_eq!(answers, [1, 42], "{name} {value}");
        assert!(guest.call::<(), u32>("out", ()).is_err());
    }
    for name in ["wasm_memory64", "wasm_module_linking", "wasm_tail_call"] {
        assert_eq!(Wasmer::check_flag(name, "on"), Ok(FlagEffect::Ignored), "{name}");
        assert!(with::<Wasmer>(&[(name, "on")]).is_ok());
    }
    for (name, value) in [("static_memory_bound", "x"), ("cranelift_opt_level", "x"), ("wasm_tail_call", "x")] {
        assert_eq!(Wasmer::check_flag(name, value), Err(FlagError::Invalid(value.into())));
    }
}

#[cfg(feature = "wasmer")]
#[test]
fn flags_of_wasmer_turn_features_off() {
    use engines::Wasmer;

    for (name, wat) in [
        ("wasm_multi_memory", "(module (memory 1) (memory 1))"),
        ("wasm_multi_value", "(module (func (result i32 i32) (i32.const 1) (i32.const 2)))"),
        ("wasm_reference_types", "(module (table 1 externref))"),
        ("wasm_extended_const", "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))"),
        ("wasm_bulk_memory", "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))"),
        ("wasm_exceptions", "(module (tag))"),
        ("wasm_threads", "(module (memory 1 1 shared))"),
    ] {
        let wasm = crate::host::bytes(wat);
        assert!(with::<Wasmer>(&[(name, "on")]).unwrap().compile(&wasm).is_ok(), "{name}");
        assert!(with::<Wasmer>(&[(name, "off")]).unwrap().compile(&wasm).is_err(), "{name}");
    }
    // Unless it is asked for: who waits for a change of it may wait for ever.
    let shared = crate::host::bytes("(module (memory 1 1 shared))");
    let error = with::<Wasmer>(&[]).unwrap().compile(&shared).err().unwrap().to_string();
    assert_eq!(error, r#"shared memory needs the flag "wasm_threads""#);
}

#[cfg(feature = "wasmi")]
#[test]
fn flags_of_wasmi() {
    use engines::Wasmi;

    let names = [
        "floats",
        "wasm_mutable_global",
        "wasm_sign_extension",
        "wasm_saturating_float_to_int",
        "wasm_bulk_memory",
        "wasm_multi_value",
        "wasm_multi_memory",
        "wasm_memory64",
        "wasm_reference_types",
        "wasm_simd",
        "wasm_relaxed_simd",
        "wasm_tail_call",
        "wasm_extended_const",
        "wasm_custom_page_sizes",
        "wasm_wide_arithmetic",
    ];
    for name in names {
        for value in ["on", "off"] {
            assert_eq!(Wasmi::check_flag(name, value), Ok(FlagEffect::Applied));
            assert!(with::<Wasmi>(&[(name, value)]).is_ok(), "{name} {value}");
        }
    }
    for mode in ["eager", "lazy", "lazy_translation"] {
        assert!(with::<Wasmi>(&[("compilation_mode", mode)]).is_ok());
    }
    assert_eq!(Wasmi::check_flag("compilation_mode", "x"), Err(FlagError::Invalid("x".into())));
    assert_eq!(Wasmi::check_flag("max_recursion_depth", "5000"), Ok(FlagEffect::Applied));
    assert_eq!(Wasmi::check_flag("wasm_threads", "on"), Ok(FlagEffect::Ignored));
    assert_eq!(Wasmi::check_flag("allow_start_fn", "on"), Err(FlagError::Unsupported));
}
