//! `wasmx inspect`: what a file is, and whether it can be a filter, or be called by `wasm_call`.

mod facts;
pub mod human;
mod json;
mod purpose;
mod sdk;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use engines::artefact::{Artefact, Source, Unfit};
use engines::{Config, ExternType, Import};
use sha2::{Digest as _, Sha256};
use wasmx_host::proxy_wasm::abi::Version;
use wasmx_host::proxy_wasm::exports::Marker;
use wasmx_host::proxy_wasm::hostcalls::{self, HostcallInfo};
use wasmx_host::{raw, text, wasi};

use crate::args::Inspect;
use crate::engine::{self, ENGINES, Engine, Interface};
use facts::Facts;
pub use purpose::Purpose;

/// All there is to say about a file.
struct Report {
    file: String,
    /// In bytes.
    size: u64,
    /// The digest that `sha256=` of a `module` asks for.
    sha256: String,
    subject: Subject,
}

enum Subject {
    Module(Box<Module>),
    Artefact(Box<Compiled>),
}

struct Module {
    /// Whether it was written as text.
    text: bool,
    purpose: Purpose,
    abi: Marker,
    sdk: Option<String>,
    callbacks: Vec<String>,
    /// What it offers to `wasm_call`.
    functions: Vec<String>,
    imports: Vec<Wanted>,
    facts: Facts,
    /// Why it cannot be what it is for, whatever runs it.
    objection: Option<String>,
    engines: Vec<Verdict>,
}

/// An import.
struct Wanted {
    module: String,
    name: String,
    /// Why the host does not meet it.
    unmet: Option<String>,
}

struct Compiled {
    key: engines::artefact::Key,
    module: String,
    verdict: Verdict,
    /// What nginx would say to its owner and its mode.
    objection: Option<Unfit>,
}

/// What an engine says.
struct Verdict {
    engine: String,
    refusal: Option<String>,
}

impl Report {
    fn fit(&self) -> bool {
        match &self.subject {
            Subject::Module(it) => it.fit(),
            Subject::Artefact(it) => it.verdict.refusal.is_none(),
        }
    }
}

impl Module {
    fn fit(&self) -> bool {
        let met = self.imports.iter().all(|import| import.unmet.is_none());
        met && self.objection.is_none() && self.engines.iter().any(|engine| engine.refusal.is_none())
    }
}

