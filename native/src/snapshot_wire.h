#pragma once
#include <linux/filter.h>
#include <stdint.h>

// What a cell's PID 1 and its guest say to each other over the control socket (SEQPACKET; the guest's descriptor 4), one word a packet:
//
//   GO       to the guest      the code is mounted, the limits are set; for a snapshot the filter's instructions follow the word
//   LOADED   from the guest    snapshot: non-dumpable, and the filter is loaded (or an error)
//   BEGIN    to the guest      snapshot: its descriptors have been noted; what it opens from here on is its own
//   WAITING  from the guest    it has become the template (or an error)
//   FORK     to the template   with the fork's descriptors, TEMPLATE_FDS of them
//   FORKED   from the template it has forked, or an error
//
// and over a fork's own control socket:
//
//   HERE     from the fork     its descriptors are its own (or an error)
//   GO       to the fork       the template is frozen
enum snapshot_word_kind { WORD_GO = 1, WORD_LOADED, WORD_BEGIN, WORD_WAITING, WORD_FORK, WORD_FORKED, WORD_HERE };

enum { TEMPLATE_FDS = 5, SNAPSHOT_FILTER_MAX = 256 }; // null, stdout, stderr, channel, control

struct snapshot_word {
    uint32_t kind;
    int32_t error; // positive
};

struct snapshot_go {
    struct snapshot_word word;
    struct sock_filter filter[SNAPSHOT_FILTER_MAX];
};
