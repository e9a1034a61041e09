// A guest for the tests: the first argument says what it does. Prints plain words on stdout; its exit code is 0 when what it
// tried went as its name says.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *text)
{
    printf("%s\n", text);
    fflush(stdout);
}

static int use_memory(long megabytes, int hold)
{
    for (long i = 0; i < megabytes; i++) {
        char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) {
            perror("mmap");
            return 1;
        }
        for (size_t at = 0; at < 1 << 20; at += 4096) {
            block[at] = 1;
        }
        if (hold) {
            usleep(2000); // slower than one check of the watch per megabyte would miss
        }
    }
    say("allocated");
    if (hold) {
        sleep(hold);
    }
    return 0;
}

static int fill_file(const char *path, long megabytes)
{
    static char block[1 << 20];
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    if (fd < 0) {
        perror(path);
        return 1;
    }
    memset(block, 'x', sizeof block);
    for (long i = 0; i < megabytes; i++) {
        for (size_t done = 0; done < sizeof block;) {
            ssize_t put = write(fd, block + done, sizeof block - done);
            if (put < 0) {
                printf("%s at %ld\n", strerrorname_np(errno), i);
                return 2;
            }
            done += (size_t)put;
        }
    }
    close(fd);
    say("written");
    return 0;
}

static int make_files(long count)
{
    char path[64];
    for (long i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/tmp/f%ld", i);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        if (fd < 0) {
            printf("%s at %ld\n", strerrorname_np(errno), i);
            return 2;
        }
        close(fd);
    }
    say("made");
    return 0;
}

static int fork_bomb(void)
{
    int made = 0;
    for (; made < 5000; made++) {
        pid_t pid = fork();
        if (pid == 0) {
            pause();
            _exit(0);
        }
        if (pid < 0) {
            break;
        }
    }
    printf("%d %s\n", made, strerrorname_np(errno));
    fflush(stdout);
    return 0;
}

static int list_descriptors(void)
{
    for (int fd = 0; fd < 4096; fd++) {
        struct stat info;
        if (fstat(fd, &info) == 0) {
            printf("%d ", fd);
        }
    }
    say("");
    return 0;
}

static int leave_daemon(void)
{
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            signal(SIGTERM, SIG_IGN);
            signal(SIGHUP, SIG_IGN);
            for (;;) {
                pause();
            }
        }
        _exit(0);
    }
    wait(NULL);
    say("left");
    return 0;
}

