//! Shared data and queues in nginx's zones, or, for a trial start, in scratch memory of its own.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ngx::shm::{Locked, Memory};
use ngx::{Level, Log, process};

use crate::conf::{ShmKind, ShmZone, WasmConf};
use crate::proxy_wasm::abi::Status;
use crate::shm::kv::{Eviction, Kv, Set};
use crate::shm::plain::Plain;
use crate::shm::queue::{Dequeued, Enqueued, Queues, Receiver, Registered};
use crate::shm::{At, Slab};

/// How often a zone that is full is told.
const FULL_WARNING: Duration = Duration::from_secs(60);
/// Scratch zones are not larger: a guest has no more memory to fill them from.
const MOST_SCRATCH: usize = 256 << 20;
/// The bits of a token that are the queue within its zone.
const QUEUE_BITS: u32 = 16;

/// The zones of a configuration, as the VMs of a process reach them.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Zones>);

#[derive(Debug, Default)]
struct Zones {
    data: Vec<Zone<Eviction>>,
    /// With the most queues of each.
    queues: Vec<Zone<u32>>,
}

#[derive(Debug)]
struct Zone<Setting> {
    name: String,
    memory: Place,
    setting: Setting,
    told: Option<Instant>,
}

#[derive(Debug)]
enum Place {
    Zone(Memory),
    Scratch(Box<Plain>),
}

/// A queue that this process receives from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    pub token: u32,
    /// There is something in it already.
    pub waiting: bool,
}

impl Shared {
    /// The zones of a configuration that nginx has made them for.
    pub fn of(conf: &WasmConf) -> Self {
        Self(Mutex::new(Zones::new(conf, |zone| zone.memory().map(Place::Zone))))
    }

    /// Zones like those of a configuration, which nobody else sees.
    pub fn scratch(conf: &WasmConf) -> Self {
        let scratch = |zone: &ShmZone| Some(Place::Scratch(Box::new(Plain::new(zone.size.min(MOST_SCRATCH)))));
        Self(Mutex::new(Zones::new(conf, scratch)))
    }

    /// Puts the zones of another configuration in the place of these: where one process does all, nginx is about to
    /// unmap those that a reload has taken away.
    pub fn replace(&self, conf: &WasmConf) {
        *self.zones() = Zones::new(conf, |zone| zone.memory().map(Place::Zone));
    }

