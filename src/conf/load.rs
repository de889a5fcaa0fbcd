//! Modules: read, compiled, linked and given to the filters that name them. In the master, before it forks.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use ::engines::artefact::Source;
use ngx::process::{self, Kind};
use ngx::{Cycle, Level, Log};
use sha2::{Digest as _, Sha256};

use super::problems::{one_line, system};
use super::values::{self, Digest};
use super::{Module, WasmConf, artefacts, cache, shm, trial};
use crate::engine::{Compiled, Runtime};
use crate::proxy_wasm::vm::{DONE_PATIENCE, VmConfig};
use crate::text;

/// Loads all modules, so that every mistake is told. `nginx -s` has no use for them, and only checks names.
pub fn run(cycle: Cycle<'_>, conf: &mut WasmConf) {
    let log = cycle.log();
    resolve(log, conf);
    if process::kind() == Kind::Signaller {
        return;
    }
    conf.note(Level::Info, "[wasm] initializing \"main\" wasm VM".to_owned());
    artefacts::open(log, conf);
    start_engines(log, conf);
    let mut modules = std::mem::take(&mut conf.modules);
    for module in &mut modules {
        load(log, conf, module);
    }
    conf.modules = modules;
    shm::settle(cycle, conf);
    trial::run(log, conf);
}

/// Gives each filter and each call its module.
fn resolve(log: Log<'_>, conf: &mut WasmConf) {
    for filter in &conf.filters {
        let name = &filter.config.name;
        match conf.modules.iter().position(|module| module.name == *name) {
            // The only place where it is set.
            Some(index) => _ = filter.module.set(index),
            None => conf.problems.tell(log, &filter.at, format_args!("no \"{name}\" module defined")),
        }
    }
    for call in &conf.wasm_calls {
        let name = &call.name;
        match conf.modules.iter().position(|module| module.name == *name) {
            // The only place where it is set.
            Some(index) => _ = call.module.set(index),
            None => conf.problems.tell(log, &call.at, format_args!("no \"{name}\" module defined")),
        }
    }
}

/// Makes the engines in use, and checks what is written about others.
fn start_engines(log: Log<'_>, conf: &mut WasmConf) {
    let default = conf.engines.default_name();
    let mut names: Vec<&'static str> = conf.engines.configured().collect();
    names.extend(conf.modules.iter().map(|module| module.engine.unwrap_or(default)));
    names.sort_unstable();
    names.dedup();
    for name in names {
        if let Some((compiler, at)) = conf.engines.wrong_compiler(name).cloned() {
            conf.problems.tell(log, &at, format_args!("[wasm] invalid compiler \"{compiler}\""));
        }
        if conf.modules.iter().any(|module| module.engine.unwrap_or(default) == name) {
            start_engine(log, conf, name);
        }
    }
}

fn start_engine(log: Log<'_>, conf: &mut WasmConf, name: &'static str) {
    let config = conf.engines.config(name, conf);
    conf.note(Level::Info, format!("[wasm] using {name} with compiler: \"{}\"", config.compiler));
    match cache::runtime(name, &config) {
        Ok(runtime) => {
            artefacts::tell_engine(conf, &*runtime);
            conf.runtimes.push(runtime);
        }
        Err(error) => {
            let (at, reason) = (conf.block.clone().unwrap_or_default(), one_line(&format!("{error:#}")));
            conf.problems.tell(log, &at, format_args!("[wasm] failed initializing wasm VM: {reason}"));
        }
    }
}

/// Loads one module; what is wrong with it is told.
fn load(log: Log<'_>, conf: &mut WasmConf, module: &mut Module) {
    let engine = module.engine.unwrap_or(conf.engines.default_name());
    conf.note(Level::Info, format!("[wasm] loading \"{}\" module <{}>", module.name, describe(&module.name, engine)));
    let runtime = conf.runtimes.iter().find(|runtime| runtime.name() == engine).cloned();
    let done = code(module, conf.backtraces).and_then(|code| match runtime {
        Some(runtime) => compile(conf, module, &runtime, &code),
        // Why there is none has been told.
        None => Ok(()),
    });
    if let Err(text) = done {
        conf.problems.tell(log, &module.at, format_args!("{text}"));
        return;
    }
    link(log, conf, module, engine);
}

/// What the file of a module has.
enum Code {
    /// A module in binary form, and its digest.
    Module(Vec<u8>, Digest),
    /// One that was compiled before, and the digest of the file.
    Artefact(Source, Digest),
}

