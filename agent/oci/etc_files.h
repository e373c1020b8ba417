// The text of /etc/hosts and /etc/resolv.conf for a container.
#ifndef AGENT_OCI_ETC_FILES_H
#define AGENT_OCI_ETC_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/oci/bundle.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

// Most bytes of either file.
#define ETC_FILE_BYTES (256u << 10)

// /etc/hosts: the local names, `address` (may be NULL) as `hostname`, then the extra hosts. Those
// come as SwarmKit has them ("10.0.0.1 name other") or as docker does ("name:10.0.0.1").
// INVALID_ARGUMENT.
int etc_hosts(const char *hostname, const char *domainname, const char *const *addresses,
              size_t addresses_count, const struct oci_strings *extra, struct buf *out,
              struct err *err);

// A text of /etc/hosts, as it has become meanwhile, with the line that etc_hosts writes for an
// address (at its end), or without. What else stands there stays.
void etc_hosts_change(const char *text, const char *hostname, const char *domainname,
                      const char *address, bool there, struct buf *out);

// /etc/resolv.conf from lists. INVALID_ARGUMENT for nameservers that are no addresses or words with
// blanks or line ends.
int etc_resolv(const struct oci_strings *nameservers, const struct oci_strings *search,
               const struct oci_strings *options, struct buf *out, struct err *err);

// A host's resolv.conf (NULL: there is none) with lists in the place of its lines of their kind; an
// empty list leaves those. Errors of etc_resolv.
int etc_resolv_over(const char *host_text, const struct oci_strings *nameservers,
                    const struct oci_strings *search, const struct oci_strings *options,
                    struct buf *out, struct err *err);

// A host's resolv.conf made fit for a container: loopback name servers are left out (they would
// mean the container itself). `dropped` (may be NULL) says how many.
void etc_resolv_filter(const char *host_text, struct buf *out, size_t *dropped);

#endif
