#include "seccomp_profile.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

// What a guest may call. All else that is known answers EPERM; what is newer than this list answers ENOSYS, so that
// libraries fall back as they do on an older kernel.
static const char *const allowed[] = {
    // files
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3", "faccessat",
    "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchown", "fchownat", "fgetxattr",
    "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "ftruncate", "futimesat", "getcwd", "getdents",
    "getdents64", "getxattr", "lchown", "lgetxattr", "link", "linkat", "listxattr", "llistxattr", "lremovexattr", "lseek",
    "lsetxattr", "lstat", "mkdir", "mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv",
    "preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr", "rename",
    "renameat", "renameat2", "rmdir", "sendfile", "setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice",
    "write", "writev",
    // memory
    "brk", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap",
    "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "remap_file_pages",
    // processes and threads
    "alarm", "arch_prctl", "capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_waitv",
    "get_robust_list", "get_thread_area", "getcpu", "getegid", "geteuid", "getgid", "getgroups", "getitimer", "getpgid", "getpgrp",
    "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid", "gettid",
    "getuid", "ioprio_get", "ioprio_set", "kill", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "nanosleep",
    "pause", "pidfd_open", "pidfd_send_signal", "prctl", "restart_syscall", "rseq", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp",
    "set_robust_list", "set_thread_area", "set_tid_address", "setfsgid", "setfsuid", "setgid", "setgroups", "setitimer", "setpgid",
    "setpriority", "setregid", "setresgid", "setresuid", "setreuid", "setsid", "setuid", "sigaltstack", "tgkill",
    "time", "times", "tkill", "uname", "vfork", "wait4", "waitid", "waitpid", "sysinfo",
    // clocks and events
    "clock_getres", "clock_gettime", "clock_nanosleep", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "gettimeofday", "pipe", "pipe2", "poll", "ppoll", "pselect6",
    "select", "signalfd", "signalfd4", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime",
    "timerfd_create", "timerfd_gettime", "timerfd_settime",
    // sockets, which the cell's own network namespace confines; socket itself is restricted below
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom", "recvmmsg", "recvmsg",
    "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    // System V IPC, which is the cell's own
    "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
    "ioctl", // but see the prefix
};

// What a guest writes is in memory, so these have nothing to do for it, and answer that it is done. Let through they would work on the
// host's file systems, which a guest can read: any of them makes a disk flush, and so everybody's commits wait.
static const char *const done_already[] = {"fdatasync", "fsync", "sync", "sync_file_range", "syncfs"};

// The newest call whose refusal is meant; numbers above answer ENOSYS.
static const char newest_known[] = "set_mempolicy_home_node";

#define NAMESPACE_FLAGS (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

static int allow_if(scmp_filter_ctx filter, const char *name, unsigned count, const struct scmp_arg_cmp *conditions)
{
    int number = seccomp_syscall_resolve_name(name);
    // A negative number: this machine's architecture does not have the call.
    return number < 0 ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, conditions);
}

static int allow_sockets(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6};
    static const struct {
        int type, protocol;
    } kinds[] = {{SOCK_STREAM, 0}, {SOCK_STREAM, IPPROTO_TCP}, {SOCK_DGRAM, 0}, {SOCK_DGRAM, IPPROTO_UDP}};
    enum { TYPE_MASK = 0xf }; // the rest are flags
    int result = allow_if(filter, "socket", 1, (struct scmp_arg_cmp[]){SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX)});
    for (size_t family = 0; family < 2 && !result; family++) {
        for (size_t kind = 0; kind < 4 && !result; kind++) {
            result = allow_if(filter, "socket", 3,
                              (struct scmp_arg_cmp[]){SCMP_A0_32(SCMP_CMP_EQ, (unsigned)families[family]),
                                                      SCMP_A1_32(SCMP_CMP_MASKED_EQ, TYPE_MASK, (unsigned)kinds[kind].type),
                                                      SCMP_A2_32(SCMP_CMP_EQ, (unsigned)kinds[kind].protocol)});
        }
    }
    if (!result) {
        result = allow_if(filter, "socket", 2,
                          (struct scmp_arg_cmp[]){SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2_32(SCMP_CMP_EQ, NETLINK_ROUTE)});
    }
    return result ? result : allow_if(filter, "socketpair", 1, (struct scmp_arg_cmp[]){SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX)});
}

// One's own limits only, since another process could be made to die of one; and never that of core dumps, whose value keeps a
// crash from being fed to a program of the host. Each is named: "not equal" would let through the same number with bits above the
// 32 that the kernel looks at.
static int allow_limits(scmp_filter_ctx filter)
{
    int result = allow_if(filter, "prlimit64", 2, (struct scmp_arg_cmp[]){SCMP_A0_32(SCMP_CMP_EQ, 0), SCMP_A2_64(SCMP_CMP_EQ, 0)}); // reads
    for (unsigned resource = 0; resource < RLIM_NLIMITS && !result; resource++) {
        if (resource == RLIMIT_CORE) {
            continue;
        }
        result = allow_if(filter, "prlimit64", 2, (struct scmp_arg_cmp[]){SCMP_A0_32(SCMP_CMP_EQ, 0), SCMP_A1_64(SCMP_CMP_EQ, resource)});
        if (!result) {
            result = allow_if(filter, "setrlimit", 1, (struct scmp_arg_cmp[]){SCMP_A0_64(SCMP_CMP_EQ, resource)});
        }
    }
    return result;
}

