#pragma once
#include <stdint.h>

// What keeps a process from being a snapshot, as sentences for the operator. Text that comes from the guest is made printable and bounded.

enum { FINDINGS_MAX = 32, FINDING_SIZE = 200 };

struct findings {
    uint32_t count;
    char text[FINDINGS_MAX][FINDING_SIZE];
};

void finding(struct findings *findings, const char *format, ...) __attribute__((format(printf, 2, 3)));
