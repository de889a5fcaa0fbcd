//! Modules as bytes, before and after compilation.

use engines::WasmEngine;

use crate::host::{WIRING, bytes, config};

on_every_engine!(
    an_artefact_comes_back_as_the_module_it_was,
    what_is_no_artefact_is_refused,
    what_is_no_module_is_refused,
);

const ANSWER: &str = r#"(module (memory (export "memory") 1) (data (i32.const 0) "*")
    (func (export "f") (result i32) (i32.load8_u (i32.const 0))))"#;

/// Takes the artefact and runs it.
fn answer<E: WasmEngine>(engine: &E, artefact: &[u8]) -> u32 {
    // SAFETY: every caller passes on what `serialize` of an engine made from the same configuration gave it.
    let module = unsafe { engine.deserialize(artefact) }.unwrap();
    let plan = engine.plan(&engine.linker::<crate::host::Host>(), &module, WIRING).unwrap();
    let instance = engine.instantiate(&plan, Default::default(), None).unwrap();
    crate::host::Running::<E> { instance, plan: &plan }.call("f", ()).unwrap()
}

fn an_artefact_comes_back_as_the_module_it_was<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let artefact = engine.serialize(&engine.compile(&bytes(ANSWER)).unwrap()).unwrap();
    assert_eq!(answer(&engine, &artefact), 42);
    assert_eq!(answer(&E::new(&config()).unwrap(), &artefact), 42, "in another engine");

    // SAFETY: it came from `serialize` this moment.
    let again = unsafe { engine.deserialize(&artefact) }.unwrap();
    assert_eq!(answer(&engine, &engine.serialize(&again).unwrap()), 42, "and once more");
}

fn what_is_no_artefact_is_refused<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let good = engine.serialize(&engine.compile(&bytes(ANSWER)).unwrap()).unwrap();
    let mut changed = good.clone();
    changed[..4].copy_from_slice(b"nope");
    for wrong in [&b""[..], b"no artefact", &bytes(ANSWER), &good[..20], &changed] {
        // SAFETY: none of these has the header by which an engine knows its artefacts, so no code of theirs is run.
        assert!(unsafe { engine.deserialize(wrong) }.is_err());
    }
}

fn what_is_no_module_is_refused<E: WasmEngine>() {
    let engine = E::new(&config()).unwrap();
    let good = bytes(ANSWER);
    // A function that should give back a number and gives none.
    let invalid = b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";
    for wrong in [&b""[..], b"\0asm", b"(module)", &good[..good.len() - 1], invalid] {
        let reason = engine.compile(wrong).err().expect("no module").to_string();
        assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}");
    }
    // The start function must take nothing and give nothing.
    let start = b"\0asm\x01\0\0\0\x01\x05\x01\x60\x01\x7f\0\x03\x02\x01\0\x08\x01\0\x0a\x04\x01\x02\0\x0b";
    assert!(engine.compile(start).is_err());
}

#[cfg(feature = "wasmtime")]
#[test]
fn an_artefact_made_under_other_flags_is_refused() {
    let flags = vec![("consume_fuel".into(), "on".into())];
    let other = engines::Wasmtime::new(&engines::Config { flags, ..config() }).unwrap();
    let engine = engines::Wasmtime::new(&config()).unwrap();
    let artefact = other.serialize(&other.compile(&bytes(ANSWER)).unwrap()).unwrap();
    // SAFETY: an artefact of wasmtime says what it was made under.
    assert!(unsafe { engine.deserialize(&artefact) }.is_err());
}

#[cfg(feature = "wasmer")]
#[test]
fn an_artefact_of_wasmer_under_other_flags_is_refused() {
    let flags = vec![("nan_canonicalization".into(), "on".into())];
    let other = engines::Wasmer::new(&engines::Config { flags, ..config() }).unwrap();
    let engine = engines::Wasmer::new(&config()).unwrap();
    let artefact = other.serialize(&other.compile(&bytes(ANSWER)).unwrap()).unwrap();
    // SAFETY: an artefact says what it was made by and under.
    assert!(unsafe { engine.deserialize(&artefact) }.is_err());
}

#[cfg(feature = "wasmer-singlepass")]
#[test]
fn an_artefact_of_another_compiler_is_refused() {
    let other = engines::Wasmer::new(&engines::Config { compiler: "singlepass".into(), ..config() }).unwrap();
    let engine = engines::Wasmer::new(&config()).unwrap();
    let artefact = other.serialize(&other.compile(&bytes(ANSWER)).unwrap()).unwrap();
    // SAFETY: as above.
    assert!(unsafe { engine.deserialize(&artefact) }.is_err());
}

#[cfg(all(feature = "wasmtime", feature = "wasmi"))]
#[test]
fn an_artefact_of_another_engine_is_refused() {
    let (wasmtime, wasmi) = (engines::Wasmtime::new(&config()).unwrap(), engines::Wasmi::new(&config()).unwrap());
    let of_wasmtime = wasmtime.serialize(&wasmtime.compile(&bytes(ANSWER)).unwrap()).unwrap();
    let of_wasmi = wasmi.serialize(&wasmi.compile(&bytes(ANSWER)).unwrap()).unwrap();
    // SAFETY: the header of one is not the header of the other.
    unsafe {
        assert!(wasmtime.deserialize(&of_wasmi).is_err());
        assert!(wasmi.deserialize(&of_wasmtime).is_err());
    }
}