/// What is to be printed, and whether the file can be what it is for.
///
/// # Errors
/// When the file cannot be read, or is neither a module nor an artefact. What an artefact is for is not in it.
pub fn run(options: &Inspect) -> anyhow::Result<(String, bool)> {
    let engines: Vec<&Engine> = match &options.engine {
        Some(name) => vec![engine::find(name)?],
        None => ENGINES.iter().collect(),
    };
    let path = options.file.display();
    anyhow::ensure!(
        fs::metadata(&options.file).with_context(|| path.to_string())?.is_file(),
        "{path}: no regular file"
    );
    let source = Source::read(&options.file).with_context(|| path.to_string())?;
    let subject = if source.is_artefact() {
        anyhow::ensure!(options.purpose.is_none(), "{path}: \"--for\" is for modules, and this is an artefact");
        Subject::Artefact(Box::new(artefact(&source, &engines).with_context(|| path.to_string())?))
    } else {
        let module = module(source.bytes(), &options.file, &engines, options.purpose);
        Subject::Module(Box::new(module.with_context(|| path.to_string())?))
    };
    let (size, sha256) = (source.bytes().len() as u64, hex(&Sha256::digest(source.bytes())));
    let report = Report { file: path.to_string(), size, sha256, subject };
    let text = if options.json { json::text(&report) } else { human::text(&report) };
    Ok((text, report.fit()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// It is not unpacked by its engine: that may be no artefact that one would run.
fn artefact(source: &Source, engines: &[&Engine]) -> anyhow::Result<Compiled> {
    let Artefact { key, module, .. } = Artefact::read(source.bytes())?;
    // With these settings, which nginx.conf is to have too.
    let config = Config {
        compiler: key.compiler.clone(),
        flags: key
            .flags
            .iter()
            .filter_map(|it| it.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
        memory_limit: key.memory_limit,
        instances: u32::from(key.pool),
        backtraces: key.backtraces,
    };
    let here = engines.iter().find(|engine| engine.name == key.engine).and_then(|engine| (engine.key)(&config));
    let refusal = match here {
        Some(here) => key.check(&here).err().map(|reason| reason.to_string()),
        None => Some(format!("compiled for engine \"{}\", which is not asked here", key.engine)),
    };
    let verdict = Verdict { engine: key.engine.clone(), refusal };
    Ok(Compiled { key, module: hex(&module), verdict, objection: source.vouched().err() })
}

fn module(bytes: &[u8], path: &Path, engines: &[&Engine], purpose: Option<Purpose>) -> anyhow::Result<Module> {
    let text = text::is_text(path);
    let wasm =
        if text { text::parse(path, bytes, false).map_err(anyhow::Error::msg)?.into_owned() } else { bytes.to_vec() };
    if !wasm.starts_with(b"\0asm") {
        bail!("neither a module nor an artefact");
    }
    let (mut verdicts, mut interface) = (Vec::new(), None);
    for engine in engines {
        let outcome = (engine.interface)(&wasm);
        let refusal = outcome.as_ref().err().map(|error| one_line(&format!("{error:#}")));
        verdicts.push(Verdict { engine: engine.name.to_owned(), refusal });
        interface = interface.or(outcome.ok());
    }
    let facts = Facts::of(&wasm);
    let known = interface.is_some();
    let Interface { imports, exports } = interface.unwrap_or(Interface { imports: Vec::new(), exports: Vec::new() });
    let abi = Marker::find(&exports);
    let functions = purpose::functions(&exports);
    let purpose = purpose.unwrap_or_else(|| Purpose::guess(abi, &functions));
    let objection = if known { purpose.objection(abi, &exports, &functions) } else { None };
    let mut callbacks: Vec<_> =
        exports.iter().map(|it| it.name.clone()).filter(|it| it.starts_with("proxy_on_")).collect();
    callbacks.sort_unstable();
    Ok(Module {
        text,
        purpose,
        abi,
        sdk: sdk::guess(&wasm, &facts, &imports, &exports),
        callbacks,
        functions,
        imports: imports.into_iter().map(wanted).collect(),
        facts,
        objection,
        engines: verdicts,
    })
}

fn wanted(import: Import) -> Wanted {
    let unmet = unmet(&import);
    Wanted { module: import.module, name: import.name, unmet }
}

/// As linking does, and in the same words.
fn unmet(import: &Import) -> Option<String> {
    let of = |mut table: Box<dyn Iterator<Item = HostcallInfo>>| table.find(|row| row.name == import.name);
    let row = match import.module.as_str() {
        hostcalls::MODULE => of(Box::new(hostcalls::table().chain(raw::table()))),
        module if wasi::MODULES.contains(&module) => of(Box::new(wasi::table())),
        _ => None,
    };
    match (&import.ty, row) {
        (ExternType::Func(ty), Some(row)) if ty.params == row.params && ty.results == row.results => None,
        (ty, Some(row)) => {
            let should_be = engines::FuncType { params: row.params.to_vec(), results: row.results.to_vec() };
            Some(format!("incompatible type {ty}, should be {should_be}"))
        }
        (ExternType::Func(_), None) => Some("missing host function".to_owned()),
        (kind, None) => Some(format!("missing host {kind}")),
    }
}

/// The ABI version as it is written.
fn version(abi: Marker) -> Option<&'static str> {
    match abi {
        Marker::Version(Version::V0_1_0) => Some("0.1.0"),
        Marker::Version(Version::V0_2_0) => Some("0.2.0"),
        Marker::Version(Version::V0_2_1) => Some("0.2.1"),
        Marker::Other | Marker::None => None,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
