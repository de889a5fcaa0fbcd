//! wasmi's words and ours.

use ::wasmi as w;

use crate::{ExternType, FuncType, Import, Trap, ValType, trap::one_line};

impl w::errors::HostError for Trap {}

/// Our trap as the error that wasmi carries through the guest.
#[cold]
pub(crate) fn raise(trap: Trap) -> w::Error {
    w::Error::host(trap)
}

/// The way back, and the engine's own traps, in wasmtime's words.
#[cold]
pub(super) fn trap(error: &w::Error) -> Trap {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return trap.clone();
    }
    match error.as_trap_code() {
        Some(w::TrapCode::IndirectCallToNull) => Trap::guest("uninitialized element"),
        Some(code) => Trap::guest(code),
        None => Trap::host(one_line(error)),
    }
}

pub(super) fn imports(module: &w::Module) -> Vec<Import> {
    let neutral =
        |it: w::ImportType<'_>| Import { module: it.module().into(), name: it.name().into(), ty: neutral(it.ty()) };
    module.imports().map(neutral).collect()
}

pub(super) fn neutral(ty: &w::ExternType) -> ExternType {
    match ty {
        w::ExternType::Func(ty) => ExternType::Func(func_type(ty)),
        w::ExternType::Memory(_) => ExternType::Memory,
        w::ExternType::Table(_) => ExternType::Table,
        w::ExternType::Global(_) => ExternType::Global,
    }
}

pub(super) fn func_type(ty: &w::FuncType) -> FuncType {
    let neutral = |types: &[w::ValType]| types.iter().map(val_type).collect();
    FuncType { params: neutral(ty.params()), results: neutral(ty.results()) }
}

fn val_type(ty: &w::ValType) -> ValType {
    match ty {
        w::ValType::I32 => ValType::I32,
        w::ValType::I64 => ValType::I64,
        w::ValType::F32 => ValType::F32,
        w::ValType::F64 => ValType::F64,
        w::ValType::V128 => ValType::V128,
        w::ValType::FuncRef => ValType::FuncRef,
        w::ValType::ExternRef => ValType::ExternRef,
    }
}
