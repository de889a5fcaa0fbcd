//! Which attributes there are, and where the value of each comes from.

use ngx::http::Request;
use ngx::ssl::{CertificateField, Whose};

use super::special;
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::host::PropertyFormat;

/// What kind of value an attribute has, and so how `envoy` encodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// 8 bytes, little endian.
    Integer,
    /// Seconds with a fraction, as nginx writes them; nanoseconds in 8 bytes, little endian.
    Seconds,
    /// One byte. The variable's value that is true.
    Is(&'static str),
}

/// Whose TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client,
    Upstream,
}

type Special = fn(Request<'_>, PropertyFormat, &mut Vec<u8>) -> Result<(), Status>;

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A variable under another name, so that both always agree.
    Variable(&'static str, Kind),
    Certificate(End, Whose, CertificateField),
    Special(Special),
}

use CertificateField::{DnsSan, Pem, Sha256, Subject, UriSan};
use End::{Client, Upstream};
use Kind::{Integer, Is, Seconds, Text};
use Source::{Certificate, Special as Own, Variable};
use Whose::{Local, Peer};

/// All attributes but the maps of headers, in the order of their bytes.
#[rustfmt::skip]
const TABLE: &[(&str, Source)] = &[
    ("connection.dns_san_local_certificate", Certificate(Client, Local, DnsSan)),
    ("connection.dns_san_peer_certificate", Certificate(Client, Peer, DnsSan)),
    ("connection.id", Variable("connection", Integer)),
    ("connection.mtls", Variable("ssl_client_verify", Is("SUCCESS"))),
    ("connection.peer_certificate", Certificate(Client, Peer, Pem)),
    ("connection.requested_server_name", Variable("ssl_server_name", Text)),
    ("connection.sha256_peer_certificate_digest", Certificate(Client, Peer, Sha256)),
    ("connection.subject_local_certificate", Certificate(Client, Local, Subject)),
    ("connection.subject_peer_certificate", Certificate(Client, Peer, Subject)),
    ("connection.tls_version", Variable("ssl_protocol", Text)),
    ("connection.transport_failure_reason", Own(special::client_failure)),
    ("connection.uri_san_local_certificate", Certificate(Client, Local, UriSan)),
    ("connection.uri_san_peer_certificate", Certificate(Client, Peer, UriSan)),
    ("destination.address", Own(special::destination_address)),
    ("destination.port", Variable("server_port", Integer)),
    ("request.duration", Variable("request_time", Seconds)),
    ("request.host", Variable("http_host", Text)),
    ("request.id", Own(special::request_id)),
    ("request.is_subrequest", Own(special::is_subrequest)),
    ("request.method", Variable("request_method", Text)),
    ("request.path", Variable("request_uri", Text)),
    ("request.protocol", Own(special::protocol)),
    ("request.query", Variable("args", Text)),
    ("request.referer", Variable("http_referer", Text)),
    ("request.scheme", Variable("scheme", Text)),
    ("request.size", Own(special::request_size)),
    ("request.time", Own(special::request_time)),
    ("request.total_size", Variable("request_length", Integer)),
    ("request.url_path", Variable("uri", Text)),
    ("request.useragent", Variable("http_user_agent", Text)),
    ("response.backend_latency", Variable("upstream_response_time", Seconds)),
    ("response.code", Own(special::response_code)),
    ("response.grpc_status", Own(special::grpc_status)),
    ("response.size", Variable("body_bytes_sent", Integer)),
    ("response.total_size", Variable("bytes_sent", Integer)),
    ("source.address", Own(special::source_address)),
    ("source.port", Variable("remote_port", Integer)),
    ("upstream.address", Own(special::upstream_address)),
    ("upstream.cx_pool_ready_duration", Variable("upstream_connect_time", Seconds)),
    ("upstream.dns_san_local_certificate", Certificate(Upstream, Local, DnsSan)),
    ("upstream.dns_san_peer_certificate", Certificate(Upstream, Peer, DnsSan)),
    ("upstream.local_address", Own(special::upstream_local_address)),
    ("upstream.peer_certificate", Certificate(Upstream, Peer, Pem)),
    ("upstream.port", Own(special::upstream_port)),
    ("upstream.request_attempt_count", Own(special::upstream_attempts)),
    ("upstream.sha256_peer_certificate_digest", Certificate(Upstream, Peer, Sha256)),
    ("upstream.subject_local_certificate", Certificate(Upstream, Local, Subject)),
    ("upstream.subject_peer_certificate", Certificate(Upstream, Peer, Subject)),
    ("upstream.tls_version", Own(special::upstream_tls_version)),
    ("upstream.uri_san_local_certificate", Certificate(Upstream, Local, UriSan)),
    ("upstream.uri_san_peer_certificate", Certificate(Upstream, Peer, UriSan)),
];

/// The source of an attribute.
pub(super) fn find(path: &[u8]) -> Option<Source> {
    let index = TABLE.binary_search_by(|(name, _)| name.as_bytes().cmp(path)).ok()?;
    TABLE.get(index).map(|(_, source)| *source)
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = (&'static str, Source)> {
    TABLE.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0), "binary search needs it");
        assert!(all().all(|(name, _)| find(name.as_bytes()).is_some()));
        assert!(find(b"request").is_none() && find(b"").is_none() && find(b"upstream.zzz").is_none());
    }
}
