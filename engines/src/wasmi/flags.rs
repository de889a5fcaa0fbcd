//! wasmi's flags.

use ::wasmi as w;
use anyhow::Context as _;

use crate::{Config, FlagEffect, FlagError, flag::Flag};

/// Calls within calls. wasmi's own limit of a thousand is less than a parser of nested data may need; its frames are on
/// its own stack, which has a limit in bytes as well.
const RECURSION: usize = 20_000;
/// The smallest stack that wasmi begins with.
const SMALLEST_STACK: usize = 1_000;

static FLAGS: &[(&str, Flag<w::Config>)] = &[
    // Time limits need it.
    ("consume_fuel", Flag::Fixed(true)),
    (
        "max_wasm_stack",
        Flag::Size(|it, size| {
            let size = usize::try_from(size).unwrap_or(usize::MAX).max(SMALLEST_STACK);
            it.set_min_stack_height(SMALLEST_STACK).set_max_stack_height(size);
        }),
    ),
    (
        "max_recursion_depth",
        Flag::Size(|it, depth| _ = it.set_max_recursion_depth(usize::try_from(depth).unwrap_or(usize::MAX))),
    ),
    (
        "compilation_mode",
        Flag::Word(|it, word| {
            it.compilation_mode(match word {
                "eager" => w::CompilationMode::Eager,
                "lazy_translation" => w::CompilationMode::LazyTranslation,
                "lazy" => w::CompilationMode::Lazy,
                _ => return None,
            });
            Some(())
        }),
    ),
    ("floats", Flag::Switch(|it, on| _ = it.floats(on))),
    ("wasm_mutable_global", Flag::Switch(|it, on| _ = it.wasm_mutable_global(on))),
    ("wasm_sign_extension", Flag::Switch(|it, on| _ = it.wasm_sign_extension(on))),
    ("wasm_saturating_float_to_int", Flag::Switch(|it, on| _ = it.wasm_saturating_float_to_int(on))),
    ("wasm_bulk_memory", Flag::Switch(|it, on| _ = it.wasm_bulk_memory(on))),
    ("wasm_multi_value", Flag::Switch(|it, on| _ = it.wasm_multi_value(on))),
    ("wasm_multi_memory", Flag::Switch(|it, on| _ = it.wasm_multi_memory(on))),
    ("wasm_memory64", Flag::Switch(|it, on| _ = it.wasm_memory64(on))),
    ("wasm_reference_types", Flag::Switch(|it, on| _ = it.wasm_reference_types(on))),
    ("wasm_simd", Flag::Switch(|it, on| _ = it.wasm_simd(on))),
    ("wasm_relaxed_simd", Flag::Switch(|it, on| _ = it.wasm_relaxed_simd(on))),
    ("wasm_tail_call", Flag::Switch(|it, on| _ = it.wasm_tail_call(on))),
    ("wasm_extended_const", Flag::Switch(|it, on| _ = it.wasm_extended_const(on))),
    ("wasm_custom_page_sizes", Flag::Switch(|it, on| _ = it.wasm_custom_page_sizes(on))),
    ("wasm_wide_arithmetic", Flag::Switch(|it, on| _ = it.wasm_wide_arithmetic(on))),
    // An interpreter has none.
    ("wasm_threads", Flag::Fixed(false)),
    // `rewrite.rs` sees to it.
    ("allow_start_fn", Flag::Unsupported),
];

pub(super) fn set(config: &mut w::Config, name: &str, value: &str) -> Result<FlagEffect, FlagError> {
    Flag::set(FLAGS, config, name, value)
}

pub(super) fn settings(config: &Config) -> anyhow::Result<w::Config> {
    let mut settings = w::Config::default();
    settings
        .consume_fuel(true)
        .set_max_recursion_depth(RECURSION)
        // In the master, for all workers.
        .compilation_mode(w::CompilationMode::Eager);
    for (name, value) in &config.flags {
        set(&mut settings, name, value).with_context(|| format!("flag \"{name}\""))?;
    }
    Ok(settings)
}