// Every path of the root that can be written, other than below /tmp.
static int writable_found;
static void look_for_writable(const char *path, int depth)
{
    char child[4096];
    if (strcmp(path, "/tmp") == 0 || strncmp(path, "/proc", 5) == 0 || depth > 3) {
        return;
    }
    snprintf(child, sizeof child, "%s/.flint-test", path);
    int fd = open(child, O_CREAT | O_WRONLY, 0600);
    if (fd >= 0 || errno != EROFS) {
        printf("%s: %s\n", path, fd >= 0 ? "writable" : strerrorname_np(errno));
        writable_found += fd >= 0;
        if (fd >= 0) {
            close(fd);
        }
    }
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            snprintf(child, sizeof child, "%s/%s", strcmp(path, "/") == 0 ? "" : path, entry->d_name);
            look_for_writable(child, depth + 1);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

struct attempt {
    const char *name;
    long number, a, b, c, d, e;
    int expected; // 0: any failure will do
};

static int try_syscalls(void)
{
    static char path[] = "/tmp";
    static struct iovec part = {path, 4};
    const struct attempt attempts[] = {
        {"ptrace", SYS_ptrace, PTRACE_TRACEME, 0, 0, 0, 0, EPERM},
        {"process_vm_readv", SYS_process_vm_readv, 1, (long)&part, 1, (long)&part, 1, EPERM},
        {"process_vm_writev", SYS_process_vm_writev, 1, (long)&part, 1, (long)&part, 1, EPERM},
        {"pidfd_getfd", SYS_pidfd_getfd, 0, 0, 0, 0, 0, EPERM},
        {"kcmp", SYS_kcmp, 1, 1, 0, 0, 0, EPERM},
        {"bpf", SYS_bpf, 0, 0, 0, 0, 0, EPERM},
        {"perf_event_open", SYS_perf_event_open, 0, 0, 0, 0, 0, EPERM},
        {"userfaultfd", SYS_userfaultfd, 1, 0, 0, 0, 0, EPERM},
        {"keyctl", SYS_keyctl, 0, 0, 0, 0, 0, EPERM},
        {"add_key", SYS_add_key, 0, 0, 0, 0, 0, EPERM},
        {"request_key", SYS_request_key, 0, 0, 0, 0, 0, EPERM},
        {"mount", SYS_mount, (long)"none", (long)path, (long)"tmpfs", 0, 0, EPERM},
        {"umount2", SYS_umount2, (long)path, MNT_DETACH, 0, 0, 0, EPERM},
        {"open_tree", SYS_open_tree, AT_FDCWD, (long)path, 1, 0, 0, EPERM},
        {"move_mount", SYS_move_mount, -1, (long)"", AT_FDCWD, (long)path, 4, EPERM},
        {"fsopen", SYS_fsopen, (long)"tmpfs", 0, 0, 0, 0, EPERM},
        {"fsconfig", SYS_fsconfig, 0, 0, 0, 0, 0, EPERM},
        {"fsmount", SYS_fsmount, 0, 0, 0, 0, 0, EPERM},
        {"fspick", SYS_fspick, AT_FDCWD, (long)path, 0, 0, 0, EPERM},
        {"mount_setattr", SYS_mount_setattr, AT_FDCWD, (long)path, 0, 0, 0, EPERM},
        {"pivot_root", SYS_pivot_root, (long)path, (long)path, 0, 0, 0, EPERM},
        {"chroot", SYS_chroot, (long)path, 0, 0, 0, 0, EPERM},
        {"setns", SYS_setns, 0, 0, 0, 0, 0, EPERM},
        {"unshare user", SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0, EPERM},
        {"unshare mount", SYS_unshare, CLONE_NEWNS, 0, 0, 0, 0, EPERM},
        {"clone user", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0, EPERM},
        {"clone pid", SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0, EPERM},
        {"clone net", SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0, EPERM},
        {"clone mount", SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0, EPERM},
        {"clone cgroup", SYS_clone, CLONE_NEWCGROUP | SIGCHLD, 0, 0, 0, 0, EPERM},
        {"clone parent", SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0, EPERM},
        {"clone3", SYS_clone3, 0, 0, 0, 0, 0, ENOSYS},
        {"name_to_handle_at", SYS_name_to_handle_at, AT_FDCWD, (long)path, 0, 0, 0, EPERM},
        {"open_by_handle_at", SYS_open_by_handle_at, AT_FDCWD, 0, 0, 0, 0, EPERM},
        {"kexec_load", SYS_kexec_load, 0, 0, 0, 0, 0, EPERM},
        {"init_module", SYS_init_module, 0, 0, 0, 0, 0, EPERM},
        {"finit_module", SYS_finit_module, -1, 0, 0, 0, 0, EPERM},
        {"delete_module", SYS_delete_module, 0, 0, 0, 0, 0, EPERM},
        {"swapon", SYS_swapon, (long)path, 0, 0, 0, 0, EPERM},
        {"swapoff", SYS_swapoff, (long)path, 0, 0, 0, 0, EPERM},
        {"reboot", SYS_reboot, 0, 0, 0, 0, 0, EPERM},
        {"quotactl", SYS_quotactl, 0, 0, 0, 0, 0, EPERM},
        {"acct", SYS_acct, 0, 0, 0, 0, 0, EPERM},
        {"syslog", SYS_syslog, 3, 0, 0, 0, 0, EPERM},
        {"settimeofday", SYS_settimeofday, 0, 0, 0, 0, 0, EPERM},
        {"clock_settime", SYS_clock_settime, 0, 0, 0, 0, 0, EPERM},
        {"adjtimex", SYS_adjtimex, 0, 0, 0, 0, 0, EPERM},
        {"clock_adjtime", SYS_clock_adjtime, 0, 0, 0, 0, 0, EPERM},
        {"sethostname", SYS_sethostname, (long)"x", 1, 0, 0, 0, EPERM},
        {"memfd_secret", 447, 0, 0, 0, 0, 0, EPERM},
        {"personality", SYS_personality, ADDR_NO_RANDOMIZE, 0, 0, 0, 0, EPERM},
        {"io_uring_setup", SYS_io_uring_setup, 1, 0, 0, 0, 0, EPERM},
        {"io_uring_enter", SYS_io_uring_enter, 0, 0, 0, 0, 0, EPERM},
        {"io_uring_register", SYS_io_uring_register, 0, 0, 0, 0, 0, EPERM},
        {"inotify_init", SYS_inotify_init, 0, 0, 0, 0, 0, ENOSYS},
        {"inotify_init1", SYS_inotify_init1, 0, 0, 0, 0, 0, ENOSYS},
        {"dnotify", SYS_fcntl, 0, F_NOTIFY, 1, 0, 0, EPERM},
        {"dnotify, high bits", SYS_fcntl, 0, F_NOTIFY | 1L << 32, 1, 0, 0, EPERM},
        {"lease", SYS_fcntl, 0, F_SETLEASE, F_RDLCK, 0, 0, EPERM},
        {"fanotify_init", SYS_fanotify_init, 0, 0, 0, 0, 0, EPERM},
        {"process_madvise", SYS_process_madvise, -1, 0, 0, 0, 0, EPERM},
        {"prlimit of another", SYS_prlimit64, 1, RLIMIT_CPU, (long)&(struct rlimit){0, 0}, 0, 0, EPERM},
        {"prlimit of core dumps", SYS_prlimit64, 0, RLIMIT_CORE, (long)&(struct rlimit){0, 0}, 0, 0, EPERM},
        {"prlimit of core dumps, high bits", SYS_prlimit64, 0, RLIMIT_CORE | 1L << 32, (long)&(struct rlimit){0, 0}, 0, 0, EPERM},
        {"setrlimit of core dumps", SYS_setrlimit, RLIMIT_CORE, (long)&(struct rlimit){0, 0}, 0, 0, 0, EPERM},
        {"setrlimit of core dumps, high bits", SYS_setrlimit, RLIMIT_CORE | 1L << 32, (long)&(struct rlimit){0, 0}, 0, 0, 0, EPERM},
        {"mq_open", SYS_mq_open, (long)"/q", O_CREAT | O_RDWR, 0600, 0, 0, EPERM},
        {"TIOCSTI", SYS_ioctl, 0, TIOCSTI, (long)path, 0, 0, EPERM},
        {"TIOCSTI with high bits", SYS_ioctl, 0, TIOCSTI | 1L << 32, (long)path, 0, 0, EPERM},
        {"TIOCLINUX", SYS_ioctl, 0, TIOCLINUX, (long)path, 0, 0, EPERM},
        {"raw socket", SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP, 0, 0, EPERM},
        {"raw socket 6", SYS_socket, AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6, 0, 0, EPERM},
        {"packet socket", SYS_socket, 17, SOCK_RAW, 0, 0, 0, EPERM},
        {"vsock", SYS_socket, 40, SOCK_STREAM, 0, 0, 0, EPERM},
        {"alg socket", SYS_socket, 38, SOCK_SEQPACKET, 0, 0, 0, EPERM},
        {"netlink audit", SYS_socket, AF_NETLINK, SOCK_RAW, 9, 0, 0, EPERM},
        {"sctp", SYS_socket, AF_INET, SOCK_STREAM, 132, 0, 0, EPERM},
#ifdef __x86_64__
        {"modify_ldt", SYS_modify_ldt, 0, 0, 0, 0, 0, EPERM},
        {"iopl", SYS_iopl, 3, 0, 0, 0, 0, EPERM},
        {"ioperm", SYS_ioperm, 0, 1, 1, 0, 0, EPERM},
        {"x32 getpid", 0x40000000 | SYS_getpid, 0, 0, 0, 0, 0, ENOSYS},
#endif
        {"a number not known", 461, 0, 0, 0, 0, 0, ENOSYS},
        {"a number far away", 100000, 0, 0, 0, 0, 0, ENOSYS},
    };
    int bad = 0;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        const struct attempt *one = &attempts[i];
        errno = 0;
        long result = syscall(one->number, one->a, one->b, one->c, one->d, one->e);
        if (result == 0 && strncmp(one->name, "clone ", 6) == 0) {
            _exit(0); // the child that should not be
        }
        if (result != -1 || (one->expected && errno != one->expected)) {
            printf("%s: %ld %s\n", one->name, result, result < 0 ? strerrorname_np(errno) : "allowed");
            bad++;
        }
    }
    printf("%zu tried, %d bad\n", sizeof attempts / sizeof *attempts, bad);
    return bad != 0;
}

