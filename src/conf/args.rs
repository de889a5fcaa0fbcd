//! The arguments of `module`, `proxy_wasm` and `wasm_call`: pure parsers over words.

use super::values::{self, Digest};
use crate::raw::Phase;

/// Phases of nginx's, and of modules like this one, in which `wasm_call` does nothing.
const OTHER_PHASES: [&[u8]; 8] = [
    b"post_read",
    b"server_rewrite",
    b"find_config",
    b"post_rewrite",
    b"preaccess",
    b"post_access",
    b"precontent",
    b"trailer_filter",
];

/// Where a configuration for a guest comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source<'a> {
    /// An argument of the directive; empty when there is none.
    Inline(&'a [u8]),
    /// `config_file=PATH`
    File(&'a [u8]),
}

/// What follows the name of a `module` directive.
#[derive(Debug, PartialEq, Eq)]
pub struct ModuleArgs<'a> {
    pub name: &'a str,
    pub path: &'a [u8],
    pub config: Source<'a>,
    pub engine: Option<&'static str>,
    pub sha256: Option<Digest>,
}

/// What follows the name of a `proxy_wasm` directive.
#[derive(Debug, PartialEq, Eq)]
pub enum FilterArgs<'a> {
    /// `off`: no filter, not even the inherited ones.
    Off,
    Filter {
        module: &'a str,
        root_id: &'a [u8],
        config: Source<'a>,
    },
}

/// What follows the name of a `wasm_call` directive.
#[derive(Debug, PartialEq, Eq)]
pub struct CallArgs<'a> {
    pub phase: Phase,
    pub module: &'a str,
    pub function: &'a str,
}

/// Reads `name path [config] [engine=NAME] [sha256=HEX] [config_file=PATH]`. `engines` are those compiled in.
///
/// Only arguments that are *exactly* an option are one: any other is the configuration, as it was before there were
/// options.
///
/// # Errors
/// The text of the mistake.
pub fn module<'a>(words: &[&'a [u8]], engines: &[&'static str]) -> Result<ModuleArgs<'a>, String> {
    let (name, path, rest) = match words {
        [name, path, rest @ ..] => (*name, *path, rest),
        _ => return Err("invalid number of arguments in \"module\" directive".to_owned()),
    };
    let name = values::module_name(name)?;
    if path.is_empty() {
        return Err("invalid module path \"\"".to_owned());
    }
    let (mut engine, mut sha256, mut source) = (None, None, None);
    for &word in rest {
        if let Some(found) = option(word, "engine").and_then(|value| find(engines, value)) {
            once(&mut engine, found, "engine=")?;
        } else if let Some(found) = option(word, "sha256").and_then(values::digest) {
            once(&mut sha256, found, "sha256=")?;
        } else {
            configuration(&mut source, word)?;
        }
    }
    Ok(ModuleArgs { name, path, config: source.unwrap_or(Source::Inline(b"")), engine, sha256 })
}

/// Reads `module [config] [root_id=NAME] [config_file=PATH]`, or `off`.
///
/// # Errors
/// The text of the mistake.
pub fn proxy_wasm<'a>(words: &[&'a [u8]]) -> Result<FilterArgs<'a>, String> {
    let (module, rest) = match words {
        [b"off"] => return Ok(FilterArgs::Off),
        [module, rest @ ..] => (values::utf8("module name", module)?, rest),
        [] => return Err("invalid number of arguments in \"proxy_wasm\" directive".to_owned()),
    };
    if module.is_empty() {
        return Err("invalid module name \"\"".to_owned());
    }
    let (mut root_id, mut source) = (None, None);
    for &word in rest {
        // With a blank in it, it is rather the configuration of a filter that happens to have a key of that name.
        match option(word, "root_id").filter(|value| !value.iter().any(u8::is_ascii_whitespace)) {
            Some(value) => once(&mut root_id, value, "root_id=")?,
            None => configuration(&mut source, word)?,
        }
    }
    let (root_id, config) = (root_id.unwrap_or_default(), source.unwrap_or(Source::Inline(b"")));
    Ok(FilterArgs::Filter { module, root_id, config })
}

