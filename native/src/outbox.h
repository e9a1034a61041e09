#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "control.h"

// What waits to be sent to the worker, in order, when its socket is full. Owns the descriptors given to it.
struct outbox_item;
struct outbox {
    int socket;
    struct outbox_item *first, *last;
};

// Sends or queues; closes fds once they are sent. 0 or -errno when the worker cannot be reached.
int outbox_send(struct outbox *outbox, const struct message *message, int *fds, size_t count);
// Sends what waits. 0, -EAGAIN when some still waits, or another -errno.
int outbox_flush(struct outbox *outbox);
// Takes out the first message, which cannot be sent. Returns its cell.
uint32_t outbox_drop(struct outbox *outbox);
