/*
 * TLS towards peers.
 *
 * The functions are weak, nginx's own among them, for the reason that ssl.c
 * gives.  Nothing here is called before wasmx_ssl_client_is_there() said yes,
 * but for wasmx_ssl_close(), which may see a connection that nginx itself made.
 */

#include "shim.h"

#if (NGX_SSL)

#pragma weak CRYPTO_get_ex_new_index
#pragma weak ERR_clear_error
#pragma weak ERR_peek_error
#pragma weak ERR_reason_error_string
#pragma weak SSL_CTX_ctrl
#pragma weak SSL_CTX_get_info_callback
#pragma weak SSL_ctrl
#pragma weak SSL_get0_alpn_selected
#pragma weak SSL_get1_peer_certificate
#pragma weak SSL_get_SSL_CTX
#pragma weak SSL_get_ex_data
#pragma weak SSL_get_peer_certificate
#pragma weak SSL_get_verify_result
#pragma weak SSL_set_alpn_protos
#pragma weak SSL_set_ex_data
#pragma weak SSL_set_info_callback
#pragma weak X509_check_ip_asc
#pragma weak X509_free
#pragma weak X509_verify_cert_error_string
#pragma weak ngx_ssl_check_host
#pragma weak ngx_ssl_cleanup_ctx
#pragma weak ngx_ssl_create
#pragma weak ngx_ssl_create_connection
#pragma weak ngx_ssl_handshake
#pragma weak ngx_ssl_shutdown
#pragma weak ngx_ssl_trusted_certificate

/* OpenSSL's own limit, where nginx's would be 1 */
#define WASMX_SSL_VERIFY_DEPTH  100

/* where connections keep the error of their handshake; -1: nowhere */
static int  wasmx_ssl_error_index = -1;


static void wasmx_ssl_note_errors(SSL *ssl);
static void wasmx_ssl_info(const SSL *ssl, int where, int ret);


ngx_int_t
wasmx_ssl_client_is_there(void)
{
    return ERR_clear_error != NULL
           && SSL_CTX_ctrl != NULL
           && SSL_ctrl != NULL
           && SSL_get0_alpn_selected != NULL
           && SSL_get_peer_certificate != NULL
           && SSL_get_verify_result != NULL
           && SSL_set_alpn_protos != NULL
           && X509_check_ip_asc != NULL
           && X509_free != NULL
           && X509_verify_cert_error_string != NULL
           && ngx_ssl_check_host != NULL
           && ngx_ssl_cleanup_ctx != NULL
           && ngx_ssl_create != NULL
           && ngx_ssl_create_connection != NULL
           && ngx_ssl_handshake != NULL
           && ngx_ssl_shutdown != NULL
           && ngx_ssl_trusted_certificate != NULL;
}


