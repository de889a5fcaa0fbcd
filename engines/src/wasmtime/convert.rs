//! wasmtime's words and ours.

use ::wasmtime as w;

use crate::{
    ExternType, FuncType, Import, Trap, ValType,
    backtrace::{Frame, render},
    trap::one_line,
};

/// Our trap as the error that wasmtime carries through the guest.
#[cold]
pub(crate) fn raise(trap: Trap) -> w::Error {
    w::Error::new(trap)
}

/// The way back, and the engine's own traps.
#[cold]
pub(super) fn trap(error: w::Error) -> Trap {
    let frames = error.downcast_ref::<w::WasmBacktrace>().and_then(|it| render(it.frames().iter().map(frame)));
    let trap = match error.downcast::<Trap>() {
        Ok(trap) => trap,
        Err(error) => match error.downcast_ref::<w::Trap>() {
            Some(w::Trap::Interrupt) => Trap::deadline(),
            Some(trap) => {
                let text = trap.to_string();
                Trap::guest(text.strip_prefix("wasm trap: ").unwrap_or(&text))
            }
            None => Trap::host(one_line(format!("{error:#}"))),
        },
    };
    trap.with_backtrace(|| frames)
}

fn frame(frame: &w::FrameInfo) -> Frame<'_> {
    let symbol = frame.symbols().first();
    Frame {
        offset: frame.module_offset().unwrap_or(0),
        module: frame.module().name(),
        function: symbol.and_then(w::FrameSymbol::name).or(frame.func_name()).map(Into::into),
        index: frame.func_index(),
        file_and_line: symbol.and_then(|it| Some((it.file()?.into(), it.line()?))),
    }
}

/// wasmtime's reason, with all it has to say on one line.
pub(super) fn reason(error: w::Error) -> anyhow::Error {
    anyhow::Error::msg(one_line(format!("{error:#}")))
}

pub(super) fn imports(module: &w::Module) -> Vec<Import> {
    let neutral =
        |it: w::ImportType<'_>| Import { module: it.module().into(), name: it.name().into(), ty: neutral(&it.ty()) };
    module.imports().map(neutral).collect()
}

pub(super) fn neutral(ty: &w::ExternType) -> ExternType {
    match ty {
        w::ExternType::Func(ty) => ExternType::Func(func_type(ty)),
        w::ExternType::Memory(_) => ExternType::Memory,
        w::ExternType::Table(_) => ExternType::Table,
        w::ExternType::Global(_) => ExternType::Global,
        w::ExternType::Tag(_) => ExternType::Tag,
    }
}

pub(super) fn func_type(ty: &w::FuncType) -> FuncType {
    FuncType { params: ty.params().map(val_type).collect(), results: ty.results().map(val_type).collect() }
}

fn val_type(ty: w::ValType) -> ValType {
    match ty {
        w::ValType::I32 => ValType::I32,
        w::ValType::I64 => ValType::I64,
        w::ValType::F32 => ValType::F32,
        w::ValType::F64 => ValType::F64,
        w::ValType::V128 => ValType::V128,
        w::ValType::Ref(ty) => match ty.heap_type() {
            w::HeapType::Func if ty.is_nullable() => ValType::FuncRef,
            w::HeapType::Extern if ty.is_nullable() => ValType::ExternRef,
            _ => ValType::OtherRef,
        },
    }
}
