#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"

enum { SLOT_FIRST = 1000, SLOT_NOBODY = 65534 };

uid_t slot_take(struct loop *loop)
{
    struct launcher *launcher = loop->launcher;
    if (launcher->mode == MODE_SINGLE_UID) {
        return SLOT_FIRST; // the one that the namespace has
    }
    uint32_t first = launcher->uid_count > 2 * SLOT_FIRST ? SLOT_FIRST : 1;
    for (uint32_t tried = 0; tried < launcher->uid_count; tried++) {
        uint32_t slot = loop->next_slot++;
        if (loop->next_slot >= launcher->uid_count) {
            loop->next_slot = first;
        }
        if (slot >= first && slot < launcher->uid_count && slot != SLOT_NOBODY && !loop->slots[slot]) {
            loop->slots[slot] = 1;
            return slot;
        }
    }
    return 0;
}

void slot_leave(struct loop *loop, uid_t slot)
{
    if (loop->launcher->mode != MODE_SINGLE_UID) {
        loop->slots[slot] = 0;
    }
}

struct tenant *tenant_take(struct loop *loop, struct text name)
{
    struct tenant *tenant = loop->tenants;
    while (tenant && (strlen(tenant->name) != name.length || memcmp(tenant->name, name.data, name.length) != 0)) {
        tenant = tenant->next;
    }
    if (!tenant && (tenant = calloc(1, sizeof *tenant))) {
        memcpy(tenant->name, name.data, name.length);
        tenant->next = loop->tenants;
        loop->tenants = tenant;
    }
    if (tenant) {
        tenant->cells++;
    }
    return tenant;
}

void tenant_leave(struct loop *loop, struct tenant *tenant)
{
    if (--tenant->cells > 0) {
        return;
    }
    int result = cgroup_remove(&loop->launcher->cgroups, tenant->name);
    if (result && result != -EBUSY) { // busy: a cell whose cgroup could not be removed is still there
        diag("cannot remove cgroup %s: %s", tenant->name, strerror(-result));
    }
    struct tenant **at = &loop->tenants;
    while (*at != tenant) {
        at = &(*at)->next;
    }
    *at = tenant->next;
    free(tenant);
}
