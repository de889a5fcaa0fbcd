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


ngx_int_t
wasmx_add_read_event(ngx_event_t *rev)
{
    return ngx_add_event(rev, NGX_READ_EVENT,
                         (ngx_event_flags & NGX_USE_CLEAR_EVENT)
                         ? NGX_CLEAR_EVENT : NGX_LEVEL_EVENT);
}


ngx_int_t
wasmx_del_read_event(ngx_event_t *rev)
{
    return ngx_del_event(rev, NGX_READ_EVENT, 0);
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
