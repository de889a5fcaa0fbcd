//! Clients that ask for all kinds of things, and look at what they get.

use std::net::SocketAddr;

use wasmx_t::{Connection, Response};

use crate::echo::bytes;

/// Random numbers, the same in each run (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn size(&mut self) -> usize {
        match self.below(100) {
            0..5 => 0,
            5..60 => self.below(1 << 10),
            60..92 => self.below(32 << 10),
            92..99 => self.below(128 << 10),
            _ => 1 << 20,
        }
    }
}

/// One request of those that are possible.
struct Plan {
    method: &'static str,
    /// Of the body that is sent, or asked for.
    size: usize,
    /// The second filter holds it.
    held: bool,
    /// The third filter answers it.
    refused: bool,
    close: bool,
}

impl Plan {
    fn new(random: &mut Random) -> Self {
        let method = ["GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE"][random.below(7)];
        let size = random.size();
        let (held, refused, close) = (random.below(5) == 0, random.below(10) == 0, random.below(6) == 0);
        Self { method, size, held, refused, close }
    }

    fn has_body(&self) -> bool {
        matches!(self.method, "POST" | "PUT") && self.size > 0
    }

    fn bytes(&self) -> Vec<u8> {
        let line = |on: bool, line: &str| if on { line.to_owned() } else { String::new() };
        let head = [
            format!("{} / HTTP/1.1\r\nHost: localhost\r\nx-size: {}\r\n", self.method, self.size),
            line(self.has_body(), &format!("Content-Length: {}\r\n", self.size)),
            line(self.held, "x-hold: 1\r\n"),
            line(self.refused, "x-refuse: 1\r\n"),
            line(self.close, "Connection: close\r\n"),
            "\r\n".to_owned(),
        ];
        let body = if self.has_body() { bytes(self.size) } else { Vec::new() };
        [head.concat().into_bytes(), body].concat()
    }

    fn judge(&self, connection: &mut Connection) {
        let response = if self.method == "HEAD" { connection.head_response() } else { connection.response() };
        if self.refused {
            // The others see it as they see any response.
            response.status(403).header("x-last", "yes").body(if self.method == "HEAD" { "" } else { "noAD" });
            return;
        }
        response.status(200).header("x-last", "yes");
        let expected = match self.method {
            // No body, no callback for it.
            _ if self.method == "HEAD" || self.size == 0 => Vec::new(),
            _ if self.has_body() => [&b"a<"[..], &bytes(self.size), b">dAD"].concat(),
            _ => [&bytes(self.size)[..], b"AD"].concat(),
        };
        same(&response, &expected, self.method, self.size);
    }
}

/// As `body()`, without printing megabytes.
fn same(response: &Response, expected: &[u8], method: &str, size: usize) {
    let got = response.bytes();
    let at = got.iter().zip(expected).position(|(got, expected)| got != expected);
    assert!(
        got == expected,
        "the answer to {method} of {size} bytes has {} bytes in place of {}, and differs at {at:?}",
        got.len(),
        expected.len()
    );
}

/// Asks for `count` things, one after the other or some at once, on connections that last as long as they may.
pub fn ask(to: SocketAddr, count: usize, random: &mut Random) {
    let mut connection = None;
    let mut asked = 0;
    while asked < count {
        if random.below(12) == 0 {
            leave(Connection::quiet(to), random);
            asked += 1;
            continue;
        }
        let mut on = connection.take().unwrap_or_else(|| Connection::quiet(to));
        let together = if random.below(8) == 0 { 3 } else { 1 };
        let mut plans: Vec<Plan> = (0..together).map(|_| Plan::new(random)).collect();
        if let [first, second, _] = &mut plans[..] {
            (first.close, second.close) = (false, false);
            // Nobody reads before all is said.
            plans.iter_mut().for_each(|plan| plan.size = plan.size.min(4 << 10));
        }
        on.send(plans.iter().flat_map(Plan::bytes).collect::<Vec<_>>());
        plans.iter().for_each(|plan| plan.judge(&mut on));
        asked += together;
        if !plans.iter().any(|plan| plan.close) {
            connection = Some(on);
        }
    }
}

/// Begins something, and is gone before its end.
fn leave(mut connection: Connection, random: &mut Random) {
    let mut plan = Plan::new(random);
    plan.size += 1;
    let bytes = plan.bytes();
    if random.below(3) == 0 {
        // In the middle of the response, if it has one.
        connection.send(&bytes);
        connection.until("HTTP/1.1 ");
    } else {
        connection.send(&bytes[..1 + random.below(bytes.len() - 1)]);
    }
    if random.below(2) == 0 {
        connection.reset();
    }
}
