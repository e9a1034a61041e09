#pragma once
#include <arpa/inet.h>
#include <stdio.h>

#include "netlink.h"

// Addresses and names inside the router's namespace, all from ranges that are never forwarded: 198.18.0.0/15 (benchmarking) and a ULA prefix.

#define ROUTER_ADDRESS "198.18.0.1"
#define TAP_NAME "tap0"
#define TAP_ADDRESS "198.19.0.2"
#define TAP_GATEWAY "198.19.0.1"
#define TAP_ADDRESS6 "fd46:6c69:6e74:1::2"
#define TAP_GATEWAY6 "fd46:6c69:6e74:1::1"
#define ROUTER_ADDRESS6 "fd46:6c69:6e74::1"
#define CELL_PREFIX6 "fd46:6c69:6e74::"
#define CELL_LINK "eth0"

enum {
    WIRE_MTU = 65520,      // TCP ends at pasta, so nothing of this size ever leaves the host
    CELL_LINK_INDEX = 2,   // in the cell
    WIRE_INDEX_FIRST = 100, // of a cell's link in the router; its number is added
    WIRES_MAX = 65000,     // numbers of cells' links: 198.18.1.0 and up
};

static inline struct address plan_address(int family, const char *text)
{
    struct address address = {.family = family};
    inet_pton(family, text, address.bytes);
    return address;
}

static inline struct address plan_cell(uint32_t number)
{
    uint32_t at = number + 256;
    return (struct address){AF_INET, {198, 18, (uint8_t)(at >> 8), (uint8_t)at}};
}

static inline struct address plan_cell6(uint32_t number)
{
    struct address address = plan_address(AF_INET6, CELL_PREFIX6);
    uint32_t at = number + 256;
    address.bytes[14] = (uint8_t)(at >> 8);
    address.bytes[15] = (uint8_t)at;
    return address;
}

static const struct ethernet plan_router_mac = {{2, 0x46, 0x6c, 0x69, 0, 1}}, plan_cell_mac = {{2, 0x46, 0x6c, 0x69, 0, 2}},
                             plan_gateway_mac = {{2, 0x46, 0x6c, 0x69, 0, 3}};

// What PID 1 and the warden say to each other: a packet with a socket for the answer, and for CELL the namespace; the answer.
enum wire_kind { WIRE_CELL = 1, WIRE_FORGET = 2, WIRE_RAISE = 3 };

struct wire_request {
    uint32_t kind;
    uint32_t number; // RAISE: of the link whose end in the router is to be raised; FORGET: whose connections are to be forgotten
};

struct wire_answer {
    int32_t error;
    uint32_t number; // of the cell's link
    uint32_t v4, v6; // what the host can reach
};
