//! The report for people.

use std::fmt::Write as _;

use super::{Compiled, Module, Purpose, Report, Subject, Verdict, version};
use wasmx_host::proxy_wasm::exports::Marker;

/// Where the second column begins, and where lines end if they can.
const INDENT: usize = 14;
const WIDTH: usize = 100;

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    let fit = report.fit();
    let what = match &report.subject {
        Subject::Module(it) => match (it.purpose, fit) {
            (Purpose::Filter, true) => "a filter",
            (Purpose::Filter, false) => "not fit to be a filter",
            (Purpose::Functions, true) => "functions for wasm_call",
            (Purpose::Functions, false) => "not fit for wasm_call",
        },
        Subject::Artefact(_) if fit => "an artefact that runs here",
        Subject::Artefact(_) => "an artefact that does not run here",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}: {what}\n", report.file);
    match &report.subject {
        Subject::Module(it) => {
            let kind = if it.text { "module as text" } else { "module" };
            row(&mut text, "kind", &format!("{kind}, {}", size(report.size)));
            row(&mut text, "sha256", &report.sha256);
            module(&mut text, it);
        }
        Subject::Artefact(it) => {
            row(&mut text, "kind", &format!("artefact, {}", size(report.size)));
            row(&mut text, "sha256", &report.sha256);
            artefact(&mut text, it);
        }
    }
    text
}

fn module(text: &mut String, it: &Module) {
    let abi = match (it.abi, version(it.abi)) {
        (_, Some(version)) => format!("Proxy-Wasm {version}"),
        (Marker::Other, None) => "Proxy-Wasm, of a version that is not known here".to_owned(),
        (_, None) => "none: no export proxy_abi_version_…".to_owned(),
    };
    row(text, "ABI", &abi);
    row(text, "SDK", it.sdk.as_deref().unwrap_or("not known"));
    let made_by: Vec<_> = it.facts.producers.iter().map(|(_, value)| value.clone()).collect();
    list(text, "made by", &made_by);
    row(text, "names", if it.facts.names { "of functions are in it" } else { "of functions are stripped" });
    list(text, "callbacks", &it.callbacks);
    list(text, "functions", &it.functions);
    imports(text, it);
    if let Some(memory) = &it.facts.memory {
        let most = memory.most.map_or("no maximum".to_owned(), |most| format!("{} at most", pages(most)));
        row(text, "memory", &format!("{} at first, {most}", pages(memory.least)));
    } else {
        row(text, "memory", "none");
    }
    row(text, "start", if it.facts.start { "a start section, run in each new instance" } else { "no start section" });
    if let Some(objection) = &it.objection {
        row(text, "but", objection);
    }
    it.engines.iter().for_each(|engine| verdict(text, engine, "takes it"));
}

fn imports(text: &mut String, it: &Module) {
    let unmet = it.imports.iter().filter(|import| import.unmet.is_some()).count();
    let met = match (it.imports.len(), unmet) {
        (0, _) => "none".to_owned(),
        (all, 0) => format!("{all}, all met"),
        (all, unmet) => format!("{all}, of which {unmet} not met:"),
    };
    row(text, "imports", &met);
    for import in &it.imports {
        if let Some(reason) = &import.unmet {
            row(text, "", &format!("{}.{}: {reason}", import.module, import.name));
        }
    }
    let mut names: Vec<_> = it.imports.iter().filter(|it| it.unmet.is_none()).map(|it| it.name.clone()).collect();
    names.sort_unstable();
    list(text, "", &names);
}

fn artefact(text: &mut String, it: &Compiled) {
    let key = &it.key;
    row(text, "of module", &it.module);
    row(text, "engine", &format!("{} {}", key.engine, key.version));
    row(text, "compiler", &key.compiler);
    row(text, "WasmX", &key.host);
    row(text, "for", &key.target);
    list(text, "CPU with", &key.cpu);
    list(text, "flags", &key.flags);
    let switch = |on| if on { "on" } else { "off" };
    let memory_limit = size(key.memory_limit);
    let (pool, backtraces) = (switch(key.pool), switch(key.backtraces));
    row(text, "settings", &format!("memory limit {memory_limit}, pool of instances {pool}, backtraces {backtraces}"));
    verdict(text, &it.verdict, "runs it, with these settings");
    if let Some(objection) = &it.objection {
        row(text, "but", &format!("nginx will not load it as this user: {objection}"));
    }
}

fn verdict(text: &mut String, verdict: &Verdict, good: &str) {
    let refusal = verdict.refusal.as_ref().map(|reason| format!("refuses it: {reason}"));
    row(text, &verdict.engine, refusal.as_deref().unwrap_or(good));
}

fn row(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:width$}{value}", width = INDENT - 2);
}

/// Words with commas, over as many lines as they need; nothing for none.
fn list(text: &mut String, name: &str, words: &[String]) {
    let (mut name, mut line) = (name, String::new());
    for (index, word) in words.iter().enumerate() {
        let last = index + 1 == words.len();
        if !line.is_empty() && INDENT + line.len() + word.len() + 1 > WIDTH {
            row(text, std::mem::take(&mut name), line.trim_end());
            line.clear();
        }
        line.push_str(word);
        line.push_str(if last { "" } else { ", " });
    }
    if !line.is_empty() {
        row(text, name, &line);
    }
}

fn pages(pages: u64) -> String {
    size(pages.saturating_mul(64 << 10))
}

/// Bytes in the unit that suits.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_broken() {
        let mut text = String::new();
        list(&mut text, "many", &vec!["word".to_owned(); 20]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{text}");
        assert!(lines[0].starts_with("  many        word, word"));
        assert!(lines[1].starts_with("              word"));
    }

    #[test]
    fn sizes_have_their_unit() {
        assert_eq!([size(5), size(2048), size(3 << 20)], ["5 bytes", "2.0 KiB", "3.0 MiB"]);
    }
}
