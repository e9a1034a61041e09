#pragma once
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Several requests of rtnetlink or ctnetlink in one packet. A batch that does not fit, or a request that fails, makes netlink_run fail.
struct netlink_batch {
    _Alignas(NLMSG_ALIGNTO) uint8_t data[3072];
    size_t length, request; // all; where the last request begins
    unsigned count;
    bool full;
};

// An address of either family: 4 or 16 bytes are used.
struct address {
    int family; // AF_INET, AF_INET6
    uint8_t bytes[16];
};

struct ethernet {
    uint8_t bytes[6];
};

enum { LINK_NAME_MAX = 16 };

// A link made together with its peer, which begins in another network namespace. Indexes are chosen by the caller.
struct veth_pair {
    char name[LINK_NAME_MAX], peer_name[LINK_NAME_MAX];
    uint32_t index, peer_index;
    struct ethernet mac, peer_mac;
    uint32_t mtu;
    int peer_namespace;
};

int netlink_open(int protocol, uint32_t groups); // close-on-exec; groups 0: none

void netlink_begin(struct netlink_batch *batch);
// flags beside NLM_F_REQUEST and NLM_F_ACK, which every request has.
void netlink_request(struct netlink_batch *batch, uint16_t type, uint16_t flags, const void *body, size_t size);
void netlink_attribute(struct netlink_batch *batch, uint16_t type, const void *value, size_t size);
size_t netlink_nest(struct netlink_batch *batch, uint16_t type);
void netlink_unnest(struct netlink_batch *batch, size_t at);
// Sends all and waits for every answer. 0 or the first failure as -errno.
int netlink_run(int socket, struct netlink_batch *batch);

void netlink_add_veth(struct netlink_batch *batch, const struct veth_pair *pair);
// Nothing is resolved on such a link (IFF_NOARP) and it gets no address by itself.
void netlink_silence(struct netlink_batch *batch, uint32_t link);
void netlink_raise(struct netlink_batch *batch, uint32_t link, bool arp, uint32_t mtu);
void netlink_add_address(struct netlink_batch *batch, uint32_t link, const struct address *address);
// length bits of to; by a gateway on the link, or on the link itself when via is NULL.
void netlink_add_route(struct netlink_batch *batch, uint32_t link, const struct address *to, unsigned length, const struct address *via);
void netlink_add_neighbor(struct netlink_batch *batch, uint32_t link, const struct address *address, const struct ethernet *mac);
