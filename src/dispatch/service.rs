//! What names the server of a gRPC call: Envoy's GrpcService message (envoy/config/core/v3/grpc_service.proto), or
//! `host:port` as text.

use super::refusal::Refusal;

/// A server of gRPC.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    /// The name of an `upstream {}`, or `host:port`.
    pub target: Vec<u8>,
    /// Whether it is reached over TLS; `None` when that follows from the port.
    pub tls: Option<bool>,
    /// `:authority`, where it is not the target.
    pub authority: Option<Vec<u8>>,
    pub metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Service {
    /// # Errors
    /// When it is neither.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Err(Refusal::NoService);
        }
        // The message begins with the tag of one of its fields: no byte that a name can begin with.
        if bytes.first().is_some_and(|byte| *byte > b' ') {
            return Ok(Self { target: bytes.to_vec(), ..Self::default() });
        }
        let service = Self::from_message(bytes).filter(|service| !service.target.is_empty());
        service.ok_or_else(|| Refusal::Upstream(String::from_utf8_lossy(bytes).into_owned()))
    }

    fn from_message(bytes: &[u8]) -> Option<Self> {
        let mut service = Self::default();
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(envoy)) => service.read_envoy(envoy)?,
                (2, Value::Bytes(google)) => service.read_google(google)?,
                (5, Value::Bytes(header)) => service.read_metadata(header)?,
                _ => {}
            }
        }
        Some(service)
    }

    /// EnvoyGrpc: cluster_name, authority.
    fn read_envoy(&mut self, bytes: &[u8]) -> Option<()> {
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(name)) => self.target = name.to_vec(),
                (2, Value::Bytes(authority)) => self.authority = Some(authority.to_vec()),
                _ => {}
            }
        }
        Some(())
    }

    /// GoogleGrpc: target_uri, channel_credentials.
    fn read_google(&mut self, bytes: &[u8]) -> Option<()> {
        // Without credentials a channel of it is not encrypted.
        self.tls = Some(false);
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(uri)) => self.target = strip_scheme(uri).to_vec(),
                // ChannelCredentials: ssl_credentials, google_default, local_credentials.
                (2, Value::Bytes(credentials)) => {
                    for field in Fields(credentials) {
                        self.tls = Some(matches!(field?, (1 | 2, _)));
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    /// HeaderValue: key, value, raw_value.
    fn read_metadata(&mut self, bytes: &[u8]) -> Option<()> {
        let (mut name, mut value) = (vec![], vec![]);
        for field in Fields(bytes) {
            match field? {
                (1, Value::Bytes(bytes)) => name = bytes.to_vec(),
                (2 | 3, Value::Bytes(bytes)) => value = bytes.to_vec(),
                _ => {}
            }
        }
        self.metadata.push((name, value));
        Some(())
    }
}

/// gRPC's names may say how they are resolved (gRPC's "Name Resolution").
fn strip_scheme(uri: &[u8]) -> &[u8] {
    [&b"dns:///"[..], b"dns:"].iter().find_map(|scheme| uri.strip_prefix(*scheme)).unwrap_or(uri)
}

/// The value of a field of a protobuf message.
#[derive(Debug, PartialEq, Eq)]
enum Value<'a> {
    Number,
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message, by number (protobuf's "Encoding"); `None` for what is none.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, len: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => self.varint().map(|_| Value::Number)?,
            1 => self.bytes(8).map(|_| Value::Number)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.bytes(len)?)
            }
            5 => self.bytes(4).map(|_| Value::Number)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    #[test]
    fn a_plain_name_is_one() {
        let service = Service::parse(b"127.0.0.1:50051").unwrap();
        assert_eq!(service, Service { target: b"127.0.0.1:50051".to_vec(), ..Service::default() });
        assert_eq!(Service::parse(b""), Err(Refusal::NoService));
    }

    #[test]
    fn envoys_own_client_names_a_cluster() {
        let mut message = field(1, &[field(1, b"auth"), field(2, b"auth.example")].concat());
        message.extend(field(3, &[0x08, 0x05]));
        message.extend(field(5, &[field(1, b"x-a"), field(2, b"1")].concat()));
        let service = Service::parse(&message).unwrap();
        assert_eq!((service.target.as_slice(), service.tls), (&b"auth"[..], None));
        assert_eq!(service.authority.as_deref(), Some(&b"auth.example"[..]));
        assert_eq!(service.metadata, [(b"x-a".to_vec(), b"1".to_vec())]);
    }

    #[test]
    fn googles_client_names_a_host() {
        let plain = field(2, &[field(1, b"dns:///a:1"), field(3, b"prefix")].concat());
        assert_eq!(Service::parse(&plain).unwrap().target, b"a:1");
        assert_eq!(Service::parse(&plain).unwrap().tls, Some(false));
        let tls = field(2, &[field(1, b"a:1"), field(2, &field(1, b""))].concat());
        assert_eq!(Service::parse(&tls).unwrap().tls, Some(true));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let ends_early = [0x0a, 0x7f, 0x01];
        for bytes in
            [&ends_early[..], b"\x00", b"\x0b", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x12\x00"]
        {
            assert!(matches!(Service::parse(bytes), Err(Refusal::Upstream(_))), "{bytes:?}");
        }
    }
}
