//! Modules: read, compiled, linked and given to the filters that name them. In the master, before it forks.

use std::borrow::Cow;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

use ngx::process::{self, Kind};
use ngx::{Cycle, Level, Log};
use sha2::{Digest as _, Sha256};

use super::problems::{one_line, system};
use super::values::{self, Digest};
use super::{Module, WasmConf, cache, shm, trial};
use crate::engine::Runtime;
use crate::proxy_wasm::vm::{DONE_PATIENCE, VmConfig};

/// Loads all modules, so that every mistake is told. `nginx -s` has no use for them, and only checks names.
pub fn run(cycle: Cycle<'_>, conf: &mut WasmConf) {
    let log = cycle.log();
    resolve(log, conf);
    if process::kind() == Kind::Signaller {
        return;
    }
    conf.note(Level::Info, "[wasm] initializing \"main\" wasm VM".to_owned());
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
        Ok(runtime) => conf.runtimes.push(runtime),
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
    let done = bytes(module).and_then(|(wasm, digest)| match runtime {
        Some(runtime) => compile(conf, module, &runtime, &wasm, digest),
        // Why there is none has been told.
        None => Ok(()),
    });
    if let Err(text) = done {
        conf.problems.tell(log, &module.at, format_args!("{text}"));
        return;
    }
    link(log, conf, module, engine);
}

/// The module in binary form, and the digest of its file.
fn bytes(module: &Module) -> Result<(Vec<u8>, Digest), String> {
    let bytes = fs::read(&module.path)
        .map_err(|error| format!("[wasm] open() \"{}\" failed {}", module.path.display(), system(&error)))?;
    let failed = |reason: &str| format!("[wasm] failed loading \"{}\" module bytes: {reason}", module.name);
    let digest = Sha256::digest(&bytes).into();
    if let Some(wanted) = module.sha256.filter(|wanted| *wanted != digest) {
        return Err(failed(&format!("sha256 is {}, should be {}", values::hex(&digest), values::hex(&wanted))));
    }
    let wasm = if module.path.extension().is_some_and(|extension| extension == "wat") {
        wat::parse_bytes(&bytes).map(Cow::into_owned).map_err(|error| failed(&wat_reason(&error)))?
    } else {
        bytes
    };
    if wasm.is_empty() { Err(failed("unexpected EOF")) } else { Ok((wasm, digest)) }
}

/// The message and the place, without the excerpt that comes with them.
fn wat_reason(error: &wat::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines();
    let message = lines.next().unwrap_or_default();
    match lines.find_map(|line| line.trim_start().strip_prefix("--> <anon>:")) {
        Some(place) => format!("{message} at {place}"),
        None => message.to_owned(),
    }
}

fn compile(
    conf: &mut WasmConf,
    module: &mut Module,
    runtime: &Arc<dyn Runtime>,
    wasm: &[u8],
    digest: Digest,
) -> Result<(), String> {
    let begun = Instant::now();
    let name = &module.name;
    let found = cache::compile(runtime, digest, wasm).map_err(|error| {
        format!("[wasm] failed loading \"{name}\" module bytes: {}", one_line(&format!("{error:#}")))
    })?;
    let line = if found.reused {
        format!("[wasm] reusing compiled \"{name}\" module")
    } else {
        format!("[wasm] successfully loaded \"{name}\" module in {}ms", begun.elapsed().as_millis())
    };
    conf.note(Level::Info, line);
    module.compiled = Some(found.compiled);
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        wat_reason(&wat::parse_bytes(text.as_bytes()).unwrap_err())
    }

    #[test]
    fn what_is_wrong_with_text_is_said_in_one_line() {
        assert_eq!(reason("(module\n  (foo))"), "expected valid module field at 2:4");
        assert_eq!(reason("(module))"), "extra tokens remaining after parse at 1:9");
    }
}