fn code(module: &Module, backtraces: bool) -> Result<Code, String> {
    let source = Source::read(&module.path)
        .map_err(|error| format!("[wasm] open() \"{}\" failed {}", module.path.display(), system(&error)))?;
    let failed = |reason: &str| failed_bytes(&module.name, reason);
    let digest = Sha256::digest(source.bytes()).into();
    if let Some(wanted) = module.sha256.filter(|wanted| *wanted != digest) {
        return Err(failed(&format!("sha256 is {}, should be {}", values::hex(&digest), values::hex(&wanted))));
    }
    if source.is_artefact() {
        return Ok(Code::Artefact(source, digest));
    }
    if !text::is_text(&module.path) {
        let wasm = source.into_bytes();
        return if wasm.is_empty() { Err(failed("unexpected EOF")) } else { Ok(Code::Module(wasm, digest)) };
    }
    match text::parse(&module.path, source.bytes(), backtraces).map_err(|reason| failed(&reason))? {
        // The same module may stand in a text and in a file of its own.
        Cow::Owned(wasm) => {
            let digest = Sha256::digest(&wasm).into();
            Ok(Code::Module(wasm, digest))
        }
        Cow::Borrowed(wasm) => Ok(Code::Module(wasm.to_vec(), digest)),
    }
}

fn failed_bytes(module: &str, reason: &str) -> String {
    format!("[wasm] failed loading \"{module}\" module bytes: {reason}")
}

fn compile(conf: &mut WasmConf, module: &mut Module, runtime: &Arc<dyn Runtime>, code: &Code) -> Result<(), String> {
    let begun = Instant::now();
    let name = &module.name;
    let (Code::Module(_, digest) | Code::Artefact(_, digest)) = code;
    if let Code::Artefact(source, _) = code {
        // Also when it is known: the file may be another's since.
        source.vouched().map_err(|reason| failed_bytes(name, &reason.to_string()))?;
    }
    let (compiled, line) = if let Some(compiled) = cache::module(runtime, digest) {
        (compiled, format!("[wasm] reusing compiled \"{name}\" module"))
    } else {
        let (compiled, how) = make(conf, runtime, code).map_err(|reason| failed_bytes(name, &reason))?;
        cache::remember(runtime, *digest, &compiled);
        let took = begun.elapsed().as_millis();
        let line = match how {
            How::Compiled => format!("[wasm] successfully loaded \"{name}\" module in {took}ms"),
            How::Cached => format!("[wasm] loaded \"{name}\" module from cache in {took}ms"),
            How::Precompiled => format!("[wasm] loaded precompiled \"{name}\" module in {took}ms"),
        };
        (compiled, line)
    };
    conf.note(Level::Info, line);
    module.compiled = Some(compiled);
    Ok(())
}

/// How a module came to be.
enum How {
    Compiled,
    Cached,
    Precompiled,
}

/// A module that this process does not have.
fn make(conf: &mut WasmConf, runtime: &Arc<dyn Runtime>, code: &Code) -> Result<(Arc<dyn Compiled>, How), String> {
    let (wasm, digest) = match code {
        Code::Artefact(source, _) => {
            let compiled = runtime.load(source, None).map_err(|reason| reason.to_string())?;
            return Ok((compiled, How::Precompiled));
        }
        Code::Module(wasm, digest) => (wasm, digest),
    };
    if let Some(compiled) = artefacts::find(conf, &**runtime, digest) {
        return Ok((compiled, How::Cached));
    }
    let compiled = runtime.compile(wasm).map_err(|error| one_line(&format!("{error:#}")))?;
    artefacts::keep(conf, &**runtime, digest, &*compiled);
    Ok((compiled, How::Compiled))
}

fn link(log: Log<'_>, conf: &mut WasmConf, module: &mut Module, engine: &str) {
    let Some(compiled) = &module.compiled else {
        return;
    };
    let config = VmConfig {
        name: module.name.clone(),
        config: module.config.clone(),
        start_limit: conf.start_limit,
        done_patience: DONE_PATIENCE,
        functions: conf.functions_of(&module.name).into_iter().map(str::to_owned).collect(),
    };
    match compiled.link(config) {
        Ok(program) => module.program = Some(program),
        Err(imports) => {
            let name = &module.name;
            for import in imports {
                log.write(Level::Emerg, format_args!("[wasm] {import} <{}>", describe(name, engine)));
            }
            let text = format_args!(
                "[wasm] failed linking \"{name}\" module with \"ngx_proxy_wasm\" host interface: \
                 incompatible host interface"
            );
            conf.problems.tell(log, &module.at, text);
        }
    }
}

/// The part of a log line that says which module it is about.
pub fn describe(module: &str, engine: &str) -> String {
    format!("module: \"{module}\", vm: \"main\", runtime: \"{engine}\"")
}
