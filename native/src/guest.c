#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_profile.h"
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

static const char *take_limits(const struct guest *guest)
{
    const struct {
        int resource;
        rlim_t soft, hard;
    } limits[] = {
        {RLIMIT_CORE, 1, 1}, // 0 would still feed a crash to a program that core_pattern names; 1 is the kernel's word for never
        {RLIMIT_NOFILE, guest->max_files, guest->max_files},
        {RLIMIT_MEMLOCK, 64 << 10, 64 << 10},
        {RLIMIT_MSGQUEUE, 0, 0},
        {RLIMIT_SIGPENDING, 1024, 1024},
        {RLIMIT_NICE, 0, 0},
        {RLIMIT_RTPRIO, 0, 0},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit now;
        if (getrlimit(limits[i].resource, &now)) {
            return "limits";
        }
        // The host may allow less than asked, and nobody here may raise it.
        struct rlimit want = {limits[i].soft < now.rlim_max ? limits[i].soft : now.rlim_max,
                              limits[i].hard < now.rlim_max ? limits[i].hard : now.rlim_max};
        if (setrlimit(limits[i].resource, &want)) {
            return "limits";
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

static const char *take_identity(const struct guest *guest)
{
    // EPERM where one uid is all there is: the kernel then forbids setgroups for good.
    if (syscall(SYS_setgroups, 0, NULL) && errno != EPERM) {
        return "groups";
    }
    if (setresgid(guest->gid, guest->gid, guest->gid) || setresuid(guest->uid, guest->uid, guest->uid)) {
        return "identity";
    }
    return NULL;
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

static const char *drop_privileges(const struct guest *guest)
{
    const char *failed = NULL;
    if ((wall_stands(WALL_CAPS) && (failed = bound_capabilities())) || (wall_stands(WALL_UID) && (failed = take_identity(guest))) ||
        (wall_stands(WALL_CAPS) && (failed = drop_capabilities()))) {
        return failed;
    }
    return wall_stands(WALL_NNP) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? "no_new_privs" : NULL;
}

static const char *reset_signals(void)
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
    if ((failed = take_descriptors(guest)) || (failed = take_limits(guest)) || (failed = drop_privileges(guest)) ||
        (failed = reset_signals())) {
        return failed;
    }
    umask(022);
    if (personality(0) < 0) {
        return "personality";
    }
    if (chdir(guest->cwd)) {
        return "cwd";
    }
    int result = wall_stands(WALL_SECCOMP) ? seccomp_profile_load(guest->filter) : 0;
    if (result) {
        errno = -result;
        return "seccomp";
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
