//! Mistakes: told where they are, remembered until the whole configuration was read.

use std::fmt;

use ngx::{Conf, ConfError, Level, Log};

use super::{LocConf, WasmConf};
use crate::modules::{Core, Http};

/// Where a directive stands. Its text is nginx's: ` in FILE:LINE`, or nothing for `-g`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At(Option<(String, usize)>);

impl At {
    pub fn of(cf: Conf<'_>) -> Self {
        Self(cf.file_line())
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((file, line)) => write!(f, " in {file}:{line}"),
            None => Ok(()),
        }
    }
}

/// How many mistakes there were.
#[derive(Debug, Default)]
pub struct Problems(usize);

impl Problems {
    /// Tells a mistake that was seen only after its directive was read.
    pub fn tell(&mut self, log: Log<'_>, at: &At, text: fmt::Arguments<'_>) {
        log.write(Level::Emerg, format_args!("{text}{at}"));
        self.0 += 1;
    }

    /// Tells a mistake of the directive being read.
    pub fn tell_here(&mut self, cf: Conf<'_>, text: &str) {
        cf.log_error(Level::Emerg, format_args!("{text}"));
        self.0 += 1;
    }

    /// Remembers a mistake that nginx has told.
    pub fn told(&mut self) {
        self.0 += 1;
    }

    pub fn any(&self) -> bool {
        self.0 > 0
    }
}

/// Runs the handler of a directive inside `wasm {}`. An error is told and remembered, and nginx reads on.
pub fn in_wasm(
    cf: Conf<'_>,
    handler: impl FnOnce(Conf<'_>, &mut WasmConf) -> Result<(), String>,
) -> Result<(), ConfError> {
    let mut conf = cf.core_conf::<Core>();
    if let Err(text) = handler(cf, &mut conf) {
        conf.problems.tell_here(cf, &text);
    }
    Ok(())
}

/// The same for a directive of `http {}`.
pub fn in_http(
    cf: Conf<'_>,
    handler: impl FnOnce(Conf<'_>, &mut LocConf, &mut WasmConf) -> Result<(), String>,
) -> Result<(), ConfError> {
    in_wasm(cf, |cf, conf| {
        conf.dependents.push((name(cf), At::of(cf)));
        handler(cf, &mut cf.loc_conf::<Http>(), conf)
    })
}

/// Sets what may be set once on a level, from the only argument.
pub fn set<T>(
    cf: Conf<'_>,
    slot: &mut Option<T>,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<(), String> {
    if slot.is_some() {
        return Err(duplicate(cf));
    }
    *slot = Some(parse(cf.arg(1).unwrap_or_default())?);
    Ok(())
}

/// [`set`] for `on` and `off`.
pub fn set_switch(cf: Conf<'_>, slot: &mut Option<bool>) -> Result<(), String> {
    set(cf, slot, |value| {
        cf.parse_flag(value).ok_or_else(|| {
            let (value, name) = (String::from_utf8_lossy(value), name(cf));
            format!("invalid value \"{value}\" in \"{name}\" directive, it must be \"on\" or \"off\"")
        })
    })
}

/// nginx's text.
pub fn duplicate(cf: Conf<'_>) -> String {
    format!("\"{}\" directive is duplicate", name(cf))
}

/// The name of the directive being read.
pub fn name(cf: Conf<'_>) -> String {
    String::from_utf8_lossy(cf.arg(0).unwrap_or_default()).into_owned()
}

/// The arguments of the directive being read.
pub fn words<'a>(cf: Conf<'a>) -> Vec<&'a [u8]> {
    cf.args().iter().skip(1).map(|word| word.as_bytes()).collect()
}

/// A system call's error as nginx writes it: `(2: No such file or directory)`.
pub fn system(error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => {
            let known = format!(" (os error {number})");
            format!("({number}: {})", text.strip_suffix(&known).unwrap_or(&text))
        }
        None => format!("({text})"),
    }
}

/// A message of an engine, which may have lines and indents, as one line.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_nginx_does() {
        assert_eq!(At(Some(("/etc/nginx.conf".to_owned(), 7))).to_string(), " in /etc/nginx.conf:7");
        assert_eq!(At::default().to_string(), "");
    }

    #[test]
    fn system_errors_have_their_number_in_front() {
        assert_eq!(system(&std::io::Error::from_raw_os_error(2)), "(2: No such file or directory)");
        assert_eq!(system(&std::io::Error::other("odd")), "(odd)");
    }

    #[test]
    fn engine_messages_become_one_line() {
        assert_eq!(one_line("failed\n  at 1:\n\tx "), "failed at 1: x");
    }
}
