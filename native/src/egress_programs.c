#include "egress_programs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "egress_plan.h"
#include "util.h"

enum { NFT_LIMIT_MS = 10000 };

const char *egress_find(const char *name)
{
    static const char *const folders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"};
    static char paths[2][64];
    char *path = paths[strcmp(name, "nft") == 0];
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof paths[0], "%s/%s", folders[i], name);
        if (access(path, X_OK) == 0) {
            return path;
        }
    }
    return NULL;
}

// The outer root keeps its rights through exec by being uid 0; where the only uid is another, they must be handed on.
static void keep_capabilities(void)
{
    static const int needed[] = {CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_SYS_ADMIN};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (geteuid() == 0 || syscall(SYS_capget, &header, data)) {
        return;
    }
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        data[0].inheritable |= 1U << needed[i];
    }
    if (syscall(SYS_capset, &header, data)) {
        return; // the program says what it lacks
    }
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, needed[i], 0, 0);
    }
}

static _Noreturn void become(const char *path, char *const *arguments, int input, int output)
{
    static char *const environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigemptyset(&none);
    // Dies with the warden. pasta wants SIGPIPE as a process is born with it.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || sigprocmask(SIG_SETMASK, &none, NULL) || signal(SIGPIPE, SIG_DFL) == SIG_ERR ||
        null < 0 || dup2(input, 0) < 0 || dup2(output, 2) < 0 || dup2(null, 1) < 0) {
        _exit(126);
    }
    keep_capabilities();
    execve(path, arguments, environment);
    dprintf(2, "%s: %s", path, strerror(errno));
    _exit(127);
}

static int wait_for(pid_t pid, int limit_ms)
{
    int status = 0;
    int handle = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = {handle, POLLIN, 0};
    if (handle < 0 || poll(&end, 1, limit_ms) != 1) {
        kill(pid, SIGKILL);
    }
    close_fd(&handle);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int egress_run_nft(const char *nft, int network, int text, char *why, size_t size)
{
    int said[2];
    if (pipe2(said, O_CLOEXEC | O_NONBLOCK)) {
        return -errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        char *arguments[] = {"nft", "-f", "-", NULL};
        if (setns(network, CLONE_NEWNET) || lseek(text, 0, SEEK_SET)) {
            _exit(125);
        }
        become(nft, arguments, text, said[1]);
    }
    int result = pid < 0 ? -errno : wait_for(pid, NFT_LIMIT_MS);
    close(said[1]);
    ssize_t got = read(said[0], why, size - 1);
    why[got > 0 ? got : 0] = 0;
    close(said[0]);
    return result;
}

pid_t egress_start_pasta(const char *pasta, int network, bool v4, bool v6, int *said)
{
    int pipes[2];
    char mtu[16];
    char *arguments[40] = {"pasta", "--foreground", "--quiet", "--netns", "/proc/self/fd/0", "--no-netns-quit", "--ns-ifname", TAP_NAME,
                           // Nothing of the host's loopback is mapped into the namespace, no port of either side to the other.
                           "--no-map-gw", "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra",
                           "--no-icmp", "--mtu", mtu};
    size_t count = 0;
    while (arguments[count]) {
        count++;
    }
    snprintf(mtu, sizeof mtu, "%d", WIRE_MTU);
    if (v4) {
        char *more[] = {"--address", TAP_ADDRESS, "--netmask", "30", "--gateway", TAP_GATEWAY};
        memcpy(arguments + count, more, sizeof more);
        count += sizeof more / sizeof *more;
    }
    if (v6) {
        char *more[] = {"--address", TAP_ADDRESS6, "--gateway", TAP_GATEWAY6};
        memcpy(arguments + count, more, sizeof more);
        count += sizeof more / sizeof *more;
    }
    if (v4 != v6) {
        arguments[count++] = v4 ? "--ipv4-only" : "--ipv6-only";
    }
    if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK)) {
        return -errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        become(pasta, arguments, network, pipes[1]);
    }
    int error = errno;
    close(pipes[1]);
    if (pid < 0) {
        close(pipes[0]);
        return -error;
    }
    *said = pipes[0];
    return pid;
}