    fn zones(&self) -> MutexGuard<'_, Zones> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn value(&self, key: &[u8], out: &mut Vec<u8>) -> Result<u32, Status> {
        let mut zones = self.zones();
        let zone = zones.of_key(key).ok_or(Status::NotFound)?;
        zone.data(|data| data.get(key, out)).flatten().ok_or(Status::NotFound)
    }

    pub fn set_value(&self, key: &[u8], value: Option<&[u8]>, cas: u32) -> Result<(), Status> {
        let mut zones = self.zones();
        let zone = zones.of_key(key).ok_or(Status::InternalFailure)?;
        match zone.data(|data| data.set(key, value, cas)) {
            Some(Set::Done) => Ok(()),
            Some(Set::CasMismatch) => Err(Status::CasMismatch),
            Some(Set::Full) | None => {
                zone.tell_full("shm_kv", "a value", value.map_or(0, <[u8]>::len));
                Err(Status::InternalFailure)
            }
        }
    }

    /// Makes or finds a queue. With `receive`, this process hears of its items.
    pub fn register(&self, name: &[u8], receive: bool) -> Result<Reception, Status> {
        let mut zones = self.zones();
        let (index, zone) = zones.of_queue(name).ok_or(Status::InternalFailure)?;
        match zone.queues(|queues| queues.register(name, receive.then(me))) {
            Some(Ok(Registered { index: queue, waiting })) => Ok(Reception { token: token(index, queue)?, waiting }),
            Some(Err(_)) | None => {
                zone.tell_full("shm_queue", "another queue, with a name", name.len());
                Err(Status::InternalFailure)
            }
        }
    }

    pub fn resolve(&self, name: &[u8]) -> Result<u32, Status> {
        let mut zones = self.zones();
        let (index, zone) = zones.of_queue(name).ok_or(Status::NotFound)?;
        token(index, zone.queues(|queues| queues.find(name)).flatten().ok_or(Status::NotFound)?)
    }

    /// Appends an item to a queue; the place of the worker that is to be woken, if one is.
    pub fn enqueue(&self, token: u32, item: &[u8]) -> Result<Option<usize>, Status> {
        let mut zones = self.zones();
        let (zone, queue) = zones.of_token(token)?;
        match zone.queues(|queues| queues.enqueue(queue, item)) {
            Some(Enqueued::Done(receiver)) => Ok(receiver.map(|receiver| receiver.place as usize)),
            Some(Enqueued::Unknown) => Err(Status::NotFound),
            Some(Enqueued::Full) | None => {
                zone.tell_full("shm_queue", "an item", item.len());
                Err(Status::InternalFailure)
            }
        }
    }

    pub fn dequeue(&self, token: u32, out: &mut Vec<u8>) -> Result<(), Status> {
        let mut zones = self.zones();
        let (zone, queue) = zones.of_token(token)?;
        match zone.queues(|queues| queues.dequeue(queue, out)) {
            Some(Dequeued::Done) => Ok(()),
            Some(Dequeued::Empty) => Err(Status::Empty),
            Some(Dequeued::Unknown) | None => Err(Status::NotFound),
        }
    }

    /// How many items of a queue this process has not been told of; it is now.
    pub fn untold(&self, token: u32) -> u64 {
        let mut zones = self.zones();
        let Ok((zone, queue)) = zones.of_token(token) else { return 0 };
        zone.queues(|queues| queues.untold(queue, me())).unwrap_or(0)
    }

    pub fn is_empty(&self, token: u32) -> bool {
        let mut zones = self.zones();
        let Ok((zone, queue)) = zones.of_token(token) else { return true };
        zone.queues(|queues| queues.count(queue)).unwrap_or(0) == 0
    }
}

/// This process as a receiver.
fn me() -> Receiver {
    Receiver { place: process::worker_index() as u32, process: process::pid().unsigned_abs() }
}

/// Never 0.
fn token(zone: usize, queue: u32) -> Result<u32, Status> {
    let zone = u32::try_from(zone + 1).ok().filter(|zone| *zone < 1 << (32 - QUEUE_BITS));
    zone.map(|zone| zone << QUEUE_BITS | queue).ok_or(Status::InternalFailure)
}

impl Zones {
    fn new(conf: &WasmConf, place: impl Fn(&ShmZone) -> Option<Place>) -> Self {
        let mut zones = Self::default();
        for zone in &conf.shm {
            let Some(memory) = place(zone) else { continue };
            let (name, told) = (zone.name.clone(), None);
            match zone.kind {
                ShmKind::Data(setting) => zones.data.push(Zone { name, memory, setting, told }),
                ShmKind::Queues(setting) => zones.queues.push(Zone { name, memory, setting, told }),
            }
        }
        zones
    }

    /// The zone that is named in front of the key's first `/`, or the one for all others.
    fn of_key(&mut self, key: &[u8]) -> Option<&mut Zone<Eviction>> {
        let slash = key.iter().position(|&byte| byte == b'/');
        let named = slash.and_then(|slash| self.data.iter().position(|zone| zone.name.as_bytes() == &key[..slash]));
        let index = named.or_else(|| self.data.iter().position(|zone| zone.name == crate::conf::DEFAULT_SHM))?;
        self.data.get_mut(index)
    }

    /// The zone of that name, or the one for all others, which is the only one for several queues.
    fn of_queue(&mut self, name: &[u8]) -> Option<(usize, &mut Zone<u32>)> {
        let named = self.queues.iter().position(|zone| zone.setting == 1 && zone.name.as_bytes() == name);
        let index = named.or_else(|| self.queues.iter().position(|zone| zone.setting > 1))?;
        Some((index, self.queues.get_mut(index)?))
    }

