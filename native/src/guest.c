#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "walls.h"

static const char *take_descriptors(const struct guest *guest)
{
    const int from[] = {guest->null, guest->output, guest->errors, guest->channel};
    for (int to = 0; to < 4; to++) {
        if (dup2(from[to], to) < 0) {
            return "descriptors";
        }
    }
    if (syscall(SYS_close_range, 4U, (unsigned)guest->report - 1, 0) || syscall(SYS_close_range, (unsigned)guest->report + 1, ~0U, 0)) {
        return "descriptors";
    }
    return NULL;
}

static const char *limit(int resource, rlim_t value)
{
    struct rlimit now;
    if (getrlimit(resource, &now)) {
        return "limits";
    }
    // The host may allow less than asked, and nobody here may raise it.
    value = value < now.rlim_max ? value : now.rlim_max;
    return setrlimit(resource, &(struct rlimit){value, value}) ? "limits" : NULL;
}

const char *guest_limit_files(uint32_t max_files)
{
    return limit(RLIMIT_NOFILE, max_files);
}

static const char *take_limits(void)
{
    static const struct {
        int resource;
        rlim_t value;
    } limits[] = {
        {RLIMIT_CORE, 1}, // 0 would still feed a crash to a program that core_pattern names; 1 is the kernel's word for never
        {RLIMIT_MEMLOCK, 64 << 10},
        {RLIMIT_MSGQUEUE, 0},
        {RLIMIT_SIGPENDING, 1024},
        {RLIMIT_NICE, 0},
        {RLIMIT_RTPRIO, 0},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const char *failed = limit(limits[i].resource, limits[i].value);
        if (failed) {
            return failed;
        }
    }
    struct rlimit stack;
    if (getrlimit(RLIMIT_STACK, &stack)) {
        return "limits";
    }
    stack.rlim_cur = stack.rlim_max < 8 << 20 ? stack.rlim_max : 8 << 20;
    return setrlimit(RLIMIT_STACK, &stack) ? "limits" : NULL;
}

static const char *bound_capabilities(void)
{
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)) {
            return "capabilities";
        }
    }
    if (prctl(PR_SET_SECUREBITS,
              SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
              0, 0, 0)) {
        return "securebits";
    }
    return NULL;
}

// The kernel's own calls: libc's would tell every thread of the process, and a forked guest has lost the zygote's.
static const char *take_ids(uid_t uid, gid_t gid)
{
    // EPERM where one uid is all there is: the kernel then forbids setgroups for good.
    if (syscall(SYS_setgroups, 0, NULL) && errno != EPERM) {
        return "groups";
    }
    return syscall(SYS_setresgid, gid, gid, gid) || syscall(SYS_setresuid, uid, uid, uid) ? "identity" : NULL;
}

static const char *drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    if (syscall(SYS_capset, &header, none) || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)) {
        return "capabilities";
    }
    return NULL;
}

const char *guest_confine(void)
{
    const char *failed = take_limits();
    if (!failed && wall_stands(WALL_CAPS)) {
        failed = bound_capabilities();
    }
    if (failed) {
        return failed;
    }
    if (wall_stands(WALL_NNP) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        return "no_new_privs";
    }
    umask(022);
    return personality(0) < 0 ? "personality" : NULL;
}

const char *guest_take_identity(uid_t uid, gid_t gid)
{
    const char *failed = wall_stands(WALL_UID) ? take_ids(uid, gid) : NULL;
    return failed || !wall_stands(WALL_CAPS) ? failed : drop_capabilities();
}

const char *guest_load_filter(const struct sock_fprog *program)
{
    return wall_stands(WALL_SECCOMP) && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) ? "seccomp" : NULL;
}

const char *guest_reset_signals(void)
{
    // The kernel's own call and structure: libc keeps two signals back, which may have come ignored all the same.
    static const unsigned long standard[8] = {0};
    for (int signal = 1; signal < NSIG; signal++) {
        if (signal != SIGKILL && signal != SIGSTOP && syscall(SYS_rt_sigaction, signal, standard, NULL, (NSIG - 1) / 8)) {
            return "signals";
        }
    }
    sigset_t none;
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) ? "signals" : NULL;
}

static const char *become(const struct guest *guest)
{
    const char *failed = NULL;
    if (setsid() < 0) {
        return "session";
    }
    if ((failed = take_descriptors(guest)) || (failed = guest_confine()) || (failed = guest_limit_files(guest->max_files)) ||
        (failed = guest_take_identity(guest->uid, guest->gid)) || (failed = guest_reset_signals())) {
        return failed;
    }
    if (chdir(guest->cwd)) {
        return "cwd";
    }
    if ((failed = guest_load_filter(guest->filter))) {
        return failed;
    }
    execve(guest->arguments[0], guest->arguments, guest->environment);
    return "exec";
}

_Noreturn void guest_become(const struct guest *guest)
{
    struct guest_failure failure = {0};
    const char *phase = become(guest);
    failure.error = errno;
    strncpy(failure.phase, phase, sizeof failure.phase - 1);
    ssize_t ignored = write(guest->report, &failure, sizeof failure);
    (void)ignored;
    _exit(127);
}
