//! What it costs to cross the seam, per engine: `cargo bench -p engines --features wasmtime,wasmer,wasmi`.
#![cfg_attr(
    not(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi")),
    allow(dead_code, unused_imports, unused_macros)
)]

use divan::{Bencher, counter::ItemsCount};
use engines::{Caller, Config, HostFunction, Instance, Linker, Plan, Trap, WasmEngine, Wiring};

fn main() {
    divan::main();
}

/// The data of a store.
#[derive(Default)]
struct Host {
    line: Vec<u8>,
}

/// As a log function: reads guest memory, keeps a copy.
struct Log;

impl HostFunction<Host> for Log {
    const NAME: &'static str = "log";
    type Args = (u32, u32);
    type Ret = u32;

    fn call(caller: &mut impl Caller<Host>, (at, len): (u32, u32)) -> Result<u32, Trap> {
        let (memory, host) = caller.split();
        let Some(text) = memory.get(at as usize..).and_then(|it| it.get(..len as usize)) else { return Ok(1) };
        host.line.clear();
        host.line.extend_from_slice(text);
        Ok(0)
    }
}

/// The least that a host function can do.
struct Nothing;

impl HostFunction<Host> for Nothing {
    const NAME: &'static str = "nothing";
    type Args = (u32, u32);
    type Ret = u32;

    fn call(_: &mut impl Caller<Host>, (a, b): (u32, u32)) -> Result<u32, Trap> {
        Ok(a ^ b)
    }
}

/// Back into the guest for memory.
struct Alloc;

impl HostFunction<Host> for Alloc {
    const NAME: &'static str = "alloc";
    type Args = (u32, u32);
    type Ret = u32;

    fn call(caller: &mut impl Caller<Host>, (size, _): (u32, u32)) -> Result<u32, Trap> {
        caller.alloc(size)
    }
}

/// Calls from the guest within one measured call, so that the way into the guest is not what is measured.
const TIMES: u32 = 1000;

const GUEST: &str = r#"(module
    (import "env" "log" (func $log (param i32 i32) (result i32)))
    (import "env" "nothing" (func $nothing (param i32 i32) (result i32)))
    (import "env" "alloc" (func $alloc (param i32 i32) (result i32)))
    (memory (export "memory") 17) (data (i32.const 1048576) "hello") (global $n (mut i32) (i32.const 0))
    (func (export "malloc") (param i32) (result i32) (i32.const 64))
    (func (export "call") (param i32 i32 i32) (result i32) (local.get 0))
    (func (export "log") (param i32) (loop $again
        (drop (call $log (i32.const 1048576) (i32.const 5)))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "nothing") (param i32) (loop $again
        (drop (call $nothing (local.get 0) (i32.const 5)))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "alloc") (param i32) (loop $again
        (drop (call $alloc (i32.const 8) (i32.const 0)))
        (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func (export "touch") (param i32) (i32.store (i32.const 65536) (local.get 0)) (i32.store (i32.const 1048576) (local.get 0))))"#;

fn load<E: WasmEngine>(config: &Config) -> (E, E::Plan<Host>) {
    let engine = E::new(config).unwrap();
    let module = engine.compile(&wat::parse_str(GUEST).unwrap()).unwrap();
    let mut linker = engine.linker();
    linker.define::<Log>("env");
    linker.define::<Nothing>("env");
    linker.define::<Alloc>("env");
    let wiring = Wiring { memory: "memory", allocators: &["malloc"] };
    let plan = engine.plan(&linker, &module, wiring).unwrap();
    (engine, plan)
}

fn from_guest<E: WasmEngine>(bencher: Bencher, name: &str) {
    let (engine, plan) = load::<E>(&Config::default());
    let mut instance = engine.instantiate(&plan, Host::default(), None).unwrap();
    let func = instance.bind(&plan.slot::<(u32,), ()>(name).unwrap());
    bencher.counter(ItemsCount::new(TIMES)).bench_local(|| instance.call(&func, (TIMES,)));
}

/// The benches of one engine, in a module of its name.
macro_rules! on {
    ($name:ident: $engine:ty) => {
        mod $name {
            use super::*;

            #[divan::bench]
            fn host_to_guest(bencher: Bencher) {
                let (engine, plan) = load::<$engine>(&Config::default());
                let mut instance = engine.instantiate(&plan, Host::default(), None).unwrap();
                instance.set_time_limit(Some(std::time::Duration::from_secs(1)));
                let func = instance.bind(&plan.slot::<(u32, u32, u32), u32>("call").unwrap());
                bencher.bench_local(|| instance.call(&func, divan::black_box((1, 2, 3))));
            }

            #[divan::bench]
            fn guest_to_host(bencher: Bencher) {
                from_guest::<$engine>(bencher, "nothing");
            }

            #[divan::bench]
            fn guest_to_host_with_a_copy(bencher: Bencher) {
                from_guest::<$engine>(bencher, "log");
            }

            #[divan::bench]
            fn guest_to_host_to_guest(bencher: Bencher) {
                from_guest::<$engine>(bencher, "alloc");
            }

            #[divan::bench]
            fn bind(bencher: Bencher) {
                let (engine, plan) = load::<$engine>(&Config::default());
                let mut instance = engine.instantiate(&plan, Host::default(), None).unwrap();
                let slot = plan.slot::<(u32, u32, u32), u32>("call").unwrap();
                bencher.bench_local(|| instance.bind(&slot));
            }

            #[divan::bench]
            fn instantiate(bencher: Bencher) {
                let (engine, plan) = load::<$engine>(&Config::default());
                bencher.bench_local(|| drop(engine.instantiate(&plan, Host::default(), None).unwrap()));
            }

            #[divan::bench]
            fn instantiate_without_a_pool(bencher: Bencher) {
                let (engine, plan) = load::<$engine>(&Config { instances: 0, ..Config::default() });
                bencher.bench_local(|| drop(engine.instantiate(&plan, Host::default(), None).unwrap()));
            }

            /// With two pages of memory written to, as the shortest filter would.
            #[divan::bench]
            fn instantiate_and_touch_memory(bencher: Bencher) {
                let (engine, plan) = load::<$engine>(&Config::default());
                let slot = plan.slot::<(u32,), ()>("touch").unwrap();
                bencher.bench_local(|| {
                    let mut instance = engine.instantiate(&plan, Host::default(), None).unwrap();
                    let func = instance.bind(&slot);
                    instance.call(&func, (1,)).unwrap();
                });
            }
        }
    };
}

#[cfg(feature = "wasmtime")]
on!(wasmtime: engines::Wasmtime);
#[cfg(feature = "wasmer")]
on!(wasmer: engines::Wasmer);
#[cfg(feature = "wasmi")]
on!(wasmi: engines::Wasmi);
