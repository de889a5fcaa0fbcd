//! Compiled modules on disk: `cache_path`, `cache_config`, and what is found and kept there.
//!
//! A cache never keeps nginx from starting: what cannot be read is compiled, and what cannot be written is told once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::engines::artefact::{Folder, FolderError};
use ngx::process::{self, Kind};
use ngx::{Conf, Level, Log};

use super::WasmConf;
use super::problems::{At, duplicate, system};
use super::values::Digest;
use crate::engine::{self, Compiled, Runtime};
use crate::wasmtime_cache;

/// What the directives about caches say, and the folders that follow.
#[derive(Default)]
pub struct Caches {
    written: Vec<Written>,
    folders: Vec<(Option<&'static str>, Folder)>,
    /// Whether it was told that artefacts cannot be written.
    write_failure_told: bool,
}

/// A folder that was named.
struct Written {
    /// The engine whose folder it is; `None` for those that have no other.
    engine: Option<&'static str>,
    /// `None` when the file of `cache_config` turns the cache off.
    path: Option<PathBuf>,
    at: At,
}

impl Caches {
    fn add(&mut self, cf: Conf<'_>, engine: Option<&'static str>, path: Option<PathBuf>) {
        self.written.push(Written { engine, path, at: At::of(cf) });
    }

    fn has(&self, engine: Option<&str>) -> bool {
        self.written.iter().any(|written| written.engine == engine)
    }

    /// The folder of an engine's artefacts.
    fn folder(&self, engine: &str) -> Option<&Folder> {
        let of = |engine: Option<&str>| self.folders.iter().find(|(of, _)| *of == engine).map(|(_, folder)| folder);
        of(Some(engine)).or_else(|| of(None))
    }
}

/// `cache_path DIR`
pub fn cache_path(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    if conf.caches.has(None) {
        return Err(duplicate(cf));
    }
    let path = cf.arg(1).unwrap_or_default();
    if path.is_empty() {
        return Err("invalid cache_path \"\"".to_owned());
    }
    conf.caches.add(cf, None, Some(cf.cycle().prefix_path(path)));
    Ok(())
}

/// `cache_config PATH` in the block of wasmtime. Its own cache has a thread of its own, which the master must not have when
/// it forks: what it says of its folder counts for ours.
pub fn cache_config(cf: Conf<'_>, conf: &mut WasmConf, engine: &'static str) -> Result<(), String> {
    if conf.caches.has(Some(engine)) {
        return Err(duplicate(cf));
    }
    let unused = !engine::NAMES.contains(&engine) || process::kind() == Kind::Signaller;
    let path = if unused { Ok(None) } else { read(&cf.full_path(cf.arg(1).unwrap_or_default())) };
    let (path, outcome) = match path {
        Ok(path) => (path, Ok(())),
        Err(reason) => (None, Err(format!("failed configuring {engine} cache; {reason}"))),
    };
    conf.caches.add(cf, Some(engine), path);
    outcome
}

fn read(path: &Path) -> Result<Option<PathBuf>, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("failed to read \"{}\" {}", path.display(), system(&error)))?;
    wasmtime_cache::directory(&text).map_err(|reason| format!("failed to parse \"{}\": {reason}", path.display()))
}

/// Opens the folders that engines in use have.
pub fn open(log: Log<'_>, conf: &mut WasmConf) {
    for Written { engine, path, at } in std::mem::take(&mut conf.caches.written) {
        let Some(path) = path else { continue };
        match Folder::open(&path) {
            Ok(folder) => conf.caches.folders.push((engine, folder)),
            Err(FolderError::Mistake(reason)) => {
                let text = format_args!("[wasm] invalid cache folder \"{}\": {reason}", path.display());
                conf.problems.tell(log, &at, text);
            }
            Err(FolderError::Unusable(reason)) => {
                let text = format!("[wasm] not using cache folder \"{}\": {reason}", path.display());
                conf.note(Level::Warn, text);
            }
        }
    }
}

/// The module with that digest out of the cache, if it is there and good.
pub fn find(conf: &mut WasmConf, runtime: &dyn Runtime, digest: &Digest) -> Option<Arc<dyn Compiled>> {
    let (folder, key) = (conf.caches.folder(runtime.name())?, runtime.key()?);
    let loaded = folder.find(key, digest)?.and_then(|source| runtime.load(&source, Some(digest)));
    match loaded {
        Ok(compiled) => {
            folder.touch(key, digest);
            Some(compiled)
        }
        Err(reason) => {
            let line = format!("[wasm] ignoring artefact \"{}\": {reason}", folder.place(key, digest).display());
            conf.note(Level::Warn, line);
            None
        }
    }
}

/// Keeps a module that was compiled.
pub fn keep(conf: &mut WasmConf, runtime: &dyn Runtime, digest: &Digest, compiled: &dyn Compiled) {
    let Some((folder, key)) = conf.caches.folder(runtime.name()).zip(runtime.key()) else { return };
    let kept = compiled.artefact(digest).map_err(|error| format!("({error:#})"));
    let kept = kept.and_then(|bytes| folder.store(key, digest, &bytes).map_err(|error| system(&error)));
    if let Err(reason) = kept
        && !conf.caches.write_failure_told
    {
        let line = format!("[wasm] cannot write to cache folder \"{}\" {reason}", folder.path().display());
        conf.caches.write_failure_told = true;
        conf.note(Level::Warn, line);
    }
}

/// Says once of an engine that a cache is of no use to it.
pub fn tell_engine(conf: &mut WasmConf, runtime: &dyn Runtime) {
    if runtime.key().is_none() && conf.caches.folder(runtime.name()).is_some() {
        let name = runtime.name();
        conf.note(Level::Info, format!("[wasm] nothing is cached for {name}: it has no compiled form of modules"));
    }
}
