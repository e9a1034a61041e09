#include "netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int netlink_open(int protocol, uint32_t groups)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    if (fd < 0) {
        return -errno;
    }
    if (bind(fd, (struct sockaddr *)&address, sizeof address)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static void *append(struct netlink_batch *batch, const void *data, size_t size)
{
    size_t room = NLMSG_ALIGN(size);
    if (batch->full || room > sizeof batch->data - batch->length) {
        batch->full = true;
        return NULL;
    }
    uint8_t *at = batch->data + batch->length;
    memset(at, 0, room);
    if (data) {
        memcpy(at, data, size);
    }
    batch->length += room;
    struct nlmsghdr *header = (struct nlmsghdr *)(void *)(batch->data + batch->request);
    header->nlmsg_len = (uint32_t)(batch->length - batch->request);
    return at;
}

void netlink_begin(struct netlink_batch *batch)
{
    batch->length = batch->request = 0;
    batch->count = 0;
    batch->full = false;
}

void netlink_request(struct netlink_batch *batch, uint16_t type, uint16_t flags, const void *body, size_t size)
{
    batch->request = batch->length;
    const struct nlmsghdr header = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags, .nlmsg_seq = ++batch->count};
    append(batch, &header, sizeof header);
    append(batch, body, size);
}

void netlink_attribute(struct netlink_batch *batch, uint16_t type, const void *value, size_t size)
{
    const struct nlattr header = {.nla_len = (uint16_t)(sizeof header + size), .nla_type = type};
    append(batch, &header, sizeof header);
    append(batch, value, size);
}

size_t netlink_nest(struct netlink_batch *batch, uint16_t type)
{
    size_t at = batch->length;
    netlink_attribute(batch, type, NULL, 0);
    return at;
}

void netlink_unnest(struct netlink_batch *batch, size_t at)
{
    if (!batch->full) {
        ((struct nlattr *)(void *)(batch->data + at))->nla_len = (uint16_t)(batch->length - at);
    }
}

int netlink_run(int socket, struct netlink_batch *batch)
{
    int result = batch->full ? -EMSGSIZE : 0;
    if (result || send(socket, batch->data, batch->length, 0) < 0) {
        return result ? result : -errno;
    }
    for (unsigned answered = 0; answered < batch->count;) {
        _Alignas(NLMSG_ALIGNTO) uint8_t answers[8192];
        ssize_t got = recv(socket, answers, sizeof answers, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? -errno : -EPIPE;
        }
        const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)answers;
        for (size_t left = (size_t)got; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type == NLMSG_ERROR) {
                const struct nlmsgerr *answer = NLMSG_DATA(header);
                answered++;
                result = result ? result : answer->error;
            }
        }
    }
    return result;
}

static size_t address_size(const struct address *address)
{
    return address->family == AF_INET ? 4 : 16;
}

void netlink_add_veth(struct netlink_batch *batch, const struct veth_pair *pair)
{
    const struct ifinfomsg link = {.ifi_index = (int)pair->index}, peer = {.ifi_index = (int)pair->peer_index};
    netlink_request(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
    netlink_attribute(batch, IFLA_IFNAME, pair->name, strlen(pair->name) + 1);
    netlink_attribute(batch, IFLA_ADDRESS, pair->mac.bytes, sizeof pair->mac.bytes);
    netlink_attribute(batch, IFLA_MTU, &pair->mtu, sizeof pair->mtu);
    size_t info = netlink_nest(batch, IFLA_LINKINFO);
    netlink_attribute(batch, IFLA_INFO_KIND, "veth", 4);
    size_t data = netlink_nest(batch, IFLA_INFO_DATA);
    size_t other = netlink_nest(batch, VETH_INFO_PEER);
    append(batch, &peer, sizeof peer);
    netlink_attribute(batch, IFLA_IFNAME, pair->peer_name, strlen(pair->peer_name) + 1);
    netlink_attribute(batch, IFLA_ADDRESS, pair->peer_mac.bytes, sizeof pair->peer_mac.bytes);
    netlink_attribute(batch, IFLA_MTU, &pair->mtu, sizeof pair->mtu);
    netlink_attribute(batch, IFLA_NET_NS_FD, &pair->peer_namespace, sizeof pair->peer_namespace);
    netlink_unnest(batch, other);
    netlink_unnest(batch, data);
    netlink_unnest(batch, info);
}

void netlink_silence(struct netlink_batch *batch, uint32_t link)
{
    const struct ifinfomsg body = {.ifi_index = (int)link};
    const uint8_t none = IN6_ADDR_GEN_MODE_NONE;
    netlink_request(batch, RTM_NEWLINK, 0, &body, sizeof body);
    size_t families = netlink_nest(batch, IFLA_AF_SPEC);
    size_t family = netlink_nest(batch, AF_INET6);
    netlink_attribute(batch, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
    netlink_unnest(batch, family);
    netlink_unnest(batch, families);
}

void netlink_raise(struct netlink_batch *batch, uint32_t link, bool arp, uint32_t mtu)
{
    const struct ifinfomsg body = {.ifi_index = (int)link, .ifi_flags = IFF_UP | (arp ? 0 : IFF_NOARP), .ifi_change = IFF_UP | IFF_NOARP};
    netlink_request(batch, RTM_NEWLINK, 0, &body, sizeof body);
    if (mtu > 0) {
        netlink_attribute(batch, IFLA_MTU, &mtu, sizeof mtu);
    }
}

void netlink_add_address(struct netlink_batch *batch, uint32_t link, const struct address *address)
{
    const struct ifaddrmsg body = {.ifa_family = (uint8_t)address->family, .ifa_prefixlen = (uint8_t)(address_size(address) * 8),
                                   .ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0, .ifa_scope = RT_SCOPE_UNIVERSE,
                                   .ifa_index = link};
    netlink_request(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    netlink_attribute(batch, IFA_LOCAL, address->bytes, address_size(address));
    netlink_attribute(batch, IFA_ADDRESS, address->bytes, address_size(address));
}

void netlink_add_route(struct netlink_batch *batch, uint32_t link, const struct address *to, unsigned length, const struct address *via)
{
    const struct rtmsg body = {.rtm_family = (uint8_t)to->family, .rtm_dst_len = (uint8_t)length, .rtm_table = RT_TABLE_MAIN,
                               .rtm_protocol = RTPROT_STATIC, .rtm_scope = via || to->family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                               .rtm_type = RTN_UNICAST, .rtm_flags = via ? RTNH_F_ONLINK : 0};
    netlink_request(batch, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    if (length > 0) {
        netlink_attribute(batch, RTA_DST, to->bytes, address_size(to));
    }
    if (via) {
        netlink_attribute(batch, RTA_GATEWAY, via->bytes, address_size(via));
    }
    netlink_attribute(batch, RTA_OIF, &link, sizeof link);
}

void netlink_add_neighbor(struct netlink_batch *batch, uint32_t link, const struct address *address, const struct ethernet *mac)
{
    const struct ndmsg body = {.ndm_family = (uint8_t)address->family, .ndm_ifindex = (int)link, .ndm_state = NUD_PERMANENT};
    netlink_request(batch, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof body);
    netlink_attribute(batch, NDA_DST, address->bytes, address_size(address));
    netlink_attribute(batch, NDA_LLADDR, mac->bytes, sizeof mac->bytes);
}
