//! What the nginx was configured with whose headers this crate was compiled against.

/// nginx's version, such as `1.28.3`.
pub const NGINX_VERSION: &str = env!("WASMX_NGINX_VERSION");

/// `--with-debug`: nginx itself writes debug lines.
pub const HAS_DEBUG: bool = cfg!(ngx_feature = "debug");

/// `--with-http_ssl_module`.
pub const HAS_HTTP_SSL: bool = cfg!(ngx_feature = "http_ssl");

/// `--with-http_v2_module`.
pub const HAS_HTTP_V2: bool = cfg!(ngx_feature = "http_v2");

/// Repeated headers are linked lists (1.23 and later), not arrays.
pub const LINKED_HEADERS: bool = cfg!(ngx_linked_headers);
