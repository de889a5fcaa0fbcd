//! wasmtime's flags, and the engines that follow from them.

use ::wasmtime as w;
use anyhow::{Context as _, ensure};

use super::{TABLE_LIMIT, Wasmtime, convert::reason};
use crate::{Config, FlagEffect, FlagError, WasmEngine as _, flag::Flag};

/// A page of linear memory.
const PAGE: u64 = 64 << 10;
/// What wasmtime reserves for a memory by itself: all that a 32-bit address can reach, so that accesses need no check.
const WHOLE_ADDRESS_SPACE: u64 = 4 << 30;
/// What wasmtime puts behind a memory by itself: an access at a constant offset smaller than this needs no check.
const LARGE_GUARD: u64 = 32 << 20;
/// How much of a table is kept and set to zero when an instance ends, instead of given back and faulted in again: all
/// of most tables, which are some hundred entries long.
const TABLE_KEPT: usize = 16 << 10;
/// The most memories and tables of one module in the pool; most have one of each.
const PER_MODULE: u32 = 8;

/// What flags are set on.
#[derive(Default)]
pub(super) struct Settings {
    config: w::Config,
    strategy: Option<w::Strategy>,
    reservation: Option<u64>,
    guard: Option<u64>,
    pub(super) fuel: bool,
}

static FLAGS: &[(&str, Flag<Settings>)] = &[
    ("debug_info", Flag::Switch(|it, on| _ = it.config.debug_info(on))),
    (
        "consume_fuel",
        Flag::Switch(|it, on| {
            it.config.consume_fuel(on);
            it.fuel = on;
        }),
    ),
    // Time limits need it.
    ("epoch_interruption", Flag::Fixed(true)),
    (
        "max_wasm_stack",
        Flag::Size(|it, size| {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            // wasmtime wants the stack of asynchronous calls, of which there are none, to be no smaller.
            it.config.max_wasm_stack(size).async_stack_size(size.max(2 << 20));
        }),
    ),
    ("wasm_threads", Flag::Switch(|it, on| _ = it.config.wasm_threads(on).shared_memory(on))),
    ("wasm_reference_types", Flag::Switch(|it, on| _ = it.config.wasm_reference_types(on))),
    ("wasm_relaxed_simd", Flag::Switch(|it, on| _ = it.config.wasm_relaxed_simd(on))),
    ("wasm_simd", Flag::Switch(|it, on| _ = it.config.wasm_simd(on))),
    ("wasm_bulk_memory", Flag::Switch(|it, on| _ = it.config.wasm_bulk_memory(on))),
    ("wasm_multi_value", Flag::Switch(|it, on| _ = it.config.wasm_multi_value(on))),
    ("wasm_multi_memory", Flag::Switch(|it, on| _ = it.config.wasm_multi_memory(on))),
    ("wasm_memory64", Flag::Switch(|it, on| _ = it.config.wasm_memory64(on))),
    (
        "strategy",
        Flag::Word(|it, word| {
            it.strategy = strategy(word)?;
            Some(())
        }),
    ),
    // No thread may be alive when nginx forks.
    ("parallel_compilation", Flag::Fixed(false)),
    ("cranelift_debug_verifier", Flag::Switch(|it, on| _ = it.config.cranelift_debug_verifier(on))),
    (
        "cranelift_nan_canonicalization",
        Flag::Switch(|it, on| {
            it.config.cranelift_nan_canonicalization(on);
        }),
    ),
    (
        "cranelift_opt_level",
        Flag::Word(|it, word| {
            it.config.cranelift_opt_level(match word {
                "none" => w::OptLevel::None,
                "speed" => w::OptLevel::Speed,
                "speed_and_size" => w::OptLevel::SpeedAndSize,
                _ => return None,
            });
            Some(())
        }),
    ),
    // Not wasmtime's choice, nor ours: it compiles several times as long for some percent of speed.
    (
        "compiler_inlining",
        Flag::Switch(|it, on| _ = it.config.compiler_inlining(if on { w::Inlining::Yes } else { w::Inlining::No })),
    ),
    (
        "profiler",
        Flag::Word(|it, word| {
            it.config.profiler(match word {
                "none" => w::ProfilingStrategy::None,
                "jitdump" => w::ProfilingStrategy::JitDump,
                "perfmap" => w::ProfilingStrategy::PerfMap,
                "vtune" => w::ProfilingStrategy::VTune,
                _ => return None,
            });
            Some(())
        }),
    ),
    ("static_memory_maximum_size", Flag::Size(|it, size| it.reservation = Some(size))),
    ("memory_reservation", Flag::Size(|it, size| it.reservation = Some(size))),
    ("static_memory_guard_size", Flag::Size(|it, size| it.guard = Some(size))),
    ("memory_guard_size", Flag::Size(|it, size| it.guard = Some(size))),
    // One guard size serves both kinds of memory now.
    ("dynamic_memory_guard_size", Flag::GoneSize),
    // The module's own business.
    ("allocation_strategy", Flag::Unsupported),
    ("async_support", Flag::Unsupported),
    ("coredump_on_trap", Flag::Unsupported),
    ("signals_based_traps", Flag::Unsupported),
    ("wasm_backtrace", Flag::Unsupported),
];

