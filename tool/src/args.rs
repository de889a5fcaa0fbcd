//! The command line.

use std::path::PathBuf;

use engines::Config;

use crate::inspect::Purpose;

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Command {
    Help,
    Version,
    Compile(Compile),
    Inspect(Inspect),
}

#[derive(Debug, PartialEq)]
pub struct Compile {
    pub input: PathBuf,
    pub output: PathBuf,
    pub engine: String,
    pub config: Config,
}

#[derive(Debug, PartialEq)]
pub struct Inspect {
    pub file: PathBuf,
    pub engine: Option<String>,
    /// What the module is to be fit for; `None`: what it seems to be meant as.
    pub purpose: Option<Purpose>,
    pub json: bool,
}

/// # Errors
/// The text of the mistake.
pub fn parse(words: &[String]) -> Result<Command, String> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(Command::Help);
    }
    match words.split_first() {
        Some((verb, rest)) if verb == "compile" => compile(Words::new(rest)).map(Command::Compile),
        Some((verb, rest)) if verb == "inspect" => inspect(Words::new(rest)).map(Command::Inspect),
        Some((verb, [])) if verb == "--version" || verb == "-V" => Ok(Command::Version),
        Some((verb, _)) => Err(format!("unknown command \"{verb}\"")),
        None => Err("what shall be done?".to_owned()),
    }
}

fn compile(mut words: Words<'_>) -> Result<Compile, String> {
    let (mut files, mut engine, mut config) = (Vec::new(), None, Config::default());
    while let Some(word) = words.next()? {
        match word {
            Word::Plain(file) => files.push(PathBuf::from(file)),
            Word::Option("engine") => engine = Some(words.value()?),
            Word::Option("compiler") => config.compiler = words.value()?,
            Word::Option("flag") => {
                let flag = words.value()?;
                let (name, value) = flag.split_once('=').ok_or_else(|| format!("\"{flag}\" is no NAME=VALUE"))?;
                config.flags.push((name.to_owned(), value.to_owned()));
            }
            Word::Option("memory-limit") => {
                let value = words.value()?;
                config.memory_limit = size(&value).ok_or_else(|| format!("invalid size \"{value}\""))?;
            }
            Word::Option("backtraces") => config.backtraces = true,
            Word::Option(other) => return Err(format!("unknown option \"--{other}\"")),
        }
    }
    let engine = engine.ok_or("for which engine? --engine=NAME")?;
    let [input, output] = files.try_into().map_err(|_| "compile takes two files, IN and OUT")?;
    Ok(Compile { input, output, engine, config })
}

fn inspect(mut words: Words<'_>) -> Result<Inspect, String> {
    let (mut files, mut engine, mut purpose, mut json) = (Vec::new(), None, None, false);
    while let Some(word) = words.next()? {
        match word {
            Word::Plain(file) => files.push(PathBuf::from(file)),
            Word::Option("engine") => engine = Some(words.value()?),
            Word::Option("for") => {
                let name = words.value()?;
                let found = Purpose::ALL.into_iter().find(|purpose| purpose.name() == name);
                purpose = Some(found.ok_or_else(|| format!("\"--for={name}\": it is proxy_wasm or wasm_call"))?);
            }
            Word::Option("json") => json = true,
            Word::Option(other) => return Err(format!("unknown option \"--{other}\"")),
        }
    }
    let [file] = files.try_into().map_err(|_| "inspect takes one file")?;
    Ok(Inspect { file, engine, purpose, json })
}

/// A size as nginx writes it, in bytes.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok()?.checked_mul(unit))?
}

/// `--name=value`, `--name value`, and plain words, in any order.
struct Words<'a> {
    words: std::slice::Iter<'a, String>,
    /// The option before, and what stood behind its `=`.
    option: Option<(&'a str, Option<&'a str>)>,
}

enum Word<'a> {
    Plain(&'a str),
    Option(&'a str),
}

impl<'a> Words<'a> {
    fn new(words: &'a [String]) -> Self {
        Self { words: words.iter(), option: None }
    }

    fn next(&mut self) -> Result<Option<Word<'a>>, String> {
        if let Some((name, Some(_))) = self.option.take() {
            return Err(format!("\"--{name}\" takes no value"));
        }
        let Some(word) = self.words.next() else { return Ok(None) };
        let Some(option) = word.strip_prefix("--") else { return Ok(Some(Word::Plain(word))) };
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        self.option = Some((name, value));
        Ok(Some(Word::Option(name)))
    }

    fn value(&mut self) -> Result<String, String> {
        let (name, value) = self.option.take().unwrap_or_default();
        let value = value.or_else(|| self.words.next().map(String::as_str));
        value.map(str::to_owned).ok_or_else(|| format!("\"--{name}\" takes a value"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, String> {
        parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_have_their_values_either_way() {
        let line =
            "compile a.wasm --engine=e b.wasmx --compiler c --flag x=1 --flag=y=z=2 --memory-limit 64k --backtraces";
        let config = Config {
            compiler: "c".into(),
            flags: vec![("x".into(), "1".into()), ("y".into(), "z=2".into())],
            memory_limit: 64 << 10,
            backtraces: true,
            ..Config::default()
        };
        let (input, output, engine) = ("a.wasm".into(), "b.wasmx".into(), "e".into());
        assert_eq!(read(line), Ok(Command::Compile(Compile { input, output, engine, config })));
        let inspect = |purpose| Ok(Command::Inspect(Inspect { file: "f".into(), engine: None, purpose, json: true }));
        assert_eq!(read("inspect --json f"), inspect(None));
        assert_eq!(read("inspect --for wasm_call f --json"), inspect(Some(Purpose::Functions)));
        assert_eq!(read("inspect --json --for=proxy_wasm f"), inspect(Some(Purpose::Filter)));
        assert_eq!(read("inspect --help"), Ok(Command::Help));
    }

    #[test]
    fn mistakes_are_told() {
        let table = [
            ("", "unknown command \"\""),
            ("compile a b", "for which engine? --engine=NAME"),
            ("compile a --engine=e", "compile takes two files, IN and OUT"),
            ("compile a b --engine", "\"--engine\" takes a value"),
            ("compile a b --engine=e --flag x", "\"x\" is no NAME=VALUE"),
            ("compile a b --engine=e --memory-limit 1g", "invalid size \"1g\""),
            ("compile a b --engine=e --backtraces=yes", "\"--backtraces\" takes no value"),
            ("compile a b --engine=e --fast", "unknown option \"--fast\""),
            ("inspect", "inspect takes one file"),
            ("inspect a b", "inspect takes one file"),
            ("inspect a --for=b", "\"--for=b\": it is proxy_wasm or wasm_call"),
        ];
        for (line, mistake) in table {
            assert_eq!(read(line), Err(mistake.to_owned()), "{line}");
        }
    }
}
