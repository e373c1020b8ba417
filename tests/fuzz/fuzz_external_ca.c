// What an authority outside of the cluster answers: never a certificate that was not ordered.
#include <stdint.h>

#include "manager/ca/external.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct external_order order = {.csr_pem = "",
                                                .node_id = "node1",
                                                .cluster_id = "cluster1",
                                                .roots_pem = "",
                                                .intermediates_pem = ""};
    struct wall now = {.ns = INT64_C(1800000000) * NS_PER_S};
    struct buf pem, chain;
    buf_init(&pem, EXTERNAL_ANSWER_BYTES_MAX);
    buf_init(&chain, EXTERNAL_ANSWER_BYTES_MAX);
    if (external_answer(200, data, size, &pem, NULL) == 0) {
        const char *text = buf_cstr(&pem);
        CHECK(text);
        CHECK(external_take(&order, text, now, &chain, NULL) != 0);
        CHECK(external_take_crossed(text, text, text, now, NULL) != 0 || *text);
        CHECK(chain.len == 0);
    }
    buf_fini(&pem);
    buf_fini(&chain);
    return 0;
}
