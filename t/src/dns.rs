//! A name server: a thread of the test that answers over UDP as it is told, and counts what it was asked.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A server for `resolver`. A name it was not told of does not exist (NXDOMAIN).
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    zone: Mutex<HashMap<String, Entry>>,
    asked: Mutex<Vec<(String, u16)>>,
    stop: AtomicBool,
}

#[derive(Clone, Debug)]
enum Entry {
    Addresses(Vec<IpAddr>),
    /// SERVFAIL.
    Failure,
    /// No answer at all.
    Silence,
}

const A: u16 = 1;
const AAAA: u16 = 28;
const SERVFAIL: u16 = 2;
const NXDOMAIN: u16 = 3;
/// The header's size.
const HEADER: usize = 12;

impl Default for Dns {
    fn default() -> Self {
        Self::new()
    }
}

impl Dns {
    /// # Panics
    /// When there is no port left.
    pub fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind a name server to 127.0.0.1:0");
        let address = socket.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared::default());
        let thread = Some(std::thread::spawn({
            let shared = shared.clone();
            move || serve(&socket, &shared)
        }));
        Self { address, shared, thread }
    }

    /// The name has these addresses, IPv4 or IPv6, for a minute.
    ///
    /// # Panics
    /// When one is no address.
    #[must_use]
    pub fn name(self, name: &str, addresses: &[&str]) -> Self {
        let parsed = addresses.iter().map(|text| text.parse().unwrap_or_else(|_| panic!("no address: {text}")));
        self.entry(name, Entry::Addresses(parsed.collect()))
    }

    /// The name is answered with SERVFAIL.
    #[must_use]
    pub fn failing(self, name: &str) -> Self {
        self.entry(name, Entry::Failure)
    }

    /// The name is not answered.
    #[must_use]
    pub fn silent(self, name: &str) -> Self {
        self.entry(name, Entry::Silence)
    }

    fn entry(self, name: &str, entry: Entry) -> Self {
        lock(&self.shared.zone).insert(name.to_owned(), entry);
        self
    }

    /// The directive that names it, for IPv4 only.
    pub fn resolver(&self) -> String {
        format!("resolver {} ipv6=off;", self.address)
    }

    /// The directive that names it, for IPv4 and IPv6.
    pub fn resolver_of_both(&self) -> String {
        format!("resolver {};", self.address)
    }

    /// How often it was asked for the IPv4 addresses of a name.
    pub fn asked(&self, name: &str) -> usize {
        lock(&self.shared.asked).iter().filter(|(asked, kind)| asked == name && *kind == A).count()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            let _ = socket.send_to(&[], self.address);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 512];
    loop {
        let received = socket.recv_from(&mut buffer);
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok((size, from)) = received else { continue };
        let Some((name, kind, end)) = question(&buffer[..size]) else { continue };
        lock(&shared.asked).push((name.clone(), kind));
        let entry = lock(&shared.zone).get(&name).cloned();
        let reply = match entry {
            Some(Entry::Silence) => continue,
            Some(Entry::Failure) => answer(&buffer[..end], SERVFAIL, kind, &[]),
            Some(Entry::Addresses(addresses)) => answer(&buffer[..end], 0, kind, &addresses),
            None => answer(&buffer[..end], NXDOMAIN, kind, &[]),
        };
        let _ = socket.send_to(&reply, from);
    }
}

/// The name in lower case, the type, and where the first question of a message ends.
fn question(message: &[u8]) -> Option<(String, u16, usize)> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let size = usize::from(*message.get(at)?);
        at += 1;
        if size == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + size)?).to_ascii_lowercase());
        at += size;
    }
    let kind = message.get(at..at + 2)?;
    message.get(at..at + 4)?;
    Some((labels.join("."), u16::from_be_bytes([kind[0], kind[1]]), at + 4))
}

/// The answer to a message that ends with its question.
fn answer(asked: &[u8], code: u16, kind: u16, addresses: &[IpAddr]) -> Vec<u8> {
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(address) => (kind == A).then(|| address.octets().to_vec()),
            IpAddr::V6(address) => (kind == AAAA).then(|| address.octets().to_vec()),
        })
        .collect();
    let mut reply = asked[..2].to_vec();
    // A response, recursion desired and available; one question, so many answers.
    for word in [0x8180 | code, 1, records.len() as u16, 0, 0] {
        reply.extend(word.to_be_bytes());
    }
    reply.extend(&asked[HEADER..]);
    for record in records {
        // The question's name, its type and class, a minute.
        for word in [0xc000 | HEADER as u16, kind, 1, 0, 60, record.len() as u16] {
            reply.extend(word.to_be_bytes());
        }
        reply.extend(record);
    }
    reply
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
