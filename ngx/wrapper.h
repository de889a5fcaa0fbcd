/* What bindgen reads: nginx's headers, and the functions of shim.c. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <nginx.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>
#include <ngx_md5.h>

#include "shim.h"
