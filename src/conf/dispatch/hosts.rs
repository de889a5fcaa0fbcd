//! `resolver_add`: hosts that are known without asking a name server.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, OnceLock};

/// An address of a host, and the port that its connections go to whatever the call's; `None` is the call's.
pub type Address = (IpAddr, Option<u16>);

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// In lower case, without a dot at its end.
    host: Box<[u8]>,
    address: Address,
}

/// The hosts of one level, by name; those of one name in the order of nginx.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List(Vec<Known>);

impl List {
    /// Adds an address of a host; one that it has already is not added again.
    pub fn add(&mut self, host: &[u8], address: Address) {
        let host = without_dot(host);
        let known = self.find(host);
        if !known.iter().any(|known| known.address == address) {
            let at = self.start(host) + known.len();
            self.0.insert(at, Known { host: host.to_ascii_lowercase().into(), address });
        }
    }

    /// Takes over the hosts of `outer` that are not here.
    pub fn inherit(&mut self, outer: &Self) {
        // A name that is here hides all addresses of the other.
        let own = self.clone();
        for known in outer.0.iter().filter(|known| own.find(&known.host).is_empty()) {
            self.add(&known.host, known.address);
        }
    }

    fn find(&self, host: &[u8]) -> &[Known] {
        let rest = self.0.get(self.start(host)..).unwrap_or_default();
        let end = rest.partition_point(|known| order(&known.host, host).is_eq());
        rest.get(..end).unwrap_or_default()
    }

    /// Where that host is or would be.
    fn start(&self, host: &[u8]) -> usize {
        self.0.partition_point(|known| order(&known.host, host).is_lt())
    }
}

/// Compares without case, and without a copy of the name that is looked for.
fn order(known: &[u8], host: &[u8]) -> Ordering {
    known.iter().copied().cmp(host.iter().map(u8::to_ascii_lowercase))
}

fn without_dot(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

/// The known hosts of a location (its own and those of the levels around it) or of root contexts, then the global ones.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    own: List,
    /// Complete only when the whole configuration was read: `http {}` may stand first.
    global: Arc<OnceLock<List>>,
}

impl Hosts {
    /// Only the global ones.
    pub fn new(global: &Arc<OnceLock<List>>) -> Self {
        Self { own: List::default(), global: global.clone() }
    }

    pub fn add(&mut self, host: &[u8], address: Address) {
        self.own.add(host, address);
    }

    /// Takes over the hosts of the level around it that are not here.
    pub fn inherit(&mut self, outer: &Self) {
        self.own.inherit(&outer.own);
    }

    /// The addresses of a host, in any case, with or without a dot at its end; none when it is not known.
    pub fn addresses<'a>(&'a self, host: &[u8]) -> impl ExactSizeIterator<Item = Address> + Clone + use<'a> {
        let host = without_dot(host);
        let mut found = self.own.find(host);
        if found.is_empty() {
            found = self.global.get().map(|global| global.find(host)).unwrap_or_default();
        }
        found.iter().map(|known| known.address)
    }
}

/// `IP`, `IP:PORT`, `[IP]` or `[IP]:PORT`; with a port, an IPv6 address is in brackets.
///
/// # Errors
/// The text of the mistake.
pub fn address(word: &[u8]) -> Result<Address, String> {
    let wrong = || format!("invalid address value \"{}\"", String::from_utf8_lossy(word));
    let text = str::from_utf8(word).map_err(|_| wrong())?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address, None));
    }
    let (address, rest) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, rest)) => (address.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| wrong())?, rest),
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (address, rest) = text.split_at(end);
            (IpAddr::V4(address.parse().map_err(|_| wrong())?), rest)
        }
    };
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok((address, None)),
        None => Err(wrong()),
        Some(port) => Ok((address, Some(number(port).ok_or_else(wrong)?))),
    }
}

/// A port: digits, not 0.
fn number(port: &str) -> Option<u16> {
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten().filter(|&port| port > 0)
}

