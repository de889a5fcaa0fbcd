//! What the module needs of the nginx that loads it.

use std::process::Command;

/// What OpenSSL's functions begin with.
const OPENSSL: [&str; 10] =
    ["SSL_", "X509_", "BIO_", "EVP_", "PEM_", "ASN1_", "GENERAL_NAME", "OPENSSL_", "ERR_", "CRYPTO_"];

/// Built with the headers of an nginx with TLS, it loads into one without: `nm` tells what the loader must find.
#[test]
fn an_nginx_without_tls_may_load_it() {
    let run = Command::new("nm").args(["-D", "--undefined-only"]).arg(wasmx_t::module()).output().expect("nm");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let symbols = text.lines().filter_map(|line| line.trim().split_once(' '));
    let tls: Vec<_> = symbols.filter(|(_, name)| OPENSSL.iter().any(|start| name.starts_with(start))).collect();
    let needed: Vec<_> = tls.iter().filter(|(kind, _)| *kind != "w").collect();
    assert!(needed.is_empty(), "not there without TLS: {needed:?}");
    assert!(tls.iter().any(|(_, name)| name.starts_with("SSL_get")), "TLS is not in it: {text}");
}
