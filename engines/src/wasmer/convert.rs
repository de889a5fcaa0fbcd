//! wasmer's words and ours.

use std::borrow::Cow;

use ::wasmer as w;
use w::sys::vm::TrapCode;

use super::lines::Lines;
use crate::{
    ExternType, FuncType, Import, Trap, ValType,
    backtrace::{Frame, render},
    trap::one_line,
};

/// The most frames of a backtrace, as with wasmtime.
const MAX_FRAMES: usize = 64;

/// Our trap as the error that wasmer carries through the guest.
#[cold]
pub(crate) fn raise(trap: Trap) -> w::RuntimeError {
    w::RuntimeError::user(Box::new(trap))
}

/// The way back, and the engine's own traps, in wasmtime's words. With lines, it has a backtrace.
#[cold]
pub(super) fn trap(error: w::RuntimeError, lines: Option<&Lines>) -> Trap {
    let frames = lines.and_then(|lines| frames(error.trace(), lines));
    let trap = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.clone(),
        None => match error.clone().to_trap() {
            Some(code) => Trap::guest(reason(code)),
            None => Trap::host(one_line(error.message())),
        },
    };
    trap.with_backtrace(|| frames)
}

/// Why there is no instance.
#[cold]
pub(super) fn no_instance(error: w::InstantiationError, lines: Option<&Lines>) -> Trap {
    match error {
        w::InstantiationError::Link(w::LinkError::Trap(error)) | w::InstantiationError::Start(error) => {
            trap(error, lines)
        }
        error => Trap::host(one_line(error)),
    }
}

fn reason(code: TrapCode) -> Cow<'static, str> {
    Cow::Borrowed(match code {
        TrapCode::StackOverflow => "call stack exhausted",
        TrapCode::HeapAccessOutOfBounds => "out of bounds memory access",
        TrapCode::TableAccessOutOfBounds => "undefined element: out of bounds table access",
        TrapCode::IndirectCallToNull => "uninitialized element",
        TrapCode::BadSignature => "indirect call type mismatch",
        TrapCode::IntegerOverflow => "integer overflow",
        TrapCode::IntegerDivisionByZero => "integer divide by zero",
        TrapCode::BadConversionToInteger => "invalid conversion to integer",
        TrapCode::UnreachableCodeReached => "wasm `unreachable` instruction executed",
        TrapCode::HeapMisaligned | TrapCode::UnalignedAtomic => "unaligned atomic",
        other => return Cow::Owned(other.message().to_owned()),
    })
}

fn frames(trace: &[w::FrameInfo], lines: &Lines) -> Option<String> {
    let finder = lines.finder();
    render(trace.iter().take(MAX_FRAMES).map(|frame| {
        let place = finder.as_ref().map(|it| it.find(frame.module_offset() as u64)).unwrap_or_default();
        Frame {
            offset: frame.module_offset(),
            module: Some(frame.module_name()).filter(|name| !matches!(*name, "" | "<module>")),
            function: place.function.map(Into::into).or(frame.function_name().map(Into::into)),
            index: frame.func_index(),
            file_and_line: place.file_and_line.map(|(file, line)| (file.into(), line)),
        }
    }))
}

pub(super) fn imports(module: &w::Module) -> Vec<Import> {
    let neutral =
        |it: w::ImportType| Import { module: it.module().into(), name: it.name().into(), ty: neutral(it.ty()) };
    module.imports().map(neutral).collect()
}

pub(super) fn neutral(ty: &w::ExternType) -> ExternType {
    match ty {
        w::ExternType::Function(ty) => ExternType::Func(func_type(ty)),
        w::ExternType::Memory(_) => ExternType::Memory,
        w::ExternType::Table(_) => ExternType::Table,
        w::ExternType::Global(_) => ExternType::Global,
        w::ExternType::Tag(_) => ExternType::Tag,
    }
}

pub(super) fn func_type(ty: &w::FunctionType) -> FuncType {
    let neutral = |types: &[w::Type]| types.iter().map(val_type).collect();
    FuncType { params: neutral(ty.params()), results: neutral(ty.results()) }
}

fn val_type(ty: &w::Type) -> ValType {
    match ty {
        w::Type::I32 => ValType::I32,
        w::Type::I64 => ValType::I64,
        w::Type::F32 => ValType::F32,
        w::Type::F64 => ValType::F64,
        w::Type::V128 => ValType::V128,
        w::Type::FuncRef => ValType::FuncRef,
        w::Type::ExternRef => ValType::ExternRef,
        w::Type::ExceptionRef => ValType::OtherRef,
    }
}