// Every number there is, in a child each, with arguments that do nothing: none may kill, hang or be allowed that is not meant to.
static int sweep_syscalls(void)
{
    int refused = 0, unknown = 0, other = 0;
    for (long number = 0; number < 520; number++) {
        if (number == SYS_exit || number == SYS_exit_group || number == SYS_pause || number == SYS_vfork || number == SYS_rt_sigreturn ||
            number == SYS_fork || number == SYS_select || number == SYS_poll || number == SYS_ppoll || number == SYS_pselect6 ||
            number == SYS_rt_sigsuspend || number == SYS_clone) {
            continue;
        }
        pid_t child = fork();
        if (child == 0) {
            close(0);
            alarm(2);
            long result = syscall(number, -1L, -1L, -1L, -1L, -1L, -1L);
            _exit(result == -1 ? (errno == EPERM ? 10 : errno == ENOSYS ? 11 : 12) : 12);
        }
        int status;
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
            printf("%ld kills\n", number);
            return 1;
        }
        refused += WIFEXITED(status) && WEXITSTATUS(status) == 10;
        unknown += WIFEXITED(status) && WEXITSTATUS(status) == 11;
        other += WIFEXITED(status) && WEXITSTATUS(status) == 12;
    }
    printf("refused %d, unknown %d, passed %d\n", refused, unknown, other);
    return 0;
}

