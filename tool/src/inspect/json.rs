//! The report for programs. Sizes are in bytes; what is not known is `null`.

use serde_json::{Value, json};

use super::{Compiled, Module, Report, Subject, Verdict, Wanted, version};

pub(super) fn text(report: &Report) -> String {
    let mut all = json!({
        "file": report.file,
        "size": report.size,
        "sha256": report.sha256,
        "fit": report.fit(),
    });
    let (kind, name, more) = match &report.subject {
        Subject::Module(it) => (if it.text { "wat" } else { "wasm" }, "module", module(it)),
        Subject::Artefact(it) => ("artefact", "artefact", artefact(it)),
    };
    all["kind"] = kind.into();
    all[name] = more;
    format!("{all:#}\n")
}

fn module(it: &Module) -> Value {
    let import =
        |it: &Wanted| json!({ "module": it.module, "name": it.name, "met": it.unmet.is_none(), "reason": it.unmet });
    let page = |pages: u64| pages.saturating_mul(64 << 10);
    let memory = it.facts.memory.as_ref();
    json!({
        "for": it.purpose.name(),
        "abi": version(it.abi),
        "sdk": it.sdk,
        "producers": it.facts.producers.iter().map(|(field, value)| json!([field, value])).collect::<Vec<_>>(),
        "names": it.facts.names,
        "callbacks": it.callbacks,
        "functions": it.functions,
        "imports": it.imports.iter().map(import).collect::<Vec<_>>(),
        "memory": memory.map(|memory| json!({ "min": page(memory.least), "max": memory.most.map(page) })),
        "start": it.facts.start,
        "reason": it.objection,
        "engines": it.engines.iter().map(verdict).collect::<Vec<_>>(),
    })
}

fn artefact(it: &Compiled) -> Value {
    let key = &it.key;
    json!({
        "engine": key.engine,
        "version": key.version,
        "wasmx": key.host,
        "compiler": key.compiler,
        "target": key.target,
        "cpu": key.cpu,
        "flags": key.flags,
        "memory_limit": key.memory_limit,
        "pool": key.pool,
        "backtraces": key.backtraces,
        "module_sha256": it.module,
        "engines": [verdict(&it.verdict)],
        "file_refused": it.objection.as_ref().map(ToString::to_string),
    })
}

fn verdict(verdict: &Verdict) -> Value {
    json!({ "engine": verdict.engine, "fit": verdict.refusal.is_none(), "reason": verdict.refusal })
}