/// `Some(None)` leaves the choice to wasmtime.
fn strategy(word: &str) -> Option<Option<w::Strategy>> {
    match word {
        "auto" => Some(None),
        "cranelift" => Some(Some(w::Strategy::Cranelift)),
        "winch" => Some(Some(w::Strategy::Winch)),
        _ => None,
    }
}

pub(super) fn set(settings: &mut Settings, name: &str, value: &str) -> Result<FlagEffect, FlagError> {
    Flag::set(FLAGS, settings, name, value)
}

/// The limit in whole pages.
pub(super) fn memory_limit(config: &Config) -> usize {
    let limit = (config.memory_limit / PAGE * PAGE).clamp(PAGE, WHOLE_ADDRESS_SPACE);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl Settings {
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        let mut settings = Self::default();
        settings.defaults(config.backtraces);
        for (name, value) in &config.flags {
            set(&mut settings, name, value).with_context(|| format!("flag \"{name}\""))?;
        }
        let known = Wasmtime::COMPILERS.contains(&config.compiler.as_str());
        ensure!(known || config.compiler == "auto", "invalid compiler \"{}\"", config.compiler);
        let compiler = strategy(&config.compiler).flatten();
        if let (Some(compiler), Some(flag)) = (compiler, settings.strategy) {
            let compiler_is = format!("compiler \"{}\"", config.compiler);
            ensure!(compiler == flag, "flag \"strategy\" contradicts {compiler_is}");
        }
        settings.config.strategy(compiler.or(settings.strategy).unwrap_or(w::Strategy::Auto));
        Ok(settings)
    }

    fn defaults(&mut self, backtraces: bool) {
        self.config
            .epoch_interruption(true)
            .wasm_backtrace_max_frames(if backtraces { std::num::NonZero::new(64) } else { None })
            .wasm_backtrace_details(match backtraces {
                true => w::WasmBacktraceDetails::Enable,
                false => w::WasmBacktraceDetails::Disable,
            });
    }

    /// The engine that compiles, with a pool if at all possible, and the one for what the pool has no room for.
    pub(super) fn engines(&self, config: &Config) -> anyhow::Result<(w::Engine, Option<w::Engine>)> {
        let limit = memory_limit(config) as u64;
        let usual = self.config_for(WHOLE_ADDRESS_SPACE, LARGE_GUARD, limit);
        // Under a limit on address space this may still fit; its code checks each access.
        let frugal = self.config_for(limit, PAGE, limit);
        if config.instances > 0 {
            for on_demand in [&usual, &frugal] {
                let mut pooled = on_demand.clone();
                pooled.allocation_strategy(pool(config));
                if let Ok(main) = w::Engine::new(&pooled) {
                    let spare = w::Engine::new(on_demand).map_err(reason)?;
                    return Ok((main, Some(spare)));
                }
            }
        }
        // No pool. And when flags are at fault rather than memory, this is what says so.
        let on_demand = if config.instances > 0 { &frugal } else { &usual };
        let main = w::Engine::new(on_demand).map_err(reason)?;
        Ok((main, None))
    }

    /// With these sizes of a memory's reservation and guard, unless flags say otherwise. A slot of the pool can be no
    /// smaller than what a memory may grow to.
    fn config_for(&self, reservation: u64, guard: u64, limit: u64) -> w::Config {
        let mut config = self.config.clone();
        config
            .memory_reservation(self.reservation.unwrap_or(reservation).max(limit))
            .memory_guard_size(self.guard.unwrap_or(guard));
        config
    }
}

fn pool(config: &Config) -> w::PoolingAllocationConfig {
    let mut pool = w::PoolingAllocationConfig::new();
    pool.max_memory_size(memory_limit(config))
        .table_elements(TABLE_LIMIT)
        .total_core_instances(config.instances)
        .total_memories(config.instances)
        .total_tables(config.instances)
        .total_gc_heaps(config.instances)
        .max_memories_per_module(PER_MODULE)
        .max_tables_per_module(PER_MODULE)
        .table_keep_resident(TABLE_KEPT)
        // It looks for pages to reset among those that are present: one that is being moved or swapped out in that
        // moment would keep what the instance before has written.
        .pagemap_scan(w::Enabled::No);
    pool
}
