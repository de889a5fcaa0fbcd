//! Proposals to WebAssembly that not every engine takes unless it is asked to.

use engines::WasmEngine;

use crate::host::{bytes, config, otherwise};

on_every_engine!(
    custom_page_sizes,
    exceptions,
    extended_constants,
    function_references,
    garbage_collection,
    memory_of_64_bits,
    relaxed_vectors,
    several_memories,
    shared_memory,
    wide_arithmetic,
);

/// Checks that all engines compile it but these.
fn refused_by<E: WasmEngine>(engines: &[&str], wat: &str) {
    let refusal = E::new(&config()).unwrap().compile(&bytes(wat)).err();
    assert_eq!(refusal.is_some(), otherwise::<E>(engines, "refuses it"), "{refusal:?}");
}

const ALL: &[&str] = &["wasmtime", "wasmer", "wasmi"];

fn custom_page_sizes<E: WasmEngine>() {
    refused_by::<E>(ALL, "(module (memory 1 (pagesize 1)))");
}

fn exceptions<E: WasmEngine>() {
    refused_by::<E>(&["wasmer", "wasmi"], "(module (tag $tag) (func (throw $tag)))");
}

fn extended_constants<E: WasmEngine>() {
    refused_by::<E>(&[], "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))");
}

fn function_references<E: WasmEngine>() {
    refused_by::<E>(
        &["wasmer", "wasmi"],
        "(module (type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0))))",
    );
}

fn garbage_collection<E: WasmEngine>() {
    refused_by::<E>(
        &["wasmer", "wasmi"],
        "(module (type $pair (struct (field i32) (field i32))) (func (drop (struct.new_default $pair))))",
    );
}

fn memory_of_64_bits<E: WasmEngine>() {
    refused_by::<E>(&["wasmer"], "(module (memory i64 1))");
}

fn relaxed_vectors<E: WasmEngine>() {
    refused_by::<E>(&[], "(module (func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0))))");
}

fn several_memories<E: WasmEngine>() {
    refused_by::<E>(&[], "(module (memory 1) (memory 1))");
}

/// Unless it is asked for: a guest that waits for another to change it waits for ever.
fn shared_memory<E: WasmEngine>() {
    refused_by::<E>(ALL, "(module (memory 1 1 shared))");
}

fn wide_arithmetic<E: WasmEngine>() {
    refused_by::<E>(
        &["wasmtime", "wasmi"],
        "(module (func (param i64 i64 i64 i64) (result i64 i64)
             (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))))",
    );
}
