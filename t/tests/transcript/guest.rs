//! A filter that makes all calls of a table in one callback, and logs what they answer.

use std::fmt::Write as _;

use crate::table::{Callback, Line};

/// Bytes of memory: two pages.
const MEMORY: u32 = 2 * 65536;
/// Where results go, where the statuses are gathered, where texts begin, where the allocator begins.
const RESULTS: u32 = 16;
const STATUSES: u32 = 8192;
const TEXTS: u32 = 16384;
const HEAP: u32 = 98304;

/// A status is logged as one character, this one for 0.
pub const ZERO: u32 = 48;
/// What a line of statuses begins with.
pub const MARK: &str = "@@";

/// The filter in text form, for a version of the ABI.
pub fn guest(lines: &[Line], callback: Callback, version: &str) -> String {
    let mut texts = Texts::default();
    let (mut imports, mut calls) = (String::new(), String::new());
    let (mut module, mut function, mut answers) = ("env".to_owned(), String::new(), true);
    for line in lines {
        match line {
            Line::Text(_) => {}
            Line::Module(name) => module.clone_from(name),
            Line::Function { name, params, answers: result } => {
                (function, answers) = (name.clone(), *result);
                let import = format!("(import \"{module}\" \"{name}\" (func ${name} (param {})", params.join(" "));
                let result = if answers { " (result i32)))\n" } else { "))\n" };
                if !imports.contains(&format!("{import}{result}")) {
                    imports += &format!("{import}{result}");
                }
            }
            Line::Call(row) => {
                let call =
                    format!("(call ${function} {})", texts.arguments(&row.arguments, &lines_params(lines, &function)));
                let _ = if answers {
                    writeln!(calls, "    (call $note {call})")
                } else {
                    writeln!(calls, "    {call} (call $note (i32.const 0))")
                };
            }
        }
    }
    let header_params = if version == "0.1.0" { "i32" } else { "i32 i32" };
    let mut exports = String::new();
    for (each, name, params, result) in [
        (Callback::Start, "_initialize", "", None),
        (Callback::VmStart, "proxy_on_vm_start", "i32", Some(1)),
        (Callback::Tick, "proxy_on_tick", "", None),
        (Callback::RequestHeaders, "proxy_on_request_headers", header_params, Some(0)),
        (Callback::RequestBody, "proxy_on_request_body", "i32 i32", Some(0)),
        (Callback::ResponseHeaders, "proxy_on_response_headers", header_params, Some(0)),
        (Callback::ResponseBody, "proxy_on_response_body", "i32 i32", Some(0)),
        (Callback::Done, "proxy_on_done", "", Some(1)),
        (Callback::Log, "proxy_on_log", "", None),
        (Callback::Delete, "proxy_on_delete", "", None),
    ] {
        let own = if each == Callback::Start { "" } else { "(param $self i32)" };
        let context = if each == Callback::Start { "(i32.const 0)" } else { "(local.get $self)" };
        let call = if each == callback { format!("(call $calls {context})") } else { String::new() };
        let (result, value) = result.map_or((String::new(), String::new()), |value| {
            ("(result i32)".to_owned(), format!("(i32.const {value})"))
        });
        let _ = writeln!(exports, "  (func (export \"{name}\") {own} (param {params}) {result} {call} {value})");
    }
    let create = |parent: &str| format!("(if {parent} (then (call $calls (local.get $self))))");
    let create = match callback {
        Callback::RootCreate => create("(i32.eqz (local.get $root))"),
        Callback::Create => create("(local.get $root)"),
        _ => String::new(),
    };
    let configure = match callback {
        Callback::Configure => "(call $calls (local.get $self))",
        Callback::Tick => "(drop (call $the_tick (i32.const 1)))",
        _ => "",
    };
    format!(
        r#"(module
  (import "env" "proxy_log" (func $the_log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $the_tick (param i32) (result i32)))
{imports}
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const {HEAP}))
  (global $at (mut i32) (i32.const {STATUSES}))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get $size))))
  (func (export "proxy_abi_version_{version}"))
  (func $note (param $status i32)
    (i32.store8 (global.get $at) (i32.add (local.get $status) (i32.const {ZERO})))
    (global.set $at (i32.add (global.get $at) (i32.const 1))))
  (func $calls (param $self i32)
    (if (i32.ne (global.get $at) (i32.const {STATUSES})) (then (return)))
    (call $note (i32.const {mark}))
    (call $note (i32.const {mark}))
{calls}
    (drop (call $the_log (i32.const 2) (i32.const {STATUSES}) (i32.sub (global.get $at) (i32.const {STATUSES})))))
  (func (export "proxy_on_context_create") (param $self i32) (param $root i32) {create})
  (func (export "proxy_on_configure") (param $self i32) (param i32) (result i32) {configure} (i32.const 1))
{exports}
{data}
)
"#,
        version = version.replace('.', "_"),
        mark = u32::from(b'@') - ZERO,
        data = texts.data,
    )
}

