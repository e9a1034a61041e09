#pragma once
#include <stdint.h>
#include <stdio.h>

#include "egress.h"

// An address range of either family.
struct range {
    int family;
    uint8_t bytes[16];
    unsigned length;
};

// Reads one entry of a list, whose end may be a comma, and moves on. NULL, or what is wrong.
const char *egress_take_range(const char **list, struct range *range);
// Writes the whole table for nft.
void egress_write_rules(FILE *out, const struct egress_options *options);
// Writes what replaces the host's own addresses.
void egress_write_host(FILE *out, const struct range *ranges, size_t count);