/// Reads `phase module function`.
///
/// # Errors
/// The text of the mistake.
pub fn wasm_call<'a>(words: &[&'a [u8]]) -> Result<CallArgs<'a>, String> {
    let [phase, module, function] = words else {
        return Err("invalid number of arguments in \"wasm_call\" directive".to_owned());
    };
    let phase = self::phase(phase)?;
    let module = values::utf8("module name", module)?;
    if module.is_empty() {
        return Err("invalid module name \"\"".to_owned());
    }
    let function = values::utf8("function name", function)?;
    if function.is_empty() {
        return Err("invalid function name \"\"".to_owned());
    }
    Ok(CallArgs { phase, module, function })
}

fn phase(word: &[u8]) -> Result<Phase, String> {
    if let Some(phase) = Phase::ALL.into_iter().find(|phase| phase.name().as_bytes() == word) {
        return Ok(phase);
    }
    let text = String::from_utf8_lossy(word);
    let kind = match word {
        b"" => "invalid",
        _ if OTHER_PHASES.contains(&word) => "unsupported",
        _ => "unknown",
    };
    Err(format!("{kind} phase \"{text}\""))
}

/// The engine that a configuration seems to name, though this build does not have it: worth a warning.
pub fn engine_not_built<'a>(words: &[&'a [u8]], known: &[&str], built: &[&str]) -> Option<&'a str> {
    words.iter().skip(2).find_map(|word| {
        let name = std::str::from_utf8(option(word, "engine")?).ok()?;
        (known.contains(&name) && !built.contains(&name)).then_some(name)
    })
}

/// Takes a word that is no other option: `config_file=PATH`, or the configuration itself.
fn configuration<'a>(source: &mut Option<Source<'a>>, word: &'a [u8]) -> Result<(), String> {
    let found = match option(word, "config_file") {
        Some(path) => Source::File(path),
        None => Source::Inline(word),
    };
    match source {
        None => *source = Some(found),
        Some(_) => {
            let word = String::from_utf8_lossy(word);
            return Err(format!("invalid argument \"{word}\": the configuration is given already"));
        }
    }
    Ok(())
}

/// The value of a word that is `name=value`, with a value.
fn option<'a>(word: &'a [u8], name: &str) -> Option<&'a [u8]> {
    word.strip_prefix(name.as_bytes())?.strip_prefix(b"=").filter(|value| !value.is_empty())
}

fn once<T>(slot: &mut Option<T>, value: T, what: &str) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("duplicate \"{what}\" argument")),
    }
}