fn lines_params(lines: &[Line], function: &str) -> Vec<String> {
    let found = lines.iter().find_map(|line| match line {
        Line::Function { name, params, .. } if name == function => Some(params.clone()),
        _ => None,
    });
    found.unwrap_or_default()
}

/// What the arguments point to.
#[derive(Default)]
struct Texts {
    data: String,
    used: u32,
    results: u32,
}

impl Texts {
    /// The arguments of a call as instructions.
    fn arguments(&mut self, text: &str, params: &[String]) -> String {
        let mut values = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            rest = self.argument(rest, &mut values).trim_start();
        }
        assert_eq!(values.len(), params.len(), "arguments of a call: {text}");
        let instruction = |(value, param): (&String, &String)| match value.as_str() {
            "self" => "(local.get $self)".to_owned(),
            number => format!("({param}.const {number})"),
        };
        values.iter().zip(params).map(instruction).collect::<Vec<_>>().join(" ")
    }

    /// Takes one argument off a text.
    fn argument<'a>(&mut self, text: &'a str, values: &mut Vec<String>) -> &'a str {
        let (address_only, text) = text.strip_prefix('&').map_or((false, text), |text| (true, text));
        for (begin, end, read) in [
            ('"', '"', quoted as fn(&str) -> Vec<u8>),
            ('{', '}', wire as fn(&str) -> Vec<u8>),
            ('<', '>', hex as fn(&str) -> Vec<u8>),
        ] {
            if let Some(inner) = text.strip_prefix(begin) {
                let (inner, rest) = inner.split_once(end).unwrap_or_else(|| panic!("no {end} in {text}"));
                let bytes = read(inner);
                values.push(self.put(&bytes).to_string());
                if !address_only {
                    values.push(bytes.len().to_string());
                }
                return rest;
            }
        }
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        values.push(match word {
            "to" => {
                self.results += 8;
                (RESULTS + self.results).to_string()
            }
            "last" => (MEMORY - 1).to_string(),
            "wild" => "0xfffffff0".to_owned(),
            other => other.to_owned(),
        });
        assert!(RESULTS + self.results < STATUSES, "too many results");
        rest
    }

    fn put(&mut self, bytes: &[u8]) -> u32 {
        let at = TEXTS + self.used;
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let _ = writeln!(self.data, "  (data (i32.const {at}) \"{escaped}\")");
        self.used += bytes.len().max(1) as u32;
        assert!(at + self.used < HEAP, "too many texts");
        at
    }
}

fn quoted(text: &str) -> Vec<u8> {
    text.replace("\\0", "\0").replace("\\r", "\r").into_bytes()
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

/// The wire form of header pairs.
fn wire(text: &str) -> Vec<u8> {
    let pairs: Vec<_> = text.split(',').filter_map(|pair| pair.trim().split_once('=')).collect();
    let mut wire = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in &pairs {
        wire.extend((name.len() as u32).to_le_bytes());
        wire.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in &pairs {
        wire.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    wire
}
