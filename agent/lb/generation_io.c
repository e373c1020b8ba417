#include "agent/lb/generation_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lb/closer_io.h"
#include "proto/base/check.h"

#define ANSWER_BYTES 1024

// A socket that belongs to the namespace; below 0: none.
static int open_in(int netns_fd)
{
    const int flags = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
    if (netns_fd == NFT_NETNS_OWN)
        return socket(AF_NETLINK, flags, NETLINK_NETFILTER);
    int home_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home_fd < 0)
        return -1;
    int fd = -1;
    if (setns(netns_fd, CLONE_NEWNET) == 0) {
        fd = socket(AF_NETLINK, flags, NETLINK_NETFILTER);
        int rc = setns(home_fd, CLONE_NEWNET);
        CHECK(rc == 0); // nothing the thread did afterwards would be where it should
    }
    close(home_fd);
    return fd;
}

uint32_t generation_parse(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    struct nlmsghdr head;
    size_t place = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
    if (size < place)
        return 0;
    memcpy(&head, at, sizeof head);
    if (head.nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN) || head.nlmsg_len > size)
        return 0;
    while (place <= head.nlmsg_len && head.nlmsg_len - place >= sizeof(struct nlattr)) {
        struct nlattr attr;
        uint32_t value;
        memcpy(&attr, at + place, sizeof attr);
        if (attr.nla_len < sizeof attr || attr.nla_len > head.nlmsg_len - place)
            return 0;
        if ((attr.nla_type & NLA_TYPE_MASK) == NFTA_GEN_ID &&
            attr.nla_len == NLA_HDRLEN + sizeof value) {
            memcpy(&value, at + place + NLA_HDRLEN, sizeof value);
            return ntohl(value);
        }
        place += NLA_ALIGN(attr.nla_len);
    }
    return 0;
}

uint32_t generation_of(int netns_fd)
{
    const struct {
        struct nlmsghdr head;
        struct nfgenmsg body;
    } question = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof question.body),
                 .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                 .nlmsg_flags = NLM_F_REQUEST},
        .body = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0},
    };
    static_assert(sizeof question == NLMSG_LENGTH(sizeof(struct nfgenmsg)), "without gaps");
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    uint8_t answer[ANSWER_BYTES];
    ssize_t got = -1;
    int fd = open_in(netns_fd);
    if (fd < 0)
        return 0;
    // The answer is there when the send returns.
    if (sendto(fd, &question, sizeof question, 0, (const struct sockaddr *)&kernel,
               sizeof kernel) >= 0) {
        do {
            got = recv(fd, answer, sizeof answer, 0);
        } while (got < 0 && errno == EINTR);
    }
    closer_take(NULL, fd);
    return got > 0 ? generation_parse(answer, (size_t)got) : 0;
}

bool generation_trusted(struct generation_trust *trust, uint32_t generation)
{
    if (!generation || generation != trust->generation || trust->left == 0)
        return false;
    trust->left--;
    return true;
}

void generation_looked(struct generation_trust *trust, uint32_t generation)
{
    *trust = (struct generation_trust){generation, generation ? GENERATION_LOOKS - 1 : 0};
}
