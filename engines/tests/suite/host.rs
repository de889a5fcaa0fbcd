//! The host of these tests: its functions, and the short way from text to a running guest.

use std::io::Write as _;
use std::time::Duration;

use engines::{Args, Caller, Config, HostFunction, Instance, Linker, Plan, Ret, Trap, WasmEngine, Wiring};

/// The data of a store.
#[derive(Debug, Default)]
pub struct Host {
    pub log: Vec<String>,
}

pub const WIRING: Wiring = Wiring { memory: "memory", allocators: &["allocate", "malloc"] };

/// `fn name(caller, args…) -> result { … }` as a type that implements [`HostFunction`].
macro_rules! host_functions {
    ($define:ident: $(fn $name:ident($caller:ident $(, $arg:ident: $ty:ty)*) -> $ret:ty $body:block)*) => {
        $(
            #[allow(non_camel_case_types)]
            pub struct $name;

            impl HostFunction<Host> for $name {
                const NAME: &'static str = stringify!($name);
                type Args = ($($ty,)*);
                type Ret = $ret;

                fn call($caller: &mut impl Caller<Host>, ($($arg,)*): Self::Args) -> Result<$ret, Trap> $body
            }
        )*

        pub fn $define(linker: &mut impl Linker<Host>) {
            $( linker.define::<$name>("env"); )*
        }
    };
}

host_functions! { define:
    fn log(caller, at: u32, len: u32) -> () {
        let (memory, host) = caller.split();
        let text = memory.get(at as usize..).and_then(|it| it.get(..len as usize));
        host.log.push(String::from_utf8_lossy(text.unwrap_or(b"out of bounds")).into_owned());
        Ok(())
    }

    // Puts the last line of the log into memory that it asks for, and gives back its address.
    fn last(caller) -> u32 {
        let line = caller.data().log.last().cloned().unwrap_or_default();
        let at = caller.alloc(line.len() as u32)?;
        let (memory, _) = caller.split();
        memory[at as usize..][..line.len()].copy_from_slice(line.as_bytes());
        Ok(at)
    }

    fn memory_len(caller) -> u32 { Ok(caller.split().0.len() as u32) }
    fn alloc(caller, size: u32) -> u32 { caller.alloc(size) }
    fn alloc_and_go_on(caller, size: u32) -> u32 { Ok(caller.alloc(size).unwrap_or(77)) }

    fn echo_i32(_caller, it: i32) -> i32 { Ok(it) }
    fn echo_u32(_caller, it: u32) -> u32 { Ok(it) }
    fn echo_i64(_caller, it: i64) -> i64 { Ok(it) }
    fn echo_u64(_caller, it: u64) -> u64 { Ok(it) }
    fn echo_f32(_caller, it: f32) -> f32 { Ok(it) }
    fn echo_f64(_caller, it: f64) -> f64 { Ok(it) }
    fn thirteen(_caller, a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u64, h: u32, i: u32, j: f32, k: u32,
        l: u32, m: i32) -> u64 {
        let sum = [a, b, c, d, e, f, h, i, k, l].iter().fold(0, |sum, it| sum * 10 + u64::from(*it));
        Ok(sum + g + j as u64 + m as u64)
    }

    fn refuse(_caller) -> () { Err(Trap::host("the host says no")) }
    fn quit(_caller, code: i32) -> () { Err(Trap::exit(code)) }
    fn blow_up(_caller) -> u32 { panic!("a bug of {}", "ours") }
}

/// A module that is ready to be instantiated.
pub struct Loaded<E: WasmEngine> {
    pub engine: E,
    pub plan: E::Plan<Host>,
}

/// Small, so that many tests can have an engine at the same time.
pub fn config() -> Config {
    Config { memory_limit: 1 << 20, instances: 8, ..Config::default() }
}

/// Whether the engine of this test is one of those that do something else than others do in it, and what that is. It is
/// said aside, so that `make compare` shows it: whoever asks for the name of an engine in another way hides it.
pub fn otherwise<E: WasmEngine>(engines: &[&str], what: &str) -> bool {
    let is_one = engines.contains(&E::NAME);
    if is_one {
        let thread = std::thread::current();
        let line = format!("DIFFERS {}: {what}\n", thread.name().unwrap_or_default());
        // Straight to the descriptor: the test runner would keep what print! writes to itself.
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
    is_one
}

pub fn bytes(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

pub fn load<E: WasmEngine>(wat: &str) -> Loaded<E> {
    load_with(&config(), wat)
}

pub fn load_with<E: WasmEngine>(config: &Config, wat: &str) -> Loaded<E> {
    let engine = E::new(config).unwrap();
    let plan = plan(&engine, wat);
    Loaded { engine, plan }
}

pub fn plan<E: WasmEngine>(engine: &E, wat: &str) -> E::Plan<Host> {
    let module = engine.compile(&bytes(wat)).unwrap();
    let mut linker = engine.linker();
    define(&mut linker);
    engine.plan(&linker, &module, WIRING).unwrap()
}

impl<E: WasmEngine> Loaded<E> {
    pub fn start(&self) -> Running<'_, E> {
        self.try_start(None).unwrap()
    }

    pub fn try_start(&self, limit: Option<Duration>) -> Result<Running<'_, E>, Trap> {
        let instance = self.engine.instantiate(&self.plan, Host::default(), limit)?;
        Ok(Running { instance, plan: &self.plan })
    }
}

/// An instance, and the plan that knows its functions by name.
pub struct Running<'a, E: WasmEngine> {
    pub instance: E::Instance<Host>,
    pub plan: &'a E::Plan<Host>,
}

impl<E: WasmEngine> Running<'_, E> {
    pub fn call<A: Args, R: Ret>(&mut self, name: &str, args: A) -> Result<R, Trap> {
        let slot = self.plan.slot::<A, R>(name).unwrap_or_else(|| panic!("no {name} of that type"));
        let func = self.instance.bind(&slot);
        self.instance.call(&func, args)
    }

    pub fn data(&mut self) -> &mut Host {
        self.instance.data()
    }
}

/// A loop without an end, to be put in place of a body.
pub const FOREVER: &str = "(loop $again (br $again))";
