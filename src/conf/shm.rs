//! `shm_kv` and `shm_queue`: the zones of shared data and queues.

use ngx::shm::{self, Layout, Memory, Zone};
use ngx::{Conf, Cycle, Failed, Log, wake};

use super::WasmConf;
use super::problems::{At, words};
use super::values;
use crate::modules::Core;
use crate::shm::kv::{Eviction, Kv};
use crate::shm::queue::Queues;

/// The zone for what no other zone is named for.
pub const DEFAULT: &str = "*";
const DEFAULT_SIZE: usize = 1 << 20;
/// The most queues of the zone that is not named for one.
const MANY: u32 = 1024;

/// The host functions that need zones.
const DATA: [&str; 2] = ["proxy_get_shared_data", "proxy_set_shared_data"];
const QUEUES: [&str; 4] = [
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_dequeue_shared_queue",
];

/// What is in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Shared data.
    Data(Eviction),
    /// At most so many queues.
    Queues(u32),
}

/// A zone that is declared, or that a module needs.
#[derive(Debug)]
pub struct ShmZone {
    pub name: String,
    pub kind: Kind,
    /// In bytes.
    pub size: usize,
    /// Where there is shared memory: not in `nginx -s`.
    zone: Option<Zone<()>>,
    at: At,
}

impl ShmZone {
    /// The zone's memory, once nginx has made it.
    pub fn memory(&self) -> Option<Memory> {
        self.zone?.memory()
    }

    /// nginx's name for it. What is in a zone is part of it: the same name with other contents is another zone.
    fn full_name(&self) -> String {
        match self.kind {
            Kind::Data(_) => format!("wasm shm_kv {}", self.name),
            Kind::Queues(_) => format!("wasm shm_queue {}", self.name),
        }
    }
}

/// The handler of `shm_kv NAME SIZE [eviction=POLICY]`.
pub fn data(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    let words = words(cf);
    let eviction = match words.get(2) {
        Some(word) => eviction(word),
        None => Ok(Eviction::default()),
    };
    // A zone with a wrong policy is a zone all the same: another of its name is a mistake as well.
    declare(cf, conf, &words, Kind::Data(*eviction.as_ref().unwrap_or(&Eviction::None)))?;
    eviction.map(drop)
}

/// The handler of `shm_queue NAME SIZE`.
pub fn queue(cf: Conf<'_>, conf: &mut WasmConf) -> Result<(), String> {
    let words = words(cf);
    declare(cf, conf, &words, Kind::Queues(1))?;
    match words.get(2) {
        None => Ok(()),
        Some(word) if word.starts_with(b"eviction=") => {
            let name = String::from_utf8_lossy(words[0]);
            Err(format!("shm_queue \"{name}\": queues do not support eviction policies"))
        }
        Some(word) => Err(invalid_option(word)),
    }
}

fn eviction(word: &[u8]) -> Result<Eviction, String> {
    match word.strip_prefix(b"eviction=") {
        Some(b"none") => Ok(Eviction::None),
        Some(b"lru") => Ok(Eviction::Lru),
        Some(b"slru") => Ok(Eviction::Slru),
        Some(other) => Err(format!("invalid eviction policy \"{}\"", String::from_utf8_lossy(other))),
        None => Err(invalid_option(word)),
    }
}

fn invalid_option(word: &[u8]) -> String {
    format!("invalid option \"{}\"", String::from_utf8_lossy(word))
}

fn declare(cf: Conf<'_>, conf: &mut WasmConf, words: &[&[u8]], kind: Kind) -> Result<(), String> {
    let [name, size, ..] = words else { return Err("invalid number of arguments".to_owned()) };
    let name = values::utf8("shm name", name)?;
    // Queues without a zone of their name are together in one that nobody declares.
    if name.is_empty() || (name == DEFAULT && matches!(kind, Kind::Queues(_))) {
        return Err(format!("[wasm] invalid shm name \"{name}\""));
    }
    let known = conf.shm.iter().any(|zone| zone.name == name);
    let size =
        cf.parse_size(size).ok_or_else(|| format!("[wasm] invalid shm size \"{}\"", String::from_utf8_lossy(size)));
    conf.shm.push(ShmZone {
        name: name.to_owned(),
        kind,
        size: *size.as_ref().unwrap_or(&DEFAULT_SIZE),
        zone: None,
        at: At::of(cf),
    });
    check_size(size?, shm::least_size(), shm::page_size())?;
    if known { Err(format!("\"{name}\" shm already defined")) } else { Ok(()) }
}

