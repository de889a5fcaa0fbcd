//! wasmtime's own cache file, which `cache_config` names: of its `[cache]`, the folder, and whether it is in use.
//!
//! The file is TOML. Read are comments, `[cache]`, and a `KEY = VALUE` in each line, the value being a basic or a literal
//! string of one line, a number, `true` or `false`. `directory` and `enabled` count; wasmtime's other keys are about how it
//! looks after its folder, and are let be. Everything else is a mistake.

use std::path::PathBuf;

/// Keys that wasmtime knows in one version or another, and that say nothing to us.
const LET_BE: &[&str] = &[
    "worker-event-queue-size",
    "baseline-compression-level",
    "optimized-compression-level",
    "optimized-compression-usage-counter-threshold",
    "cleanup-interval",
    "optimizing-compression-task-timeout",
    "allowed-clock-drift-for-files-from-future",
    "file-count-soft-limit",
    "files-total-size-soft-limit",
    "file-count-limit-percent-if-deleting",
    "files-total-size-limit-percent-if-deleting",
];

enum Value {
    Text(String),
    Switch(bool),
    Number,
}

/// The folder; `None` when the file turns the cache off.
///
/// # Errors
/// The text of the mistake, with its line.
pub fn directory(text: &str) -> Result<Option<PathBuf>, String> {
    let (mut in_cache, mut enabled) = (false, None);
    let mut directory = None;
    for (index, line) in text.lines().enumerate() {
        let wrong = |what: String| format!("{what} in line {}", index + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('[') {
            let name = line.split('#').next().unwrap_or_default().trim_end();
            if name != "[cache]" || in_cache {
                return Err(wrong(format!("unexpected \"{name}\"")));
            }
            in_cache = true;
            continue;
        }
        let (key, rest) = line.split_once('=').ok_or_else(|| wrong("no \"KEY = VALUE\"".to_owned()))?;
        let key = key.trim_end();
        if !in_cache {
            return Err(wrong(format!("\"{key}\" outside of \"[cache]\"")));
        }
        let value = value(rest.trim_start()).ok_or_else(|| wrong(format!("invalid value of \"{key}\"")))?;
        match (key, value) {
            ("enabled", Value::Switch(on)) if enabled.is_none() => enabled = Some(on),
            ("directory", Value::Text(path)) if directory.is_none() => directory = Some(PathBuf::from(path)),
            ("enabled" | "directory", _) => return Err(wrong(format!("wrong or repeated \"{key}\""))),
            (key, _) if LET_BE.contains(&key) => {}
            _ => return Err(wrong(format!("unknown key \"{key}\""))),
        }
    }
    if enabled == Some(false) {
        return Ok(None);
    }
    match directory {
        Some(path) if path.is_absolute() => Ok(Some(path)),
        Some(path) => Err(format!("\"directory\" has to be an absolute path, not \"{}\"", path.display())),
        None => Err("no \"directory\" in \"[cache]\"".to_owned()),
    }
}

/// A value, with nothing behind it but a comment.
fn value(text: &str) -> Option<Value> {
    let (value, rest) = match text.as_bytes().first()? {
        b'\'' => {
            let (inside, rest) = text[1..].split_once('\'')?;
            (Value::Text(inside.to_owned()), rest)
        }
        b'"' => basic(&text[1..])?,
        _ => {
            let word = text.split('#').next()?.trim_end();
            let number = word.replace('_', "");
            let value = match word {
                "true" => Value::Switch(true),
                "false" => Value::Switch(false),
                _ => number.parse::<i64>().ok().map(|_| Value::Number)?,
            };
            (value, "")
        }
    };
    let rest = rest.trim_start();
    (rest.is_empty() || rest.starts_with('#')).then_some(value)
}

/// A basic string behind its first quote, and what follows it.
fn basic(text: &str) -> Option<(Value, &str)> {
    let mut inside = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Value::Text(inside), &text[at + 1..])),
            '\\' => inside.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                c @ ('"' | '\\') => c,
                _ => return None,
            }),
            c => inside.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Option<PathBuf> {
        directory(text).unwrap()
    }

    #[test]
    fn the_folder_is_found() {
        let whole = "# wasmtime's\n\n[cache] # this\nenabled = true\ndirectory = \"/a \\\"b\\\"\" # there\n\
                     cleanup-interval = \"30m\"\nfile-count-soft-limit = \"65_536\"\nbaseline-compression-level = 3\n";
        assert_eq!(ok(whole), Some("/a \"b\"".into()));
        assert_eq!(ok("[cache]\ndirectory='/c:\\d'"), Some("/c:\\d".into()));
        assert_eq!(ok("[cache]\r\ndirectory = '/a'\r\n"), Some("/a".into()));
        assert_eq!(ok("[cache]\nenabled = false"), None);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let table = [
            ("", "no \"directory\" in \"[cache]\""),
            ("[cache]\nenabled = true", "no \"directory\" in \"[cache]\""),
            ("[cache]\ndirectory = 'here'", "\"directory\" has to be an absolute path, not \"here\""),
            ("directory = '/a'", "\"directory\" outside of \"[cache]\" in line 1"),
            ("[other]", "unexpected \"[other]\" in line 1"),
            ("[cache]\n[cache]", "unexpected \"[cache]\" in line 2"),
            ("[cache]\ndirectory", "no \"KEY = VALUE\" in line 2"),
            ("[cache]\ndirectory = /a", "invalid value of \"directory\" in line 2"),
            ("[cache]\ndirectory = \"/a", "invalid value of \"directory\" in line 2"),
            ("[cache]\ndirectory = '/a' b", "invalid value of \"directory\" in line 2"),
            ("[cache]\ndirectory = \"\\q\"", "invalid value of \"directory\" in line 2"),
            ("[cache]\ndirectory =", "invalid value of \"directory\" in line 2"),
            ("[cache]\ndirectory = true", "wrong or repeated \"directory\" in line 2"),
            ("[cache]\nenabled = 1", "wrong or repeated \"enabled\" in line 2"),
            ("[cache]\ndirectory = '/a'\ndirectory = '/a'", "wrong or repeated \"directory\" in line 3"),
            ("[cache]\ndirektory = '/a'", "unknown key \"direktory\" in line 2"),
        ];
        for (text, mistake) in table {
            assert_eq!(directory(text).unwrap_err(), mistake, "{text}");
        }
    }
}