    fn of_token(&mut self, token: u32) -> Result<(&mut Zone<u32>, u32), Status> {
        let zone = (token >> QUEUE_BITS).checked_sub(1).ok_or(Status::NotFound)?;
        let zone = self.queues.get_mut(zone as usize).ok_or(Status::NotFound)?;
        Ok((zone, token & ((1 << QUEUE_BITS) - 1)))
    }
}

impl<Setting> Zone<Setting> {
    /// Runs `work` on the zone, which nobody else reads or writes meanwhile. It says whether it had to empty the zone.
    fn with<R>(&mut self, directive: &str, work: impl FnOnce(&mut dyn Slab) -> (R, bool)) -> R {
        let (answer, emptied) = match &mut self.memory {
            Place::Zone(memory) => work(&mut memory.lock()),
            Place::Scratch(plain) => work(&mut **plain),
        };
        if emptied {
            let text = "was left half-written by a process that died: it is emptied";
            Log::cycle().write(Level::Alert, format_args!("[wasm] {directive} \"{}\" {text}", self.name));
        }
        answer
    }

    /// Tells that something did not fit, at most once in a while.
    fn tell_full(&mut self, directive: &str, what: &str, size: usize) {
        if self.told.is_none_or(|told| told.elapsed() >= FULL_WARNING) {
            self.told = Some(Instant::now());
            let text = format_args!("[wasm] {directive} \"{}\" is full: no room for {what} of {size} bytes", self.name);
            Log::cycle().write(Level::Error, text);
        }
    }
}

impl Zone<Eviction> {
    /// `None` when the zone is of no use.
    fn data<R>(&mut self, work: impl FnOnce(&mut Kv<'_, dyn Slab + '_>) -> R) -> Option<R> {
        let eviction = self.setting;
        self.with("shm_kv", |slab| match Kv::open(slab, eviction) {
            Ok(mut data) => (Some(work(&mut data)), data.was_emptied()),
            Err(_) => (None, false),
        })
    }
}

impl Zone<u32> {
    fn queues<R>(&mut self, work: impl FnOnce(&mut Queues<'_, dyn Slab + '_>) -> R) -> Option<R> {
        let most = self.setting;
        self.with("shm_queue", |slab| match Queues::open(slab, most) {
            Ok(mut queues) => (Some(work(&mut queues)), queues.was_emptied()),
            Err(_) => (None, false),
        })
    }
}

fn here(at: At) -> Option<ngx::shm::At> {
    ngx::shm::At::new(usize::try_from(at.get()).ok()?)
}

impl Slab for Locked {
    fn page_size(&self) -> usize {
        ngx::shm::page_size()
    }

    fn pages(&self) -> usize {
        Locked::pages(self)
    }

    fn alloc(&mut self, size: usize) -> Option<At> {
        At::new(Locked::alloc(self, size)?.get() as u64)
    }

    fn free(&mut self, at: At) {
        if let Some(at) = here(at) {
            Locked::free(self, at);
        }
    }

    fn bytes(&self, at: At, len: usize) -> Option<&[u8]> {
        Locked::bytes(self, here(at)?, len)
    }

    fn bytes_mut(&mut self, at: At, len: usize) -> Option<&mut [u8]> {
        Locked::bytes_mut(self, here(at)?, len)
    }

    fn reset(&mut self) {
        Locked::reset(self);
    }

    fn is_dirty(&self) -> bool {
        Locked::is_dirty(self)
    }

    fn set_dirty(&mut self, dirty: bool) {
        Locked::set_dirty(self, dirty);
    }

    fn word(&self, index: usize) -> u64 {
        self.words().get(index).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn set_word(&mut self, index: usize, value: u64) {
        if let Some(word) = self.words().get(index) {
            word.store(value, Ordering::Relaxed);
        }
    }
}
