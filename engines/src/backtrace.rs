//! The guest's frames as text, the same on every engine that keeps track of them.

use std::{borrow::Cow, fmt::Write as _};

/// A frame of a backtrace, as far as it is known.
pub(crate) struct Frame<'a> {
    /// In bytes from the beginning of the module.
    pub(crate) offset: usize,
    pub(crate) module: Option<&'a str>,
    /// As the compiler has mangled it.
    pub(crate) function: Option<Cow<'a, str>>,
    /// Of the function.
    pub(crate) index: u32,
    pub(crate) file_and_line: Option<(Cow<'a, str>, u32)>,
}

/// The frames, innermost first, a line each: number, offset in the module, function, and file and line where the guest has
/// debug information. `None` when there are none.
pub(crate) fn render<'a>(frames: impl Iterator<Item = Frame<'a>>) -> Option<String> {
    let mut text = String::new();
    for (number, frame) in frames.enumerate() {
        add(&mut text, number, &frame);
    }
    (!text.is_empty()).then_some(text)
}

fn add(text: &mut String, number: usize, frame: &Frame<'_>) {
    if number > 0 {
        text.push('\n');
    }
    // Writing to a string cannot fail.
    let _ = write!(text, "{number:>5}: {:#8x} - {}!", frame.offset, frame.module.unwrap_or("<unknown>"));
    let _ = match &frame.function {
        Some(name) => write!(text, "{}", demangled(name)),
        None => write!(text, "<wasm function {}>", frame.index),
    };
    if let Some((file, line)) = &frame.file_and_line {
        let _ = write!(text, " at {file}:{line}");
    }
}

/// A name as it is written in Rust or C++, without the digits that Rust adds; other names are as they are.
fn demangled(name: &str) -> String {
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return format!("{rust:#}");
    }
    cpp_demangle::Symbol::new(name).ok().and_then(|it| it.demangle().ok()).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(function: Option<&str>, file_and_line: Option<(&str, u32)>) -> String {
        let (function, file_and_line) =
            (function.map(Into::into), file_and_line.map(|(file, line)| (file.into(), line)));
        let frame = Frame { offset: 0x1234, module: Some("filter"), function, index: 7, file_and_line };
        render(std::iter::once(frame)).unwrap()
    }

    #[test]
    fn names_are_those_of_the_sources() {
        assert_eq!(
            line(Some("_ZN6filter4main17h0123456789abcdefE"), Some(("src/lib.rs", 12))),
            "    0:   0x1234 - filter!filter::main at src/lib.rs:12"
        );
        assert_eq!(line(Some("_RNvCs1234_6filter4main"), None), "    0:   0x1234 - filter!filter::main");
        assert_eq!(line(Some("_ZN6Filter6onDoneEv"), None), "    0:   0x1234 - filter!Filter::onDone()");
        assert_eq!(line(Some("assembly/index/abort"), None), "    0:   0x1234 - filter!assembly/index/abort");
        assert_eq!(line(None, None), "    0:   0x1234 - filter!<wasm function 7>");
    }
}
