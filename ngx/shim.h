/*
 * The parts of nginx that only C can say: macros with arguments, static
 * inline functions and variadic ones. No logic lives here.
 */

#ifndef WASMX_SHIM_H
#define WASMX_SHIM_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

/* NGX_MODULE_SIGNATURE of the nginx whose headers we were compiled with */
extern const char   wasmx_module_signature[];

/* src/event/ngx_event_posted.h: macros */
void wasmx_post_event(ngx_event_t *ev, ngx_queue_t *queue);
void wasmx_delete_posted_event(ngx_event_t *ev);

/* src/event/ngx_event_timer.h: static inline functions */
void wasmx_add_timer(ngx_event_t *ev, ngx_msec_t timer);
void wasmx_del_timer(ngx_event_t *ev);

/* src/event/ngx_event.h: macros. By edges where the method can do that */
ngx_int_t wasmx_add_read_event(ngx_event_t *rev);
ngx_int_t wasmx_del_read_event(ngx_event_t *rev);

/* src/core/ngx_conf_file.h, ngx_log.h: text as it is, never a format */
void wasmx_conf_log(ngx_conf_t *cf, ngx_uint_t level, const u_char *data,
    size_t len);
void wasmx_log(ngx_log_t *log, ngx_uint_t level, ngx_err_t err,
    const u_char *data, size_t len);

/* src/core/ngx_string.h: the platform's own, or nginx's */
ngx_uint_t wasmx_hash_strlow(u_char *dst, u_char *src, size_t n);

/* ssl.c: give what they find to `write`; 0 if there is none */
typedef void (*wasmx_write_pt)(void *to, const u_char *data, size_t len);

#define WASMX_CERTIFICATE_SUBJECT  0
#define WASMX_CERTIFICATE_DNS      1
#define WASMX_CERTIFICATE_URI      2
#define WASMX_CERTIFICATE_SHA256   3
#define WASMX_CERTIFICATE_PEM      4

ngx_int_t wasmx_ssl_certificate(ngx_connection_t *c, ngx_uint_t peer,
    ngx_uint_t field, wasmx_write_pt write, void *to);
ngx_int_t wasmx_ssl_version(ngx_connection_t *c, wasmx_write_pt write,
    void *to);

/* ssl_client.c: TLS towards peers; is_ and check_ return 1 or 0, verify
   0 or OpenSSL's number of what is wrong, or -1 if there is no certificate */
ngx_int_t wasmx_ssl_client_is_there(void);
ngx_ssl_t *wasmx_ssl_client(ngx_cycle_t *cycle, ngx_str_t *trusted);
ngx_int_t wasmx_ssl_start(ngx_ssl_t *ssl, ngx_connection_t *c,
    const u_char *sni, const u_char *alpn, unsigned len);
ngx_int_t wasmx_ssl_handshake(ngx_connection_t *c,
    ngx_connection_handler_pt handler);
ngx_int_t wasmx_ssl_is_handshaken(ngx_connection_t *c);
unsigned long wasmx_ssl_handshake_error(ngx_connection_t *c,
    const char **text);
long wasmx_ssl_verify(ngx_connection_t *c, const char **text);
ngx_int_t wasmx_ssl_check_host(ngx_connection_t *c, ngx_str_t *name,
    ngx_uint_t ip);
void wasmx_ssl_alpn(ngx_connection_t *c, const u_char **data, unsigned *len);
void wasmx_ssl_close(ngx_connection_t *c);

#endif /* WASMX_SHIM_H */