fn find(names: &[&'static str], wanted: &[u8]) -> Option<&'static str> {
    names.iter().find(|name| name.as_bytes() == wanted).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINES: &[&str] = &["wasmtime", "wasmi"];
    const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

    fn read<'a>(words: &[&'a str]) -> Result<ModuleArgs<'a>, String> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        module(&words, ENGINES)
    }

    fn filter<'a>(words: &[&'a str]) -> Result<FilterArgs<'a>, String> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        proxy_wasm(&words)
    }

    #[test]
    fn a_module_has_a_name_a_path_and_perhaps_a_configuration() {
        let plain = read(&["a", "/a.wasm"]).unwrap();
        assert_eq!((plain.name, plain.path, plain.config), ("a", &b"/a.wasm"[..], Source::Inline(b"")));
        assert_eq!(read(&["a", "/a.wasm", "key=value"]).unwrap().config, Source::Inline(b"key=value"));
        assert_eq!(read(&["a", "/a.wasm", ""]).unwrap().config, Source::Inline(b""));
    }

    #[test]
    fn options_of_a_module_come_in_any_order() {
        let sha256 = format!("sha256={HEX}");
        let all = read(&["a", "/a.wasm", &sha256, "config", "engine=wasmi"]).unwrap();
        assert_eq!((all.config, all.engine), (Source::Inline(b"config"), Some("wasmi")));
        assert_eq!(all.sha256, values::digest(HEX.as_bytes()));
        assert_eq!(read(&["a", "/a.wasm", "config_file=/etc/a"]).unwrap().config, Source::File(b"/etc/a"));
    }

    #[test]
    fn what_is_not_exactly_an_option_is_the_configuration() {
        for word in ["engine=v9", "engine=", "engine=wasmi ", "sha256=00", "Engine=wasmi", "config_file=", "off"] {
            let read = read(&["a", "/a.wasm", word]).unwrap();
            assert_eq!((read.config, read.engine), (Source::Inline(word.as_bytes()), None), "{word}");
        }
    }

    #[test]
    fn mistakes_of_a_module_are_named() {
        let mistake = |words: &[&str]| read(words).unwrap_err();
        assert_eq!(mistake(&["", "/a.wasm"]), "invalid module name \"\"");
        assert_eq!(mistake(&["bad:name", "/a.wasm"]), "invalid module name \"bad:name\": character not allowed \":\"");
        assert_eq!(mistake(&["a", ""]), "invalid module path \"\"");
        assert_eq!(mistake(&["a", "p", "one", "two"]), "invalid argument \"two\": the configuration is given already");
        assert_eq!(
            mistake(&["a", "p", "one", "config_file=two"]),
            "invalid argument \"config_file=two\": the configuration is given already"
        );
        assert_eq!(mistake(&["a", "p", "engine=wasmi", "engine=wasmi"]), "duplicate \"engine=\" argument");
    }

    #[test]
    fn an_engine_of_another_build_is_noticed() {
        let known = ["wasmtime", "wasmer", "wasmi"];
        let words: [&[u8]; 3] = [b"a", b"p", b"engine=wasmer"];
        assert_eq!(engine_not_built(&words, &known, ENGINES), Some("wasmer"));
        assert_eq!(engine_not_built(&[b"a", b"p", b"engine=wasmi"], &known, ENGINES), None);
        assert_eq!(engine_not_built(&[b"a", b"engine=wasmer"], &known, ENGINES), None);
    }

    #[test]
    fn a_filter_has_a_module_and_perhaps_a_configuration_and_a_root_id() {
        let some = |module, root_id, config| Ok(FilterArgs::Filter { module, root_id, config });
        assert_eq!(filter(&["a"]), some("a", b"", Source::Inline(b"")));
        assert_eq!(filter(&["a", "off"]), some("a", b"", Source::Inline(b"off")));
        assert_eq!(filter(&["a", "root_id=r", "x=y z"]), some("a", b"r", Source::Inline(b"x=y z")));
        assert_eq!(filter(&["a", "config_file=f", "root_id=r"]), some("a", b"r", Source::File(b"f")));
        assert_eq!(filter(&["a", "root_id=r key=value"]), some("a", b"", Source::Inline(b"root_id=r key=value")));
    }

    #[test]
    fn off_alone_is_no_filter() {
        assert_eq!(filter(&["off"]), Ok(FilterArgs::Off));
        assert!(matches!(filter(&["off", "config"]), Ok(FilterArgs::Filter { module: "off", .. })));
    }

    #[test]
    fn a_call_has_a_phase_a_module_and_a_function() {
        let call = |words: [&'static str; 3]| wasm_call(&words.map(str::as_bytes));
        for phase in Phase::ALL {
            assert_eq!(call([phase.name(), "a", "f"]), Ok(CallArgs { phase, module: "a", function: "f" }));
        }
        let mistakes = [
            (["", "a", "f"], "invalid phase \"\""),
            (["foo", "a", "f"], "unknown phase \"foo\""),
            (["Log", "a", "f"], "unknown phase \"Log\""),
            (["post_read", "a", "f"], "unsupported phase \"post_read\""),
            (["log", "", "f"], "invalid module name \"\""),
            (["log", "a", ""], "invalid function name \"\""),
        ];
        for (words, text) in mistakes {
            assert_eq!(call(words), Err(text.to_owned()));
        }
    }

    #[test]
    fn mistakes_of_a_filter_are_named() {
        assert_eq!(filter(&[""]).unwrap_err(), "invalid module name \"\"");
        assert_eq!(filter(&["a", "root_id=x", "root_id=y"]).unwrap_err(), "duplicate \"root_id=\" argument");
    }
}