#ifdef __x86_64__
static int enter_32_bit(void)
{
    pid_t child = fork();
    if (child == 0) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L /* getpid of i386 */) : "memory", "r8", "r9", "r10", "r11");
        _exit(result == -ENOSYS ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    // Refused by the filter, or no such entry in this kernel at all.
    printf("%s\n", WIFEXITED(status) && WEXITSTATUS(status) == 1 ? "entered" : "refused");
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}
#endif

// What must go on working under the filter.
static int use_allowed(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int client = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    if (server < 0 || bind(server, (struct sockaddr *)&address, length) || listen(server, 1) ||
        getsockname(server, (struct sockaddr *)&address, &length) || connect(client, (struct sockaddr *)&address, length)) {
        perror("loopback");
        return 1;
    }
    if (socket(AF_UNIX, SOCK_DGRAM, 0) < 0 || socket(AF_INET6, SOCK_DGRAM, 0) < 0 || socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) < 0) {
        perror("socket");
        return 1;
    }
    if (personality(0xffffffff) < 0 || memfd_create("m", 0) < 0) {
        perror("personality, memfd");
        return 1;
    }
    address.sin_addr.s_addr = inet_addr("192.0.2.1");
    client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr *)&address, sizeof address) == 0 || errno != ENETUNREACH) {
        perror("outside");
        return 1;
    }
    say("works");
    return 0;
}

