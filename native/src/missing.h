#pragma once
#include <stddef.h>

// What the host cannot offer, why, and what would change that: told in HELLO, never silently dropped.
struct missing {
    struct {
        char what[32];
        char why[240];
        char fix[320];
    } items[12];
    size_t count;
};

void missing_add(struct missing *missing, const char *what, const char *fix, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
