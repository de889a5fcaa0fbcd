//! `wasmx`: compiles filters ahead of nginx, and tells what a file is. It needs no nginx.

#![forbid(unsafe_code)]

mod args;
mod compile;
mod engine;
mod inspect;

use std::process::ExitCode;

use args::Command;

const HELP: &str = "\
wasmx: Proxy-Wasm filters outside of nginx

  wasmx compile IN OUT --engine=NAME [OPTION...]
      Compiles a module (.wasm or .wat) to an artefact, which `module NAME OUT;` of nginx.conf takes. It is for the
      engine, version and settings that it was made with, and for CPUs that have what this one has.
      An artefact is machine code: load none that you would not load as a shared object.

      --compiler=NAME            as `compiler` of nginx.conf; auto
      --flag=NAME=VALUE          as `flag`; several, in the same order
      --memory-limit=SIZE        as `proxy_wasm_memory_limit`; 128m
      --backtraces               as `backtraces on`

  wasmx inspect FILE [--engine=NAME] [--for=DIRECTIVE] [--json]
      Tells what a module or an artefact is, and whether it can be used: by the engine that is named, or by any.

      --for=proxy_wasm           whether a module can be a filter
      --for=wasm_call            whether it has functions that `wasm_call` can call
                                 without either: what it seems to be meant as (\"for\" in JSON)

      Exit code 0: it can; 1: it cannot; 2: the file is not one, or cannot be read.

  wasmx --version
      The version, and the engines in it.
";

fn main() -> ExitCode {
    let words: Option<Vec<String>> = std::env::args_os().skip(1).map(|word| word.into_string().ok()).collect();
    let command = words.ok_or_else(|| "an argument is not UTF-8".to_owned()).and_then(|words| args::parse(&words));
    match command {
        Ok(Command::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            println!("wasmx {} ({})", env!("CARGO_PKG_VERSION"), engine::names().join(", "));
            ExitCode::SUCCESS
        }
        Ok(Command::Compile(options)) => match compile::run(&options) {
            Ok(line) => {
                println!("{line}");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&format!("{error:#}")),
        },
        Ok(Command::Inspect(options)) => match inspect::run(&options) {
            Ok((text, fit)) => {
                print!("{text}");
                ExitCode::from(u8::from(!fit))
            }
            Err(error) => failed(&format!("{error:#}")),
        },
        Err(mistake) => failed(&format!("{mistake}; `wasmx --help` tells more")),
    }
}

fn failed(text: &str) -> ExitCode {
    eprintln!("wasmx: {text}");
    ExitCode::from(2)
}
