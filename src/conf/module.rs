//! `module name path [config] [engine=] [sha256=] [config_file=]`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ngx::process::{self, Kind};
use ngx::{Conf, Level};

use super::args::{self, Source};
use super::problems::{At, system, words};
use super::values::Digest;
use super::{WasmConf, engines};
use crate::engine::{self, Compiled};
use crate::proxy_wasm::vm::Program;
use crate::worker::WorkerHost;

/// The most bytes of a `config_file=`.
const CONFIG_FILE: u64 = 1 << 20;

/// A `module` line.
pub struct Module {
    pub name: String,
    pub path: PathBuf,
    /// For `on_vm_start`.
    pub config: Vec<u8>,
    /// The engine it asks for; `None` is the default one.
    pub engine: Option<&'static str>,
    /// What the file's digest has to be.
    pub sha256: Option<Digest>,
    /// Compiled and linked; `Some` after `init_conf`.
    pub program: Option<Arc<dyn Program<WorkerHost>>>,
    /// What the program was linked from, kept for the next reading of the configuration.
    pub(super) compiled: Option<Arc<dyn Compiled>>,
    pub(super) at: At,
}

/// The handler of the directive.
pub fn read(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    let words = words(cf);
    let args = args::module(&words, engine::NAMES)?;
    if conf.modules.iter().any(|module| module.name == args.name) {
        return Err(format!("\"{}\" module already defined", args.name));
    }
    if let Some(engine) = args::engine_not_built(&words, engines::KNOWN, engine::NAMES) {
        let text = format_args!("this build has no \"{engine}\" engine: \"engine={engine}\" is taken as configuration");
        cf.log_error(Level::Warn, text);
    }
    // Without its configuration it is a module all the same: filters name it, and it may have other mistakes.
    let (config, outcome) = match bytes(cf, args.config) {
        Ok(config) => (config, Ok(())),
        Err(text) => (Vec::new(), Err(text)),
    };
    conf.modules.push(Module {
        name: args.name.to_owned(),
        path: cf.full_path(args.path),
        config,
        engine: args.engine,
        sha256: args.sha256,
        program: None,
        compiled: None,
        at: At::of(cf),
    });
    outcome
}

/// The bytes of a configuration for a guest.
///
/// # Errors
/// The text of the mistake.
pub fn bytes(cf: Conf<'_>, source: Source<'_>) -> Result<Vec<u8>, String> {
    match source {
        Source::Inline(bytes) => Ok(bytes.to_vec()),
        // It will not be used, and is no reason not to stop a server.
        Source::File(_) if process::kind() == Kind::Signaller => Ok(Vec::new()),
        Source::File(path) => read_file(&cf.full_path(path)),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CONFIG_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("open() \"{}\" failed {}", path.display(), system(&error)))?;
    if bytes.len() as u64 > CONFIG_FILE {
        return Err(format!("\"{}\" is too large, the most is {CONFIG_FILE} bytes", path.display()));
    }
    Ok(bytes)
}
