//! wasmer's flags, and the engines that follow from them.

use std::{num::NonZero, sync::Arc};

use ::wasmer as w;
use anyhow::{Context as _, bail};
use w::sys::{
    BaseTunables, CompilerConfig, Cranelift, CraneliftOptLevel, EngineBuilder, Features, NativeEngineExt as _, Target,
    vm::VMConfig,
};

use super::{limits::Limits, meter::Meter};
use crate::{Config, FlagEffect, FlagError, flag::Flag};

/// A page of linear memory.
const PAGE: u64 = 64 << 10;
/// The stack of a guest, unless flags say otherwise: wasmer's own choice.
const STACK: usize = 1 << 20;
/// What wasmer takes for a stack.
const STACKS: std::ops::RangeInclusive<usize> = 8 << 10..=100 << 20;

/// What flags are set on.
#[derive(Clone)]
pub(super) struct Settings {
    compiler: Compiler,
    features: Features,
    /// Whether memory may be shared: a guest that waits for another to change it waits for ever.
    pub(super) shared_memory: bool,
    pub(super) stack: usize,
    static_bound: Option<u64>,
    static_guard: Option<u64>,
    dynamic_guard: Option<u64>,
    nan_canonicalization: Option<bool>,
    opt_level: CraneliftOptLevel,
    memory_limit: w::Pages,
}

#[derive(Clone, Copy)]
enum Compiler {
    Cranelift,
    #[cfg(feature = "wasmer-singlepass")]
    Singlepass,
    #[cfg(feature = "wasmer-llvm")]
    Llvm,
}

static FLAGS: &[(&str, Flag<Settings>)] = &[
    ("wasm_bulk_memory", Flag::Switch(|it, on| it.features.bulk_memory = on)),
    ("wasm_multi_memory", Flag::Switch(|it, on| it.features.multi_memory = on)),
    ("wasm_multi_value", Flag::Switch(|it, on| it.features.multi_value = on)),
    ("wasm_reference_types", Flag::Switch(|it, on| it.features.reference_types = on)),
    ("wasm_simd", Flag::Switch(|it, on| it.features.simd = on)),
    ("wasm_relaxed_simd", Flag::Switch(|it, on| it.features.relaxed_simd = on)),
    ("wasm_extended_const", Flag::Switch(|it, on| it.features.extended_const = on)),
    ("wasm_wide_arithmetic", Flag::Switch(|it, on| it.features.wide_arithmetic = on)),
    ("wasm_exceptions", Flag::Switch(|it, on| it.features.exceptions = on)),
    ("wasm_threads", Flag::Switch(|it, on| (it.features.threads, it.shared_memory) = (on, on))),
    // Neither of its compilers has them.
    ("wasm_memory64", Flag::Fixed(false)),
    ("wasm_tail_call", Flag::Fixed(false)),
    // Proposed once, and given up.
    ("wasm_module_linking", Flag::Fixed(false)),
    (
        "max_wasm_stack",
        Flag::Size(|it, size| {
            it.stack = usize::try_from(size).unwrap_or(usize::MAX).clamp(*STACKS.start(), *STACKS.end());
        }),
    ),
    ("static_memory_bound", Flag::Size(|it, size| it.static_bound = Some(size))),
    ("static_memory_offset_guard_size", Flag::Size(|it, size| it.static_guard = Some(size))),
    ("dynamic_memory_offset_guard_size", Flag::Size(|it, size| it.dynamic_guard = Some(size))),
    ("nan_canonicalization", Flag::Switch(|it, on| it.nan_canonicalization = Some(on))),
    (
        "cranelift_opt_level",
        Flag::Word(|it, word| {
            it.opt_level = match word {
                "none" => CraneliftOptLevel::None,
                "speed" => CraneliftOptLevel::Speed,
                "speed_and_size" => CraneliftOptLevel::SpeedAndSize,
                _ => return None,
            };
            Some(())
        }),
    ),
];

