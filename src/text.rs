//! Modules written as text: `.wat` files.

use std::borrow::Cow;
use std::path::Path;

/// Whether the file of a module has text in it, by its name: nothing in it says so.
pub fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "wat")
}

/// The binary form of a module, with the lines of its text if backtraces are to show them. A module that is in binary form
/// stays as it is.
///
/// # Errors
/// What is wrong with the text, and where, in one line.
pub fn parse<'a>(path: &Path, bytes: &'a [u8], backtraces: bool) -> Result<Cow<'a, [u8]>, String> {
    let mut parser = wat::Parser::new();
    if backtraces {
        parser.generate_dwarf(wat::GenerateDwarf::Lines);
    }
    // Its name alone: the same text is the same module, wherever it lies.
    let name = path.file_name().map_or(path, Path::new);
    parser.parse_bytes(Some(name), bytes).map_err(|error| reason(&error, name))
}

/// The message and the place, without the excerpt that comes with them.
fn reason(error: &wat::Error, name: &Path) -> String {
    let text = error.to_string();
    let place = format!("--> {}:", name.display());
    let mut lines = text.lines();
    let message = lines.next().unwrap_or_default();
    match lines.find_map(|line| line.trim_start().strip_prefix(&place)) {
        Some(place) => format!("{message} at {place}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str, text: &str, backtraces: bool) -> Result<Vec<u8>, String> {
        parse(Path::new(path), text.as_bytes(), backtraces).map(Cow::into_owned)
    }

    #[test]
    fn what_is_wrong_with_text_is_said_in_one_line() {
        let reason = |text| parsed("/etc/nginx/a.wat", text, false).unwrap_err();
        assert_eq!(reason("(module\n  (foo))"), "expected valid module field at 2:4");
        assert_eq!(reason("(module))"), "extra tokens remaining after parse at 1:9");
    }

    #[test]
    fn lines_are_there_when_they_are_asked_for_and_the_same_wherever_the_text_lies() {
        let text = "(module (func unreachable))";
        let (plain, lines) = (parsed("/a/a.wat", text, false).unwrap(), parsed("/a/a.wat", text, true).unwrap());
        let find = |bytes: &[u8]| bytes.windows(11).any(|window| window == b".debug_line");
        assert!(!find(&plain) && find(&lines));
        assert_eq!(lines, parsed("/b/a.wat", text, true).unwrap());
    }
}