fn check_size(size: usize, least: usize, page: usize) -> Result<(), String> {
    if size < least {
        return Err(format!("[wasm] shm size of {size} bytes is too small, minimum required is {least} bytes"));
    }
    if !size.is_multiple_of(page) {
        return Err(format!("[wasm] shm size of {size} bytes is not page-aligned, must be a multiple of {page}"));
    }
    Ok(())
}

/// Adds the zones to the configuration, and those that nobody declared but a module needs.
pub fn settle(cycle: Cycle<'_>, conf: &mut WasmConf) {
    let imports = |names: &[&str]| {
        let modules = conf.modules.iter().filter_map(|module| module.compiled.as_ref());
        modules
            .into_iter()
            .any(|compiled| compiled.imports().iter().any(|import| names.contains(&import.name.as_str())))
    };
    let (data, queues) = (imports(&DATA), imports(&QUEUES));
    let has = |conf: &WasmConf, data: bool| {
        conf.shm.iter().any(|zone| zone.name == DEFAULT && matches!(zone.kind, Kind::Data(_)) == data)
    };
    let (name, size) = (DEFAULT.to_owned(), DEFAULT_SIZE);
    if data && !has(conf, true) {
        let kind = Kind::Data(Eviction::default());
        conf.shm.push(ShmZone { name: name.clone(), kind, size, zone: None, at: At::default() });
    }
    if queues {
        let kind = Kind::Queues(MANY);
        conf.shm.push(ShmZone { name, kind, size, zone: None, at: At::default() });
    }
    conf.queues = conf.shm.iter().any(|zone| matches!(zone.kind, Kind::Queues(_)));
    if conf.problems.any() {
        return;
    }
    for zone in &mut conf.shm {
        let name = zone.full_name();
        let added = match zone.kind {
            Kind::Data(_) => Zone::<Data>::add::<Core>(cycle, &name, zone.size).map(Zone::untyped),
            Kind::Queues(1) => Zone::<OneQueue>::add::<Core>(cycle, &name, zone.size).map(Zone::untyped),
            Kind::Queues(_) => Zone::<ManyQueues>::add::<Core>(cycle, &name, zone.size).map(Zone::untyped),
        };
        match added {
            Ok(added) => zone.zone = Some(added),
            Err(Failed) => {
                let text = format_args!("[wasm] no shared memory for shm \"{}\"", zone.name);
                conf.problems.tell(cycle.log(), &zone.at, text);
            }
        }
    }
    if conf.queues && wake::prepare(cycle.log(), 2 * cycle.worker_processes()).is_err() {
        let text = format_args!("[wasm] no wake-ups for queues");
        conf.problems.tell(cycle.log(), &At::default(), text);
    }
}

struct Data;
struct OneQueue;
struct ManyQueues;

/// A zone that is kept may be in use: it is opened, and mended, by whoever uses it next.
fn lay_out(kept: bool, open: impl FnOnce() -> bool) -> Result<(), Failed> {
    if kept || open() {
        return Ok(());
    }
    ngx::error!(Log::cycle(), "[wasm] a shared zone is too small");
    Err(Failed)
}

impl Layout for Data {
    fn init(memory: Memory, kept: bool) -> Result<(), Failed> {
        lay_out(kept, || Kv::open(&mut memory.lock(), Eviction::default()).is_ok())
    }
}

impl Layout for OneQueue {
    fn init(memory: Memory, kept: bool) -> Result<(), Failed> {
        lay_out(kept, || Queues::open(&mut memory.lock(), 1).is_ok())
    }
}

impl Layout for ManyQueues {
    fn init(memory: Memory, kept: bool) -> Result<(), Failed> {
        lay_out(kept, || Queues::open(&mut memory.lock(), MANY).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_have_names() {
        assert_eq!(eviction(b"eviction=none"), Ok(Eviction::None));
        assert_eq!(eviction(b"eviction=lru"), Ok(Eviction::Lru));
        assert_eq!(eviction(b"eviction=slru"), Ok(Eviction::Slru));
        assert_eq!(eviction(b"eviction=foobar").unwrap_err(), "invalid eviction policy \"foobar\"");
        assert_eq!(eviction(b"eviction=").unwrap_err(), "invalid eviction policy \"\"");
        assert_eq!(eviction(b"foo=bar").unwrap_err(), "invalid option \"foo=bar\"");
    }

    #[test]
    fn sizes_are_pages() {
        assert_eq!(check_size(12288, 12288, 4096), Ok(()));
        assert_eq!(
            check_size(8192, 12288, 4096).unwrap_err(),
            "[wasm] shm size of 8192 bytes is too small, minimum required is 12288 bytes"
        );
        assert_eq!(
            check_size(16385, 12288, 4096).unwrap_err(),
            "[wasm] shm size of 16385 bytes is not page-aligned, must be a multiple of 4096"
        );
    }
}
