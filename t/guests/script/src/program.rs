//! The configuration, taken apart.

/// Statements, each with the callback that it runs in.
#[derive(Debug, Default)]
pub struct Program {
    statements: Vec<(String, String)>,
}

impl Program {
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut callback = "configure".to_owned();
        let mut statements = Vec::new();
        for part in text.split([';', '\n']) {
            let mut part = part.trim();
            if let Some((name, rest)) = part.split_once(':')
                && !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            {
                callback = name.to_owned();
                part = rest.trim();
            }
            if !part.is_empty() {
                statements.push((callback.clone(), part.to_owned()));
            }
        }
        Self { statements }
    }

    /// The statements of a callback, in order.
    pub fn of<'a>(&'a self, callback: &'a str) -> impl Iterator<Item = &'a str> {
        self.statements.iter().filter(move |(name, _)| name == callback).map(|(_, statement)| statement.as_str())
    }
}

/// The first word, and what follows it.
pub fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    match text.split_once(' ') {
        Some((first, rest)) => (first, rest.trim_start()),
        None => (text, ""),
    }
}

/// The first word as a number.
pub fn number(text: &str) -> (u32, &str) {
    let (first, rest) = word(text);
    let number = match first.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => first.parse::<i64>().ok().map(|number| number as u32),
    };
    (number.unwrap_or_else(|| panic!("no number: {first:?} in {text:?}")), rest)
}

/// A value with `%XX` in place of bytes that a configuration cannot hold.
pub fn bytes(text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        match (text[at], hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                at += 3;
            }
            (byte, _) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    bytes
}
