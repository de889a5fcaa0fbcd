//! Engines: which one is the default, and what each is made from.

use ::engines::{Config, FlagEffect, FlagError};
use ngx::{Conf, ConfError, Contexts, Level};

use super::WasmConf;
use super::problems::{At, duplicate, in_wasm};
use crate::engine;

/// Engines that nginx.conf may name, whether this build has them or not.
pub const KNOWN: &[&str] = &["wasmtime", "wasmer", "wasmi", "v8"];

/// What the directives about engines say.
#[derive(Default)]
pub struct Engines {
    default: Option<&'static str>,
    /// `compiler` outside of a block: the default engine's.
    compiler: Option<(String, At)>,
    blocks: Vec<Block>,
}

/// `wasmtime { … }` and the like.
struct Block {
    engine: &'static str,
    compiler: Option<(String, At)>,
    flags: Vec<(String, String)>,
}

impl Engines {
    /// The engine of modules that name none.
    pub fn default_name(&self) -> &'static str {
        self.default.or(engine::NAMES.first().copied()).unwrap_or_default()
    }

    /// What an engine is made from. With a compiler that it does not have, it is made as if none were named, so that
    /// the modules are checked all the same; [`Engines::wrong_compiler`] tells.
    pub fn config(&self, engine: &str, conf: &WasmConf) -> Config {
        let block = self.blocks.iter().find(|block| block.engine == engine);
        let compiler = self.compiler_of(engine).filter(|(name, _)| has_compiler(engine, name));
        Config {
            compiler: compiler.map_or("auto", |(name, _)| name).to_owned(),
            flags: block.map(|block| block.flags.clone()).unwrap_or_default(),
            memory_limit: conf.memory_limit,
            instances: conf.instances,
            backtraces: conf.backtraces,
        }
    }

    /// The compiler written for an engine that does not have it, and where.
    pub fn wrong_compiler(&self, engine: &str) -> Option<&(String, At)> {
        self.compiler_of(engine).filter(|(name, _)| !has_compiler(engine, name))
    }

    /// That of its block; for the default engine, failing that, the one of `wasm {}`.
    fn compiler_of(&self, engine: &str) -> Option<&(String, At)> {
        let block = self.blocks.iter().find(|block| block.engine == engine);
        let own = block.and_then(|block| block.compiler.as_ref());
        own.or(self.compiler.as_ref().filter(|_| engine == self.default_name()))
    }

    /// The engines of this build for which there is something to check, in use or not.
    pub fn configured(&self) -> impl Iterator<Item = &'static str> {
        let default = self.compiler.as_ref().map(|_| self.default_name());
        let blocks = self.blocks.iter().map(|block| block.engine).filter(|&name| Some(name) != default);
        default.into_iter().chain(blocks).filter(|name| engine::NAMES.contains(name)).collect::<Vec<_>>().into_iter()
    }

    fn block(&mut self, engine: &'static str) -> &mut Block {
        let index = self.blocks.iter().position(|block| block.engine == engine).unwrap_or_else(|| {
            self.blocks.push(Block { engine, compiler: None, flags: Vec::new() });
            self.blocks.len() - 1
        });
        &mut self.blocks[index]
    }
}

fn has_compiler(engine: &str, name: &str) -> bool {
    name == "auto" || engine::compilers(engine).contains(&name)
}

/// `engine NAME`
pub fn default_engine(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    if conf.engines.default.is_some() {
        return Err(duplicate(cf));
    }
    let name = text(cf, 1);
    let Some(found) = engine::NAMES.iter().find(|known| **known == name) else {
        return Err(format!("[wasm] unknown engine \"{name}\", this build has: {}", engine::NAMES.join(", ")));
    };
    conf.engines.default = Some(found);
    Ok(())
}

/// `compiler NAME` directly in `wasm {}`
pub fn default_compiler(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    once(cf, &mut conf.engines.compiler)
}

/// `compiler NAME` in the block of an engine
pub fn compiler(cf: Conf<'_>, conf: &mut WasmConf, engine: &'static str) -> Result<(), String> {
    once(cf, &mut conf.engines.block(engine).compiler)
}

/// Which compilers there are depends on the engine, which may be named further down: checked at the end.
fn once(cf: Conf<'_>, slot: &mut Option<(String, At)>) -> Result<(), String> {
    match slot.replace((text(cf, 1), At::of(cf))) {
        None => Ok(()),
        Some(_) => Err(duplicate(cf)),
    }
}

/// `wasmtime { … }` and the like. That of an engine which is not compiled in is read, and ignored with a notice, so that
/// a shared nginx.conf loads.
pub fn block(cf: Conf<'_>, engine: &'static str, contexts: Contexts) -> Result<(), ConfError> {
    in_wasm(cf, |cf, conf| {
        conf.engines.block(engine);
        if !engine::NAMES.contains(&engine) {
            let text = format_args!("this build has no \"{engine}\" engine: its block is ignored");
            cf.log_error(Level::Notice, text);
        }
        Ok(())
    })?;
    Ok(cf.parse_block(contexts)?)
}

/// `flag NAME VALUE` in the block of an engine
pub fn flag(cf: Conf<'_>, conf: &mut WasmConf, engine: &'static str) -> Result<(), String> {
    let (name, value) = (text(cf, 1), text(cf, 2));
    match engine::check_flag(engine, &name, &value) {
        None => Ok(()),
        Some(Ok(FlagEffect::Applied)) => {
            conf.note(Level::Info, format!("[wasm] setting flag: \"{name}={value}\""));
            conf.engines.block(engine).flags.push((name, value));
            Ok(())
        }
        Some(Ok(FlagEffect::Ignored)) => {
            let text = format_args!("[wasm] \"{engine}\" flag \"{name}={value}\" has no effect any more");
            cf.log_error(Level::Notice, text);
            Ok(())
        }
        Some(Err(FlagError::Unknown)) => Err(format!("[wasm] unknown \"{engine}\" configuration flag: \"{name}\"")),
        Some(Err(FlagError::Unsupported)) => {
            Err(format!("[wasm] unsupported \"{engine}\" configuration flag: \"{name}\""))
        }
        Some(Err(error @ FlagError::Invalid(_))) => Err(format!("failed setting {engine} flag: {error}")),
    }
}

fn text(cf: Conf<'_>, i: usize) -> String {
    String::from_utf8_lossy(cf.arg(i).unwrap_or_default()).into_owned()
}
