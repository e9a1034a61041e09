#include "snapshot_filter.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "snapshot_wire.h"

enum rule_kind {
    REFUSED,       // EPERM
    ABSENT,        // ENOSYS, as on a kernel without it
    OWN_ARGUMENT_0, // EPERM unless the first argument, a pid, is 0: the caller
    OWN_ARGUMENT_1, // EPERM unless the first argument names the kind `value` and the second is 0
};

struct rule {
    int number;
    enum rule_kind kind;
    uint32_t value;
};

// System V objects outlive their processes. With any other pid than 0 a fork could slow the template down, or make it die of a limit. libc's
// pthread_setaffinity_np and pthread_setschedparam pass the thread's own id, and so are refused too.
static const struct rule rules[] = {
    {SYS_ptrace, REFUSED},           {SYS_process_vm_readv, REFUSED},       {SYS_process_vm_writev, REFUSED}, {SYS_pidfd_getfd, REFUSED},
    {SYS_shmget, ABSENT},            {SYS_shmat, ABSENT},                   {SYS_shmctl, ABSENT},            {SYS_shmdt, ABSENT},
    {SYS_semget, ABSENT},            {SYS_semop, ABSENT},                   {SYS_semtimedop, ABSENT},        {SYS_semctl, ABSENT},
    {SYS_msgget, ABSENT},            {SYS_msgsnd, ABSENT},                  {SYS_msgrcv, ABSENT},            {SYS_msgctl, ABSENT},
    {SYS_prlimit64, OWN_ARGUMENT_0}, {SYS_sched_setaffinity, OWN_ARGUMENT_0}, {SYS_sched_setscheduler, OWN_ARGUMENT_0},
    {SYS_sched_setparam, OWN_ARGUMENT_0}, {SYS_sched_setattr, OWN_ARGUMENT_0},
    {SYS_setpriority, OWN_ARGUMENT_1, PRIO_PROCESS}, {SYS_ioprio_set, OWN_ARGUMENT_1, IOPRIO_WHO_PROCESS},
};

struct builder {
    struct sock_filter *to;
    size_t count;
};

static void add(struct builder *builder, struct sock_filter instruction)
{
    if (builder->count < SNAPSHOT_FILTER_MAX) {
        builder->to[builder->count] = instruction;
    }
    builder->count++;
}

static void load(struct builder *builder, size_t offset)
{
    add(builder, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void answer(struct builder *builder, uint32_t action)
{
    add(builder, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

// Skips so many instructions unless what is loaded equals the value.
static void unless(struct builder *builder, uint32_t value, uint8_t skipped)
{
    add(builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped));
}

// The low half: the kernel looks at no more of these arguments.
static size_t argument(size_t index)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of an argument comes first");
    return offsetof(struct seccomp_data, args) + 8 * index;
}

// Each rule begins and falls through with the call's number loaded.
static void add_rule(struct builder *builder, const struct rule *rule)
{
    const uint32_t refuse = SECCOMP_RET_ERRNO | EPERM, absent = SECCOMP_RET_ERRNO | ENOSYS;
    switch (rule->kind) {
    case REFUSED:
    case ABSENT:
        unless(builder, (uint32_t)rule->number, 1);
        answer(builder, rule->kind == REFUSED ? refuse : absent);
        break;
    case OWN_ARGUMENT_0:
        unless(builder, (uint32_t)rule->number, 4);
        load(builder, argument(0));
        unless(builder, 0, 1);
        answer(builder, SECCOMP_RET_ALLOW);
        answer(builder, refuse);
        break;
    case OWN_ARGUMENT_1:
        unless(builder, (uint32_t)rule->number, 6);
        load(builder, argument(0));
        unless(builder, rule->value, 3);
        load(builder, argument(1));
        unless(builder, 0, 1);
        answer(builder, SECCOMP_RET_ALLOW);
        answer(builder, refuse);
        break;
    }
}

// A process may say again that it is not dumpable. As a subreaper the template would take the forks from PID 1.
static void add_prctl(struct builder *builder)
{
    const uint32_t refuse = SECCOMP_RET_ERRNO | EPERM;
    unless(builder, SYS_prctl, 11);
    load(builder, argument(0));
    unless(builder, PR_SET_CHILD_SUBREAPER, 1);
    answer(builder, refuse);
    unless(builder, PR_SET_PTRACER, 1);
    answer(builder, refuse);
    unless(builder, PR_SET_DUMPABLE, 3);
    load(builder, argument(1));
    unless(builder, 0, 2);
    answer(builder, SECCOMP_RET_ALLOW);
    answer(builder, SECCOMP_RET_ALLOW);
    answer(builder, refuse);
}

int snapshot_filter_build(struct sock_fprog *program)
{
    struct builder builder = {.to = calloc(SNAPSHOT_FILTER_MAX, sizeof *builder.to)};
    if (!builder.to) {
        return -ENOMEM;
    }
    // Foreign architectures are the first filter's to refuse.
    load(&builder, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        add_rule(&builder, &rules[i]);
    }
    add_prctl(&builder);
    answer(&builder, SECCOMP_RET_ALLOW);
    if (builder.count > SNAPSHOT_FILTER_MAX) {
        free(builder.to);
        return -E2BIG;
    }
    *program = (struct sock_fprog){.len = (unsigned short)builder.count, .filter = builder.to};
    return 0;
}
