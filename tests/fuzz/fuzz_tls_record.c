// TLS records after the handshake, from a peer that lies: forged or damaged records never come
// through as data, and the session ends in a state that says so. The first byte chooses: 0 feeds
// the rest as it is, anything else has the peer seal what it says and damages it with the rest.
#include <stdint.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/net/tls.h"
#include "tests/support/pems.h"

static void fill(void *context, void *out, size_t size)
{
    (void)context;
    static uint8_t next;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = ++next | 1;
}

static const struct rng rng = {fill, NULL};
static struct tls_config *server_config;
static struct tls_config *client_config;

static void configure(void)
{
    struct tls_options options = {
        .server = true, .chain_pem = pem_manager, .key_pem = pem_manager_key, .rng = &rng};
    server_config = tls_config_new(&options, NULL);
    options = (struct tls_options){.rng = &rng};
    client_config = tls_config_new(&options, NULL);
    CHECK(server_config);
    CHECK(client_config);
}

static void move(struct tls_session *from, struct tls_session *to)
{
    struct buf *out = tls_session_output(from);
    (void)tls_session_feed(to, out->data, out->len, NULL);
    buf_clear(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t plain[TLS_RECORD_BYTES];
    if (!server_config)
        configure();
    if (size == 0)
        return 0;
    struct tls_session *server = tls_session_new(server_config, NULL, NULL);
    struct tls_session *client = tls_session_new(client_config, NULL, NULL);
    (void)tls_session_feed(client, NULL, 0, NULL);
    for (int i = 0; i < 4; i++) {
        move(client, server);
        move(server, client);
    }
    CHECK(tls_session_state(server) == TLS_OPEN);
    struct buf *out = tls_session_output(client);
    bool forged = data[0] == 0;
    if (!forged)
        CHECK(tls_session_write(client, "sealed", 6, NULL) == 0);
    bool damaged = forged;
    for (size_t i = 1; i < size && !forged && i <= out->len; i++) {
        out->data[i - 1] ^= data[i];
        damaged |= data[i] != 0;
    }
    if (forged)
        (void)tls_session_feed(server, data + 1, size - 1, NULL);
    else
        (void)tls_session_feed(server, out->data, out->len, NULL);
    size_t got = 0;
    if (tls_session_state(server) == TLS_OPEN)
        (void)tls_session_read(server, plain, sizeof plain, &got, NULL);
    CHECK(damaged ? got == 0 : got == 6);
    tls_session_free(server);
    tls_session_free(client);
    return 0;
}
