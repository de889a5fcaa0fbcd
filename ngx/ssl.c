/*
 * What OpenSSL says of a TLS connection.
 *
 * The functions are weak: they are nginx's own OpenSSL's, and a module built
 * with its headers loads into an nginx without it, or with another library that
 * lacks some of them. There nothing is said of certificates.
 */

#include "shim.h"

#if (NGX_SSL)

#pragma weak ASN1_STRING_get0_data
#pragma weak ASN1_STRING_length
#pragma weak BIO_ctrl
#pragma weak BIO_free
#pragma weak BIO_new
#pragma weak BIO_s_mem
#pragma weak ERR_clear_error
#pragma weak EVP_sha256
#pragma weak GENERAL_NAMES_free
#pragma weak OPENSSL_sk_num
#pragma weak OPENSSL_sk_value
#pragma weak PEM_write_bio_X509
#pragma weak SSL_get1_peer_certificate
#pragma weak SSL_get_certificate
#pragma weak SSL_get_peer_certificate
#pragma weak SSL_get_version
#pragma weak X509_NAME_print_ex
#pragma weak X509_digest
#pragma weak X509_free
#pragma weak X509_get_ext_d2i
#pragma weak X509_get_subject_name


static ngx_int_t
wasmx_ssl_is_there(void)
{
    return ASN1_STRING_get0_data != NULL
           && ASN1_STRING_length != NULL
           && BIO_ctrl != NULL
           && BIO_free != NULL
           && BIO_new != NULL
           && BIO_s_mem != NULL
           && ERR_clear_error != NULL
           && EVP_sha256 != NULL
           && GENERAL_NAMES_free != NULL
           && OPENSSL_sk_num != NULL
           && OPENSSL_sk_value != NULL
           && PEM_write_bio_X509 != NULL
           && SSL_get_certificate != NULL
           && SSL_get_peer_certificate != NULL
           && SSL_get_version != NULL
           && X509_NAME_print_ex != NULL
           && X509_digest != NULL
           && X509_free != NULL
           && X509_get_ext_d2i != NULL
           && X509_get_subject_name != NULL;
}


/* The subject as $ssl_client_s_dn has it, or the certificate as text. */
static ngx_int_t
wasmx_ssl_print(X509 *cert, ngx_uint_t field, wasmx_write_pt write, void *to)
{
    BIO        *bio;
    char       *data;
    long        len;
    ngx_int_t   ok;

    bio = BIO_new(BIO_s_mem());
    if (bio == NULL) {
        return 0;
    }

    if (field == WASMX_CERTIFICATE_PEM) {
        ok = PEM_write_bio_X509(bio, cert) == 1;

    } else {
        ok = X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0,
                                XN_FLAG_RFC2253)
             >= 0;
    }

    if (ok) {
        len = BIO_get_mem_data(bio, &data);
        ok = len > 0;

        if (ok) {
            write(to, (u_char *) data, (size_t) len);
        }
    }

    (void) BIO_free(bio);

    return ok;
}


/* The first alternative name of a type. */
static ngx_int_t
wasmx_ssl_name(X509 *cert, int type, wasmx_write_pt write, void *to)
{
    int             i, len;
    ngx_int_t       ok;
    ASN1_STRING    *text;
    GENERAL_NAME   *name;
    GENERAL_NAMES  *names;

    ok = 0;
    names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    if (names == NULL) {
        return 0;
    }

    for (i = 0; !ok && i < sk_GENERAL_NAME_num(names); i++) {
        name = sk_GENERAL_NAME_value(names, i);
        if (name->type != type) {
            continue;
        }

        /* both types are IA5 strings at the same place */
        text = name->d.ia5;
        len = ASN1_STRING_length(text);
        ok = len > 0;

        if (ok) {
            write(to, ASN1_STRING_get0_data(text), (size_t) len);
        }
    }

    GENERAL_NAMES_free(names);

    return ok;
}


static ngx_int_t
wasmx_ssl_field(X509 *cert, ngx_uint_t field, wasmx_write_pt write, void *to)
{
    u_char    digest[EVP_MAX_MD_SIZE];
    unsigned  len;

    switch (field) {

    case WASMX_CERTIFICATE_DNS:
        return wasmx_ssl_name(cert, GEN_DNS, write, to);

    case WASMX_CERTIFICATE_URI:
        return wasmx_ssl_name(cert, GEN_URI, write, to);

    case WASMX_CERTIFICATE_SHA256:
        if (X509_digest(cert, EVP_sha256(), digest, &len) != 1) {
            return 0;
        }

        write(to, digest, len);
        return 1;

    default:
        return wasmx_ssl_print(cert, field, write, to);
    }
}


ngx_int_t
wasmx_ssl_certificate(ngx_connection_t *c, ngx_uint_t peer, ngx_uint_t field,
    wasmx_write_pt write, void *to)
{
    SSL        *ssl;
    X509       *cert;
    ngx_int_t   ok;

    if (c->ssl == NULL || !wasmx_ssl_is_there()) {
        return 0;
    }

    ssl = c->ssl->connection;
    cert = peer ? SSL_get_peer_certificate(ssl) : SSL_get_certificate(ssl);
    if (cert == NULL) {
        return 0;
    }

    ok = wasmx_ssl_field(cert, field, write, to);

    if (peer) {
        X509_free(cert);
    }

    /* nginx would take what is left in the queue for an error of its own */
    ERR_clear_error();

    return ok;
}


ngx_int_t
wasmx_ssl_version(ngx_connection_t *c, wasmx_write_pt write, void *to)
{
    const char  *version;

    if (c->ssl == NULL) {
        return 0;
    }

    version = SSL_get_version(c->ssl->connection);
    write(to, (u_char *) version, ngx_strlen(version));

    return 1;
}

#else

ngx_int_t
wasmx_ssl_certificate(ngx_connection_t *c, ngx_uint_t peer, ngx_uint_t field,
    wasmx_write_pt write, void *to)
{
    return 0;
}


ngx_int_t
wasmx_ssl_version(ngx_connection_t *c, wasmx_write_pt write, void *to)
{
    return 0;
}

#endif
