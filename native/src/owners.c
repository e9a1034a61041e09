#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"

enum {
    SLOT_FIRST = 1000,
    SLOT_NOBODY = 65534,
    SLOTS_RESTING = 256, // so many others were left since, when a uid is taken again
};

int slots_begin(struct loop *loop)
{
    const uint32_t count = loop->launcher->uid_count;
    struct slots *slots = &loop->slots;
    slots->next = count > 2 * SLOT_FIRST ? SLOT_FIRST : 1;
    slots->end = count;
    slots->room = count;
    slots->left = calloc(count > 0 ? count : 1, sizeof *slots->left);
    return slots->left ? 0 : -ENOMEM;
}

uid_t slot_take(struct loop *loop)
{
    struct slots *slots = &loop->slots;
    if (loop->launcher->mode == MODE_SINGLE_UID) {
        return SLOT_FIRST; // the one that the namespace has
    }
    if (slots->next == SLOT_NOBODY) {
        slots->next++;
    }
    if (slots->count >= SLOTS_RESTING || (slots->next >= slots->end && slots->count > 0)) {
        uid_t slot = slots->left[slots->first];
        slots->first = (slots->first + 1) % slots->room;
        slots->count--;
        return slot;
    }
    return slots->next < slots->end ? slots->next++ : 0;
}

void slot_leave(struct loop *loop, uid_t slot)
{
    struct slots *slots = &loop->slots;
    if (loop->launcher->mode != MODE_SINGLE_UID) {
        slots->left[(slots->first + slots->count++) % slots->room] = slot;
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

uint32_t spare_take(struct tenant *tenant)
{
    return tenant->spare_count > 0 ? tenant->spares[--tenant->spare_count] : 0;
}

bool spare_keep(struct loop *loop, const struct cell *cell)
{
    struct tenant *tenant = cell->tenant;
    // The last cell's would have to be removed at once.
    if (tenant->cells == 1 || tenant->spare_count == SPARES_MAX || !cgroup_keep(&loop->launcher->cgroups, cell->path)) {
        return false;
    }
    tenant->spares[tenant->spare_count++] = cell->group;
    return true;
}

static void drop_spare(struct loop *loop, const struct tenant *tenant, uint32_t spare)
{
    char path[CELL_PATH_MAX];
    cgroup_cell_path(path, tenant->name, spare);
    int result = cgroup_remove(&loop->launcher->cgroups, path);
    if (result) {
        diag("cannot remove cgroup %s: %s", path, strerror(-result));
    }
}

void tenant_leave(struct loop *loop, struct tenant *tenant)
{
    if (--tenant->cells > 0) {
        return;
    }
    for (uint32_t spare; (spare = spare_take(tenant)) != 0;) {
        drop_spare(loop, tenant, spare);
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
