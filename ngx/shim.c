/* See shim.h. */

#include "shim.h"

const char   wasmx_module_signature[] = NGX_MODULE_SIGNATURE;


void
wasmx_post_event(ngx_event_t *ev, ngx_queue_t *queue)
{
    ngx_post_event(ev, queue);
}


void
wasmx_delete_posted_event(ngx_event_t *ev)
{
    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }
}


void
wasmx_add_timer(ngx_event_t *ev, ngx_msec_t timer)
{
    ngx_add_timer(ev, timer);
}


void
wasmx_del_timer(ngx_event_t *ev)
{
    if (ev->timer_set) {
        ngx_del_timer(ev);
    }
}


void
wasmx_conf_log(ngx_conf_t *cf, ngx_uint_t level, const u_char *data, size_t len)
{
    ngx_conf_log_error(level, cf, 0, "%*s", len, data);
}


void
wasmx_log(ngx_log_t *log, ngx_uint_t level, ngx_err_t err, const u_char *data,
    size_t len)
{
    ngx_log_error_core(level, log, err, "%*s", len, data);
}


ngx_uint_t
wasmx_hash_strlow(u_char *dst, u_char *src, size_t n)
{
    return ngx_hash_strlow(dst, src, n);
}