pub(super) fn set(settings: &mut Settings, name: &str, value: &str) -> Result<FlagEffect, FlagError> {
    Flag::set(FLAGS, settings, name, value)
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(Compiler::Cranelift, w::Pages(0))
    }
}

impl Settings {
    fn new(compiler: Compiler, memory_limit: w::Pages) -> Self {
        let mut settings = Self {
            compiler,
            features: Features::none(),
            shared_memory: false,
            stack: STACK,
            static_bound: None,
            static_guard: None,
            dynamic_guard: None,
            nan_canonicalization: None,
            opt_level: CraneliftOptLevel::Speed,
            memory_limit,
        };
        settings.features = settings.compiler(None).supported_features_for_target(&Target::default());
        settings.features.exceptions = false;
        settings
    }

    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        let compiler = match config.compiler.as_str() {
            "auto" | "cranelift" => Compiler::Cranelift,
            #[cfg(feature = "wasmer-singlepass")]
            "singlepass" => Compiler::Singlepass,
            #[cfg(feature = "wasmer-llvm")]
            "llvm" => Compiler::Llvm,
            other => bail!("invalid compiler \"{other}\""),
        };
        let limit = (config.memory_limit / PAGE).clamp(1, u64::from(w::WASM_MAX_PAGES));
        let mut settings = Self::new(compiler, w::Pages(u32::try_from(limit).unwrap_or(w::WASM_MAX_PAGES)));
        for (name, value) in &config.flags {
            set(&mut settings, name, value).with_context(|| format!("flag \"{name}\""))?;
        }
        Ok(settings)
    }

    /// An engine for one module. It can compile that module if it has a meter for it.
    pub(super) fn engine(&self, meter: Option<Meter>) -> w::Engine {
        let builder = EngineBuilder::new(self.compiler(meter)).set_features(Some(self.features.clone()));
        let mut engine = w::Engine::from(builder.engine());
        let mut base = BaseTunables::for_target(engine.target());
        if let Some(size) = self.static_bound {
            let pages = size.div_ceil(PAGE).min(u64::from(w::WASM_MAX_PAGES));
            base.static_memory_bound = w::Pages(u32::try_from(pages).unwrap_or(w::WASM_MAX_PAGES));
        }
        base.static_memory_offset_guard_size = whole_pages(self.static_guard, base.static_memory_offset_guard_size);
        base.dynamic_memory_offset_guard_size = whole_pages(self.dynamic_guard, base.dynamic_memory_offset_guard_size);
        let stack = VMConfig { wasm_stack_size: Some(self.stack) };
        engine.set_tunables(Limits { base, memory: self.memory_limit, stack });
        engine
    }

    fn compiler(&self, meter: Option<Meter>) -> Box<dyn CompilerConfig> {
        let mut compiler: Box<dyn CompilerConfig> = match self.compiler {
            Compiler::Cranelift => {
                let mut cranelift = Cranelift::new();
                cranelift.num_threads(NonZero::<usize>::MIN).opt_level(self.opt_level.clone());
                Box::new(cranelift)
            }
            #[cfg(feature = "wasmer-singlepass")]
            Compiler::Singlepass => {
                let mut singlepass = w::sys::Singlepass::new();
                singlepass.num_threads(NonZero::<usize>::MIN);
                Box::new(singlepass)
            }
            #[cfg(feature = "wasmer-llvm")]
            Compiler::Llvm => {
                let mut llvm = w::sys::LLVM::new();
                llvm.num_threads(NonZero::<usize>::MIN);
                Box::new(llvm)
            }
        };
        if let Some(on) = self.nan_canonicalization {
            compiler.canonicalize_nans(on);
        }
        if let Some(meter) = meter {
            compiler.push_middleware(Arc::new(meter));
        }
        compiler
    }
}

/// A guard that a flag asks for, in whole pages; never so large that no memory could be had.
fn whole_pages(asked: Option<u64>, usual: u64) -> u64 {
    asked.map_or(usual, |size| size.min(1 << 40).next_multiple_of(PAGE))
}