static int attack_pid_1(void)
{
    char path[64];
    static const char *const files[] = {"environ", "mem", "maps", "fd", "root", "cwd", "exe", "status", "cmdline"};
    int bad = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/1/%s", files[i]);
        int fd = open(path, O_RDONLY);
        if (fd >= 0) {
            printf("opened %s\n", path);
            bad++;
        }
    }
    for (int signal = 1; signal < 64; signal++) {
        kill(1, signal); // refused, or ignored: the test is that the cell lives on
    }
    kill(-1, SIGCONT);
    setpriority(PRIO_PROCESS, 1, 19);
    if (ptrace(PTRACE_ATTACH, 1, 0, 0) == 0) {
        say("attached");
        bad++;
    }
    usleep(50000);
    say(bad ? "reached" : "lives");
    return bad != 0;
}

static int show_limits(void)
{
    static const struct {
        const char *name;
        int resource;
    } limits[] = {{"core", RLIMIT_CORE}, {"files", RLIMIT_NOFILE}, {"stack", RLIMIT_STACK}, {"memlock", RLIMIT_MEMLOCK}, {"as", RLIMIT_AS}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        getrlimit(limits[i].resource, &limit);
        printf("%s=%lld ", limits[i].name, (long long)limit.rlim_cur);
    }
    printf("umask=%o groups=%d sid=%d dumpable=%d host=", umask(0), getgroups(0, NULL), getsid(0) == getpid(), prctl(PR_GET_DUMPABLE));
    char host[64];
    gethostname(host, sizeof host);
    say(host);
    return 0;
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    long number = count > 2 ? atol(arguments[2]) : 0;
    if (strcmp(what, "exit") == 0) return (int)number;
    if (strcmp(what, "signal") == 0) return raise((int)number), sleep(5), 1;
    if (strcmp(what, "abort") == 0) abort();
    if (strcmp(what, "segfault") == 0) return *(volatile int *)8;
    if (strcmp(what, "sleep") == 0) return say("sleeping"), sleep((unsigned)number), 0;
    if (strcmp(what, "memory") == 0) return use_memory(number, count > 3 ? atoi(arguments[3]) : 0);
    if (strcmp(what, "child-memory") == 0) {
        if (fork() == 0) _exit(use_memory(number, 1));
        sleep(20);
        return 0;
    }
    if (strcmp(what, "fill") == 0) return fill_file("/tmp/file", number);
    if (strcmp(what, "fill-and-use") == 0) {
        int result = fill_file("/tmp/file", number);
        return result ? result : use_memory(atol(arguments[3]), 1);
    }
    if (strcmp(what, "files") == 0) return make_files(number);
    if (strcmp(what, "bomb") == 0) return fork_bomb();
    if (strcmp(what, "spin") == 0) for (;;) {}
    if (strcmp(what, "descriptors") == 0) return list_descriptors();
    if (strcmp(what, "daemon") == 0) return leave_daemon();
    if (strcmp(what, "writable") == 0) return look_for_writable("/", 0), say("looked"), writable_found != 0;
    if (strcmp(what, "syscalls") == 0) return try_syscalls();
    if (strcmp(what, "sweep") == 0) return sweep_syscalls();
#ifdef __x86_64__
    if (strcmp(what, "32-bit") == 0) return enter_32_bit();
#endif
    if (strcmp(what, "allowed") == 0) return use_allowed();
    if (strcmp(what, "pid-1") == 0) return attack_pid_1();
    if (strcmp(what, "limits") == 0) return show_limits();
    if (strcmp(what, "echo") == 0) {
        char buffer[256];
        ssize_t got = read(3, buffer, sizeof buffer);
        return got > 0 && write(3, buffer, (size_t)got) == got ? 0 : 1;
    }
    fprintf(stderr, "what is %s?\n", what);
    return 99;
}
