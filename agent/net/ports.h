// Ports of the host that lead to one container of this node (`docker run -p`, publish mode "host").
// Pure: from rows to a table, which ports_io keeps on the host.
#ifndef AGENT_NET_PORTS_H
#define AGENT_NET_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/nftable.h"

#define PORTS_TABLE "skep_ports" // family ip

struct ports_row {
    uint8_t protocol;       // 6, 17 or 132
    uint32_t host;          // address of the host it is published at; 0: all of them
    uint16_t published;     // 0: any free one
    uint16_t published_end; // the last that will do as well; 0: only `published`
    uint32_t address;       // of the container
    uint16_t target;
    bool ip6;   // at the host's IPv6 addresses, too; only with `host` 0
    bool only6; // at `host6` (zero: all) alone, by TCP or UDP; `host` is 0
    uint8_t host6[16];
    bool answers6; // filled in: all of the host's IPv6 addresses answer
};

// `bridges` are the bridges the containers are behind. To be freed with nftable_free.
struct nftable *ports_table(const struct ports_row *rows, size_t rows_count,
                            const char *const *bridges, size_t bridges_count);

#endif