// Without F_SETLEASE, F_GETLEASE and F_NOTIFY, 1024 to 1026: like inotify, dnotify tells what others, the host's programs too, open of the files that all can read, and
// a lease makes others wait who open a file. Ranges of which each has an upper end: "greater than" would let through the same numbers with bits above the 32 that count.
static int allow_fcntl(scmp_filter_ctx filter)
{
    int result = allow_if(filter, "fcntl", 1, (struct scmp_arg_cmp[]){SCMP_A1_64(SCMP_CMP_LT, 1024)});
    for (uint64_t command = 1027; command < 1040 && !result; command++) {
        result = allow_if(filter, "fcntl", 1, (struct scmp_arg_cmp[]){SCMP_A1_64(SCMP_CMP_EQ, command)});
    }
    return result;
}

static int answer_if(scmp_filter_ctx filter, int error, const char *name, unsigned count, const struct scmp_arg_cmp *conditions)
{
    int number = seccomp_syscall_resolve_name(name);
    return number < 0 ? 0 : seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(error), number, count, conditions);
}

// inotify does not exist: its instances are counted against the host's user that made the outer namespace as well (128 by default), so one
// guest could take them all, and its watches tell what others, the host's programs too, open of the files that all can read.
static int answer_host_wide(scmp_filter_ctx filter)
{
    int result = answer_if(filter, ENOSYS, "inotify_init", 0, NULL);
    if (!result) {
        result = answer_if(filter, ENOSYS, "inotify_init1", 0, NULL);
    }
    for (size_t i = 0; i < sizeof done_already / sizeof *done_already && !result; i++) {
        result = answer_if(filter, 0, done_already[i], 0, NULL);
    }
    // Without MS_SYNC it is how a library asks whether memory is mapped.
    if (!result) {
        result = allow_if(filter, "msync", 1, (struct scmp_arg_cmp[]){SCMP_A2_64(SCMP_CMP_MASKED_EQ, MS_SYNC, 0)});
    }
    return result ? result : answer_if(filter, 0, "msync", 1, (struct scmp_arg_cmp[]){SCMP_A2_64(SCMP_CMP_MASKED_EQ, MS_SYNC, MS_SYNC)});
}

static int add_rules(scmp_filter_ctx filter)
{
    int result = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed && !result; i++) {
        result = allow_if(filter, allowed[i], 0, NULL);
    }
    if (!result) {
        // A child of one's parent would be the launcher's, when the guest was forked from a zygote: it would have to reap what guests start.
        result = allow_if(filter, "clone", 1, (struct scmp_arg_cmp[]){SCMP_A0_64(SCMP_CMP_MASKED_EQ, NAMESPACE_FLAGS | CLONE_PARENT, 0)});
    }
    if (!result) {
        result = allow_fcntl(filter);
    }
    if (!result) {
        // Its flags are behind a pointer, which no filter can follow; libc then uses clone.
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    }
    if (!result) {
        result = allow_limits(filter);
    }
    if (!result) {
        result = answer_host_wide(filter);
    }
    if (!result) {
        result = allow_if(filter, "personality", 1, (struct scmp_arg_cmp[]){SCMP_A0_32(SCMP_CMP_EQ, 0)});
    }
    if (!result) {
        result = allow_if(filter, "personality", 1, (struct scmp_arg_cmp[]){SCMP_A0_32(SCMP_CMP_EQ, 0xffffffff)}); // reads
    }
    return result ? result : allow_sockets(filter);
}

static int export_rules(scmp_filter_ctx filter, struct sock_filter *instructions, size_t capacity, size_t *count)
{
    int memory = memfd_create("seccomp", MFD_CLOEXEC);
    if (memory < 0) {
        return -errno;
    }
    int result = seccomp_export_bpf(filter, memory);
    if (!result) {
        ssize_t length = pread(memory, instructions, capacity * sizeof *instructions, 0);
        if (length < 0) {
            result = -errno;
        } else if (length == 0 || (size_t)length == capacity * sizeof *instructions) {
            result = -E2BIG;
        } else {
            *count = (size_t)length / sizeof *instructions;
        }
    }
    close(memory);
    return result;
}

int seccomp_profile_build(struct sock_fprog *program, const char **why)
{
    enum { CAPACITY = 4096 };
    const uint32_t native = seccomp_arch_native();
    const int newest = seccomp_syscall_resolve_name(newest_known);
    // What libseccomp cannot say: foreign architectures (x32's numbers are above the newest) and unknown numbers answer
    // ENOSYS; of ioctl only the two that push characters into a terminal are refused. SO_LINGER is taken and has no effect: whoever closes such a socket last
    // waits, and that is the worker when the guest has sent it the socket.
    const struct sock_filter prefix[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, native, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)newest, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsockopt, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOL_SOCKET, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_LINGER, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])), // the low half: the kernel looks at no more
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of an argument comes first");
    const size_t before = sizeof prefix / sizeof *prefix;
    *why = "a libseccomp too old";
    if (newest <= 0) {
        return -ENOTSUP;
    }
    *why = "building the rules";
    struct sock_filter *instructions = calloc(CAPACITY, sizeof *instructions);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    size_t count = 0;
    int result = instructions && filter ? 0 : -ENOMEM;
    if (!result) {
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); // a binary tree: a call costs the same wherever it stands
    }
    if (!result) {
        result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    }
    if (!result) {
        result = add_rules(filter);
    }
    if (!result) {
        *why = "compiling the rules";
        for (size_t i = 0; i < before; i++) {
            instructions[i] = prefix[i];
        }
        result = export_rules(filter, instructions + before, CAPACITY - before, &count);
    }
    if (filter) {
        seccomp_release(filter);
    }
    if (result) {
        free(instructions);
        return result;
    }
    *program = (struct sock_fprog){.len = (unsigned short)(before + count), .filter = instructions};
    return 0;
}