/// A host as it is looked for: not empty, and without a port, which is none of a name.
///
/// # Errors
/// The text of the mistake.
pub fn host(word: &[u8]) -> Result<&[u8], String> {
    if without_dot(word).is_empty() || word.iter().any(|byte| byte.is_ascii_whitespace() || b":/\0".contains(byte)) {
        return Err(format!("invalid host value \"{}\"", String::from_utf8_lossy(word)));
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        address(text.as_bytes()).unwrap()
    }

    fn list(lines: &[(&str, &str)]) -> List {
        let mut list = List::default();
        for (host, text) in lines {
            list.add(host.as_bytes(), at(text));
        }
        list
    }

    fn found(hosts: &Hosts, host: &str) -> Vec<Address> {
        hosts.addresses(host.as_bytes()).collect()
    }

    #[test]
    fn addresses_are_of_both_families_with_and_without_a_port() {
        let (four, six): (IpAddr, IpAddr) = ("127.0.0.1".parse().unwrap(), "::1".parse().unwrap());
        for (text, expected) in [
            ("127.0.0.1", (four, None)),
            ("127.0.0.1:8080", (four, Some(8080))),
            ("::1", (six, None)),
            ("[::1]", (six, None)),
            ("[::1]:65535", (six, Some(65535))),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for bad in [
            "",
            "127.0.0",
            "1.2.3.256",
            "0:0:0:0:0:0",
            "localhost",
            "[127.0.0.1]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:+1",
            "127.0.0.1:65536",
            "127.0.0.1:80:80",
            " 127.0.0.1",
            ":80",
        ] {
            assert_eq!(address(bad.as_bytes()), Err(format!("invalid address value \"{bad}\"")));
        }
        assert!(address(b"\xff").is_err());
    }

    #[test]
    fn a_host_is_a_name() {
        for good in ["a", "a.b.", "A-b_c.example", "ä"] {
            assert_eq!(host(good.as_bytes()), Ok(good.as_bytes()));
        }
        for bad in ["", ".", "a b", "a:80", "a/b", "::1"] {
            assert_eq!(host(bad.as_bytes()), Err(format!("invalid host value \"{bad}\"")));
        }
    }

    #[test]
    fn hosts_are_found_without_case_and_final_dot() {
        let hosts =
            Hosts { own: list(&[("B.Example", "1.1.1.1"), ("a", "2.2.2.2"), ("c.", "3.3.3.3")]), ..Hosts::default() };
        for name in ["b.example", "B.EXAMPLE", "b.Example."] {
            assert_eq!(found(&hosts, name), [at("1.1.1.1")], "{name}");
        }
        assert_eq!(found(&hosts, "C"), [at("3.3.3.3")]);
        for name in ["", ".", "b", "b.example.org", "example"] {
            assert_eq!(found(&hosts, name), [], "{name}");
        }
    }

    #[test]
    fn a_host_may_have_several_addresses_in_their_order() {
        let lines = [("h", "2.2.2.2"), ("i", "::1"), ("H", "[::1]:80"), ("h", "1.1.1.1"), ("h", "2.2.2.2")];
        let hosts = Hosts { own: list(&lines), ..Hosts::default() };
        assert_eq!(found(&hosts, "h"), [at("2.2.2.2"), at("[::1]:80"), at("1.1.1.1")]);
    }

    #[test]
    fn the_nearest_level_that_has_a_host_counts() {
        let global = Arc::new(OnceLock::new());
        let mut server = Hosts::new(&global);
        server.add(b"both", at("2.2.2.2"));
        server.add(b"server", at("2.2.2.3"));
        let mut location = Hosts::new(&global);
        location.add(b"BOTH", at("1.1.1.1"));
        location.inherit(&server);
        assert_eq!(found(&location, "global"), []);
        global.set(list(&[("both", "3.3.3.3"), ("global", "3.3.3.4")])).unwrap();
        assert_eq!(found(&location, "both"), [at("1.1.1.1")]);
        assert_eq!(found(&location, "server"), [at("2.2.2.3")]);
        assert_eq!(found(&location, "global"), [at("3.3.3.4")]);
        assert_eq!(found(&Hosts::new(&global), "both"), [at("3.3.3.3")]);
    }

    #[test]
    fn all_addresses_of_a_host_are_inherited_or_none() {
        let mut own = list(&[("a", "1.1.1.1")]);
        own.inherit(&list(&[("a", "2.2.2.2"), ("b", "2.2.2.2"), ("b", "::1")]));
        assert_eq!(own, list(&[("a", "1.1.1.1"), ("b", "2.2.2.2"), ("b", "::1")]));
    }
}