ngx_ssl_t *
wasmx_ssl_client(ngx_cycle_t *cycle, ngx_str_t *trusted)
{
    ngx_ssl_t           *ssl;
    ngx_conf_t           cf;
    ngx_pool_cleanup_t  *cln;

    ssl = ngx_pcalloc(cycle->pool, sizeof(ngx_ssl_t));
    if (ssl == NULL) {
        return NULL;
    }

    ssl->log = cycle->log;

    /* one for all cycles: an index is never given back */

    if (wasmx_ssl_error_index == -1 && CRYPTO_get_ex_new_index != NULL) {
        wasmx_ssl_error_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    }

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NULL;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    /* what is written again after a wait lies elsewhere, and may be longer */
    (void) SSL_CTX_set_mode(ssl->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE
                                      |SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

    ngx_memzero(&cf, sizeof(ngx_conf_t));

    cf.cycle = cycle;
    cf.pool = cycle->pool;
    cf.temp_pool = cycle->pool;
    cf.log = cycle->log;

    if (ngx_ssl_trusted_certificate(&cf, ssl, trusted, WASMX_SSL_VERIFY_DEPTH)
        != NGX_OK)
    {
        return NULL;
    }

    return ssl;
}


ngx_int_t
wasmx_ssl_start(ngx_ssl_t *ssl, ngx_connection_t *c, const u_char *sni,
    const u_char *alpn, unsigned len)
{
    if (ngx_ssl_create_connection(ssl, c, NGX_SSL_CLIENT) != NGX_OK) {
        return NGX_ERROR;
    }

    wasmx_ssl_note_errors(c->ssl->connection);

    if (sni != NULL
        && SSL_set_tlsext_host_name(c->ssl->connection, (char *) sni) == 0)
    {
        goto failed;
    }

    /* unlike others, it returns 0 for success */
    if (len != 0 && SSL_set_alpn_protos(c->ssl->connection, alpn, len) != 0) {
        goto failed;
    }

    return NGX_OK;

failed:

    /* nginx would take what is left in the queue for an error of its own */
    ERR_clear_error();

    return NGX_ERROR;
}


/*
 * nginx empties OpenSSL's queue of errors into its log, where the level of our
 * connections lets them not through: they are seen before that, at the end of
 * each step of the handshake. What is not there for it is done without.
 */

static void
wasmx_ssl_note_errors(SSL *ssl)
{
    if (wasmx_ssl_error_index != -1
        && ERR_peek_error != NULL
        && ERR_reason_error_string != NULL
        && SSL_CTX_get_info_callback != NULL
        && SSL_get_SSL_CTX != NULL
        && SSL_get_ex_data != NULL
        && SSL_set_ex_data != NULL
        && SSL_set_info_callback != NULL)
    {
        SSL_set_info_callback(ssl, wasmx_ssl_info);
    }
}


static void
wasmx_ssl_info(const SSL *ssl, int where, int ret)
{
    unsigned long    error;
    void           (*outer)(const SSL *ssl, int where, int ret);

    /* nginx's own, which the one of a connection stands in for */
    outer = SSL_CTX_get_info_callback(SSL_get_SSL_CTX(ssl));

    if (outer != NULL) {
        outer(ssl, where, ret);
    }

    if ((where & SSL_CB_CONNECT_EXIT) == SSL_CB_CONNECT_EXIT && ret <= 0) {

        /* the first is the cause of the others */

        error = ERR_peek_error();
        (void) SSL_set_ex_data((SSL *) ssl, wasmx_ssl_error_index,
                               (void *) (uintptr_t) error);
    }
}


unsigned long
wasmx_ssl_handshake_error(ngx_connection_t *c, const char **text)
{
    unsigned long  error;

    *text = NULL;

    if (wasmx_ssl_error_index == -1
        || SSL_get_ex_data == NULL
        || ERR_reason_error_string == NULL)
    {
        return 0;
    }

    error = (unsigned long) (uintptr_t)
            SSL_get_ex_data(c->ssl->connection, wasmx_ssl_error_index);

    if (error != 0) {
        *text = ERR_reason_error_string(error);
    }

    return error;
}


ngx_int_t
wasmx_ssl_handshake(ngx_connection_t *c, ngx_connection_handler_pt handler)
{
    c->ssl->handler = handler;

    return ngx_ssl_handshake(c);
}


ngx_int_t
wasmx_ssl_is_handshaken(ngx_connection_t *c)
{
    return c->ssl != NULL && c->ssl->handshaked;
}


long
wasmx_ssl_verify(ngx_connection_t *c, const char **text)
{
    long   rc;
    X509  *cert;

    /* without a certificate there is nothing wrong with it */

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        *text = NULL;
        return -1;
    }

    X509_free(cert);

    rc = SSL_get_verify_result(c->ssl->connection);
    *text = X509_verify_cert_error_string(rc);

    return rc;
}


ngx_int_t
wasmx_ssl_check_host(ngx_connection_t *c, ngx_str_t *name, ngx_uint_t ip)
{
    X509       *cert;
    ngx_int_t   ok;

    if (!ip) {
        return ngx_ssl_check_host(c, name) == NGX_OK;
    }

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return 0;
    }

    ok = X509_check_ip_asc(cert, (char *) name->data, 0) == 1;

    X509_free(cert);
    ERR_clear_error();

    return ok;
}


void
wasmx_ssl_alpn(ngx_connection_t *c, const u_char **data, unsigned *len)
{
    SSL_get0_alpn_selected(c->ssl->connection, data, len);
}


void
wasmx_ssl_close(ngx_connection_t *c)
{
    if (c->ssl == NULL || ngx_ssl_shutdown == NULL) {
        return;
    }

    c->ssl->no_wait_shutdown = 1;

    if (ngx_ssl_shutdown(c) == NGX_AGAIN) {

        /* the peer takes nothing: it is not told */

        c->ssl->no_send_shutdown = 1;
        (void) ngx_ssl_shutdown(c);
    }
}

#else

ngx_int_t
wasmx_ssl_client_is_there(void)
{
    return 0;
}


ngx_ssl_t *
wasmx_ssl_client(ngx_cycle_t *cycle, ngx_str_t *trusted)
{
    return NULL;
}


ngx_int_t
wasmx_ssl_start(ngx_ssl_t *ssl, ngx_connection_t *c, const u_char *sni,
    const u_char *alpn, unsigned len)
{
    return NGX_ERROR;
}


ngx_int_t
wasmx_ssl_handshake(ngx_connection_t *c, ngx_connection_handler_pt handler)
{
    return NGX_ERROR;
}


unsigned long
wasmx_ssl_handshake_error(ngx_connection_t *c, const char **text)
{
    *text = NULL;
    return 0;
}


ngx_int_t
wasmx_ssl_is_handshaken(ngx_connection_t *c)
{
    return 0;
}


long
wasmx_ssl_verify(ngx_connection_t *c, const char **text)
{
    *text = NULL;
    return -1;
}


ngx_int_t
wasmx_ssl_check_host(ngx_connection_t *c, ngx_str_t *name, ngx_uint_t ip)
{
    return 0;
}


void
wasmx_ssl_alpn(ngx_connection_t *c, const u_char **data, unsigned *len)
{
    *data = NULL;
    *len = 0;
}


void
wasmx_ssl_close(ngx_connection_t *c)
{
}

#endif
