//! The statements.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ptr;
use std::rc::Rc;

use crate::calls::{self, Call};
use crate::host::{self, given};
use crate::program::{Program, bytes, number, word};
use crate::{LIVE, driven, metrics, shared, trouble, wild};

thread_local! {
    static TRACE: Cell<bool> = const { Cell::new(false) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static ONCE: RefCell<HashSet<String>> = RefCell::new(HashSet::new());
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A context and what it knows.
pub struct Turn {
    pub id: u32,
    program: Rc<Program>,
    callback: String,
    /// Bytes of a body, or the number of headers.
    size: usize,
    end: bool,
    /// What the last statement that gets something got.
    it: Vec<u8>,
    /// What a callback of calls is about.
    about: Call,
    outcome: Outcome,
}

/// What a callback returns.
#[derive(Clone, Copy)]
pub struct Outcome {
    pub pause: bool,
    pub verdict: bool,
}

impl Turn {
    pub fn new(id: u32, program: &Rc<Program>) -> Self {
        let outcome = Outcome { pause: false, verdict: true };
        let program = program.clone();
        let about = Call::default();
        Self { id, program, callback: String::new(), size: 0, end: false, it: Vec::new(), about, outcome }
    }

    /// Runs the statements of a callback of calls.
    pub fn run_for(&mut self, call: Call, callback: &str, size: usize) {
        self.about = call;
        self.run(callback, size, true);
    }

    /// Runs the statements of a callback.
    pub fn run(&mut self, callback: &str, size: usize, end: bool) -> Outcome {
        (self.callback, self.size, self.end) = (callback.to_owned(), size, end);
        self.outcome = Outcome { pause: false, verdict: true };
        let program = self.program.clone();
        // Asking for `trace` is itself a statement: it is seen before the callback it stands in is told of.
        if callback == "configure" && program.of(callback).any(|statement| statement == "trace") {
            TRACE.set(true);
        }
        if TRACE.get() {
            say(&format!("on {callback} #{} size={size} end={end}", self.id));
        }
        for statement in program.of(callback) {
            self.statement(statement);
        }
        self.outcome
    }

    pub fn statement(&mut self, statement: &str) {
        let (verb, rest) = word(statement);
        match verb {
            // Conditions, with a statement after them. `nth` looks at what `count` counts.
            "when" => self.if_header(rest, true),
            "unless" => self.if_header(rest, false),
            "at_end" if self.end => self.statement(rest),
            "before_end" if !self.end => self.statement(rest),
            "at_end" | "before_end" => {}
            "once" => {
                if ONCE.with_borrow_mut(|once| once.insert(rest.to_owned())) {
                    self.statement(rest);
                }
            }
            "nth" => {
                let (nth, statement) = number(rest);
                if COUNT.get() == nth {
                    self.statement(statement);
                }
            }
            "answered" | "failed" => {
                if (verb == "failed") == (self.about.headers == 0) {
                    self.statement(rest);
                }
            }
            "of" => {
                let (name, statement) = word(rest);
                if self.about.name == name {
                    self.statement(statement);
                }
            }
            "each" => self.each(rest),
            // Without a log line: for what is done a thousand times.
            "quietly" => {
                QUIET.set(true);
                self.statement(rest);
                QUIET.set(false);
            }
            // What the callback returns, and how it ends.
            "trace" => {}
            "pause" => self.outcome.pause = true,
            "collect" => self.outcome.pause |= !self.end,
            "refuse" => self.outcome.verdict = false,
            "trap" => trouble::cause(rest),
            "spin" => trouble::spin(number(rest).0),
            // What stays in the instance.
            "count" => {
                COUNT.set(COUNT.get() + 1);
                self.it = COUNT.get().to_string().into_bytes();
            }
            "keep" => {
                let (size, _) = number(rest);
                KEPT.with_borrow_mut(|kept| kept.push(vec![1; size as usize]));
            }
            "say" => say(&self.expand(rest)),
            "run" => self.run_header(rest),
            "log" => {
                let (level, text) = number(rest);
                let text = self.expand(text);
                // SAFETY: address and size are those of `text`.
                let status = unsafe { host::proxy_log(level, text.as_ptr(), text.len()) };
                self.tell(statement, status);
            }
            "wild" => {
                for (name, address, status) in wild::call_all() {
                    say(&format!("wild {name} {address:#x} -> {status}"));
                }
            }
            _ => self.call(statement),
        }
    }

    /// A statement that asks the host for something.
    fn call(&mut self, statement: &str) {
        let (verb, rest) = word(statement);
        let status = match verb {
            "get" | "pairs" | "headers" | "add" | "replace" | "remove" | "set" | "set_raw" => self.map(verb, rest),
            "body" | "buffer_size" | "write" => self.buffer(verb, rest),
            "property" => self.property(rest),
            "set_property" => self.set_property(rest),
            "reply" | "reply_with" | "grpc_reply" => self.reply(verb, rest),
            "foreign" | "foreign_it" | "foreign_blind" => self.foreign(verb, rest),
            _ if metrics::knows(verb) => self.take(metrics::call(verb, rest)),
            "configuration" => {
                // SAFETY: the addresses are those of two variables.
                self.take(given(|data, size| unsafe { host::proxy_get_configuration(data, size) }))
            }
            "time" => {
                let mut time = 0;
                // SAFETY: as above.
                let status = unsafe { host::proxy_get_current_time_nanoseconds(&mut time) };
                self.take((status, time.to_string().into_bytes()))
            }
            "log_level" => {
                let mut level = 0;
                // SAFETY: as above.
                let status = unsafe { host::proxy_get_log_level(&mut level) };
                self.take((status, level.to_string().into_bytes()))
            }
            "print" => {
                println!("{}", self.expand(rest));
                0
            }
            "eprint" => {
                eprintln!("{}", self.expand(rest));
                0
            }
            "balance" => self.take((0, driven::balance())),
            "env" => self.take((0, std::env::var(rest).unwrap_or_else(|error| error.to_string()).into_bytes())),
            "args" => self.take((0, format!("{:?}", std::env::args().collect::<Vec<_>>()).into_bytes())),
            "open" => self.take((0, format!("{:?}", std::fs::read(rest).err().map(|error| error.kind())).into_bytes())),
            _ if calls::knows(verb) => self.take(calls::run(self.id, verb, &self.expand(rest))),
            _ if shared::knows(verb) => self.take(shared::run(verb, &self.expand(rest), self.size as u32)),
            // SAFETY: none of these takes an address.
            _ => unsafe {
                match verb {
                    "continue" => host::proxy_continue_stream(number(rest).0),
                    "continue_request" => host::proxy_continue_request(),
                    "continue_response" => host::proxy_continue_response(),
                    "clear_route_cache" => host::proxy_clear_route_cache(),
                    "close" => host::proxy_close_stream(number(rest).0),
                    "tick" => host::proxy_set_tick_period_milliseconds(number(rest).0),
                    "effective" => host::proxy_set_effective_context(number(rest).0),
                    "finish" => host::proxy_done(),
                    _ => panic!("no statement is called {verb:?}"),
                }
            },
        };
        self.tell(statement, status);
    }

    /// `get MAP NAME`, `pairs MAP`, `headers MAP` (their number), `add MAP NAME VALUE`, `replace MAP NAME VALUE`,
    /// `remove MAP NAME`, `set MAP NAME=VALUE ...`, `set_raw MAP BYTES`.
    fn map(&mut self, verb: &str, rest: &str) -> u32 {
        let (map, rest) = self.map_number(rest);
        let (name, value) = word(rest);
        let (key, key_size) = (name.as_ptr(), name.len());
        let value = bytes(&self.expand(value));
        // SAFETY: addresses and sizes are those of `name`, `value`, `wire` and of local variables.
        unsafe {
            match verb {
                "get" => {
                    self.take(given(|data, size| host::proxy_get_header_map_value(map, key, key_size, data, size)))
                }
                "pairs" => {
                    let (status, wire) = given(|data, size| host::proxy_get_header_map_pairs(map, data, size));
                    self.take((status, host::show_pairs(&wire).into_bytes()))
                }
                "headers" => {
                    let mut size = 0;
                    let status = host::proxy_get_header_map_size(map, &mut size);
                    self.take((status, size.to_string().into_bytes()))
                }
                "add" => host::proxy_add_header_map_value(map, key, key_size, value.as_ptr(), value.len()),
                "replace" => host::proxy_replace_header_map_value(map, key, key_size, value.as_ptr(), value.len()),
                "remove" => host::proxy_remove_header_map_value(map, key, key_size),
                "set_raw" => {
                    let wire = bytes(rest);
                    host::proxy_set_header_map_pairs(map, wire.as_ptr(), wire.len())
                }
                _ => {
                    let wire = host::pairs(&self.named_values(rest));
                    host::proxy_set_header_map_pairs(map, wire.as_ptr(), wire.len())
                }
            }
        }
    }

    /// `body BUFFER START LENGTH`, `buffer_size BUFFER`, `write BUFFER START LENGTH BYTES`.
    fn buffer(&mut self, verb: &str, rest: &str) -> u32 {
        let (buffer, rest) = buffer_number(rest);
        // SAFETY: addresses and sizes are those of `value` and of local variables.
        unsafe {
            if verb == "buffer_size" {
                let (mut size, mut flags) = (0, 0);
                let status = host::proxy_get_buffer_status(buffer, &mut size, &mut flags);
                return self.take((status, format!("{size} {flags}").into_bytes()));
            }
            let (start, rest) = number(rest);
            let (length, rest) = number(rest);
            let (start, length) = (start as usize, length as usize);
            if verb == "body" {
                return self.take(given(|data, size| host::proxy_get_buffer_bytes(buffer, start, length, data, size)));
            }
            let value = bytes(&self.expand(rest));
            host::proxy_set_buffer_bytes(buffer, start, length, value.as_ptr(), value.len())
        }
    }

    /// `property A.B`: the parts of the path are given to the host parted by NUL.
    fn property(&mut self, path: &str) -> u32 {
        let path = bytes(&path.replace('.', "\0"));
        // SAFETY: address and size are those of `path`.
        self.take(given(|data, size| unsafe { host::proxy_get_property(path.as_ptr(), path.len(), data, size) }))
    }

    /// `set_property A.B VALUE`.
    fn set_property(&mut self, rest: &str) -> u32 {
        let (path, value) = word(rest);
        let path = bytes(&path.replace('.', "\0"));
        let value = bytes(&self.expand(value));
        // SAFETY: addresses and sizes are those of `path` and `value`.
        unsafe { host::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) }
    }

    /// `reply STATUS BODY`, `reply_with STATUS NAME=VALUE,... BODY`, `grpc_reply CODE MESSAGE`.
    fn reply(&mut self, verb: &str, rest: &str) -> u32 {
        let (code, rest) = number(rest);
        let (headers, body) = if verb == "reply_with" { word(rest) } else { ("", rest) };
        let headers = host::pairs(&self.named_values(&headers.replace(',', " ")));
        let text = bytes(&self.expand(body));
        let (status, grpc) = if verb == "grpc_reply" { (200, code as i32) } else { (code, -1) };
        let (details, body) = if verb == "grpc_reply" { (text, Vec::new()) } else { (Vec::new(), text) };
        // SAFETY: addresses and sizes are those of `details`, `body` and `headers`.
        unsafe {
            host::proxy_send_local_response(
                status,
                details.as_ptr(),
                details.len(),
                body.as_ptr(),
                body.len(),
                headers.as_ptr(),
                headers.len(),
                grpc,
            )
        }
    }

    /// `foreign NAME ARGUMENTS`; `foreign_it NAME`, with what was got last for arguments; `foreign_blind NAME ARGUMENTS`,
    /// which wants no result.
    fn foreign(&mut self, verb: &str, rest: &str) -> u32 {
        let (name, arguments) = word(rest);
        let arguments =
            if verb == "foreign_it" { std::mem::take(&mut self.it) } else { bytes(&self.expand(arguments)) };
        // SAFETY: addresses and sizes are those of `name` and `arguments`; the places for the result may be left out.
        let call = |data, size| unsafe {
            let (name, name_size) = (name.as_ptr(), name.len());
            host::proxy_call_foreign_function(name, name_size, arguments.as_ptr(), arguments.len(), data, size)
        };
        if verb == "foreign_blind" {
            return call(ptr::null_mut(), ptr::null_mut());
        }
        self.take(given(call))
    }

    fn each(&mut self, statement: &str) {
        for id in LIVE.with_borrow(Vec::clone) {
            // SAFETY: takes no address.
            let status = unsafe { host::proxy_set_effective_context(id) };
            say(&format!("effective {id} -> {status}"));
            self.statement(statement);
        }
    }

    fn if_header(&mut self, rest: &str, there: bool) {
        let (name, statement) = word(rest);
        // SAFETY: address and size are those of `name`.
        let call = |data, size| unsafe { host::proxy_get_header_map_value(0, name.as_ptr(), name.len(), data, size) };
        if (given(call).0 == 0) == there {
            self.statement(statement);
        }
    }

    fn take(&mut self, (status, bytes): (u32, Vec<u8>)) -> u32 {
        self.it = bytes;
        status
    }

    /// A call of the host, its status, and what it gave if it is one that gives something.
    fn tell(&self, statement: &str, status: u32) {
        if QUIET.get() {
            return;
        }
        // Log lines of nginx end at 2 KB.
        let statement = statement.get(..200).unwrap_or(statement);
        const GIVING: [&str; 18] = [
            "get",
            "pairs",
            "headers",
            "body",
            "buffer_size",
            "property",
            "configuration",
            "time",
            "log_level",
            "env",
            "args",
            "open",
            "foreign",
            "foreign_it",
            "define",
            "metric",
            "it",
            "?",
        ];
        let verb = word(statement).0;
        if GIVING.contains(&verb) || shared::GIVING.contains(&verb) || calls::GIVING.contains(&verb) {
            say(&format!("{statement} -> {status} \"{}\"", String::from_utf8_lossy(&self.it).escape_debug()));
        } else {
            say(&format!("{statement} -> {status}"));
        }
    }

    /// A text with `{it}` and its kin in it replaced.
    fn expand(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        text.replace("{it}", &String::from_utf8_lossy(&self.it))
            .replace("{hex}", &self.it.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            .replace("{id}", &self.id.to_string())
            .replace("{size}", &self.size.to_string())
            .replace("{end}", &self.end.to_string())
            .replace("{callback}", &self.callback)
            .replace("{call}", &self.about.name)
            .replace("{headers}", &self.about.headers.to_string())
            .replace("{trailers}", &self.about.trailers.to_string())
            .replace("{status}", &self.about.status.to_string())
    }

    fn named_values(&self, text: &str) -> Vec<(String, Vec<u8>)> {
        let named = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (String::from_utf8_lossy(&bytes(name)).into_owned(), bytes(&self.expand(value)))
        };
        text.split_whitespace().map(named).collect()
    }

    fn map_number<'a>(&self, text: &'a str) -> (u32, &'a str) {
        let (name, rest) = word(text);
        let map = match name {
            "request" => 0,
            "request_trailers" => 1,
            "response" => 2,
            "response_trailers" => 3,
            "grpc_initial" => 4,
            "grpc_trailing" => 5,
            "call" => 6,
            "call_trailers" => 7,
            _ => return number(text),
        };
        (map, rest)
    }
}

fn buffer_number(text: &str) -> (u32, &str) {
    let (name, rest) = word(text);
    let buffer = match name {
        "request" => 0,
        "response" => 1,
        "call" => 4,
        "grpc" => 5,
        "vm" => 6,
        "plugin" => 7,
        _ => return number(text),
    };
    (buffer, rest)
}

/// Logs at info.
fn say(text: &str) {
    // SAFETY: address and size are those of `text`.
    unsafe { host::proxy_log(2, text.as_ptr(), text.len()) };
}
