#include "root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"
#include "walls.h"

#define BUILD_POINT "/tmp"
#define READ_ONLY (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID)

static int fail(struct root_failure *failure, int error, const char *step, const char *subject)
{
    failure->step = step;
    snprintf(failure->subject, sizeof failure->subject, "%s", subject);
    return error;
}

// A detached copy of a path with all that is mounted below, made read-only throughout.
static int copy_tree(int dir, const char *path, uint64_t attributes, unsigned flags)
{
    int fd = (int)syscall(SYS_open_tree, dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | flags);
    if (fd < 0) {
        return -errno;
    }
    if (!wall_stands(WALL_READONLY)) {
        attributes &= ~(uint64_t)MOUNT_ATTR_RDONLY;
    }
    struct mount_attr attr = {.attr_set = attributes, .propagation = MS_PRIVATE};
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static int attach(int tree, int dir, const char *path)
{
    int result = syscall(SYS_move_mount, tree, "", dir, path, MOVE_MOUNT_F_EMPTY_PATH) ? -errno : 0;
    close(tree);
    return result;
}

static int bind_tree(int from_dir, const char *from, int to_dir, const char *to, uint64_t attributes)
{
    int tree = copy_tree(from_dir, from, attributes, 0);
    return tree < 0 ? tree : attach(tree, to_dir, to);
}

// ---- the template, made where the host can still be seen ----

struct sources {
    int root;  // of the system directories
    bool image;
    const char *resolver;
    int cell;  // the template being made
    struct root_failure *failure;
};

static int bind_directory(const struct sources *sources, const char *from, const char *to, uint64_t attributes)
{
    if (mkdirat(sources->cell, to, 0755) && errno != EEXIST) {
        return fail(sources->failure, -errno, "mkdir", to);
    }
    int result = bind_tree(sources->root, from, sources->cell, to, attributes);
    return result ? fail(sources->failure, result, "bind", to) : 0;
}

// A directory is bound, a link made again.
static int take_entry(const struct sources *sources, const char *name)
{
    struct stat info;
    char target[4096];
    if (fstatat(sources->root, name, &info, AT_SYMLINK_NOFOLLOW)) {
        return errno == ENOENT ? 0 : fail(sources->failure, -errno, "stat", name);
    }
    if (S_ISDIR(info.st_mode)) {
        return bind_directory(sources, name, name, READ_ONLY | MOUNT_ATTR_NODEV);
    }
    if (!S_ISLNK(info.st_mode)) {
        return 0;
    }
    ssize_t length = readlinkat(sources->root, name, target, sizeof target - 1);
    if (length < 0) {
        return fail(sources->failure, -errno, "readlink", name);
    }
    target[length] = 0;
    return symlinkat(target, sources->cell, name) ? fail(sources->failure, -errno, "symlink", name) : 0;
}

static bool own_entry(const char *name)
{
    static const char *const names[] = {".", "..", "proc", "sys", "dev", "tmp", "run", "var", "etc", "lost+found", "boot", "root", "home"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int take_system(const struct sources *sources)
{
    static const char *const host[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"};
    int result = 0;
    if (!sources->image) {
        for (size_t i = 0; i < sizeof host / sizeof *host && !result; i++) {
            result = take_entry(sources, host[i]);
        }
        return result;
    }
    int copy = openat(sources->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) {
        return fail(sources->failure, -errno, "list", "the image");
    }
    for (struct dirent *entry; !result && (entry = readdir(stream));) {
        result = own_entry(entry->d_name) ? 0 : take_entry(sources, entry->d_name);
    }
    closedir(stream);
    return result;
}

static int make_devices(const struct sources *sources)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom"};
    static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                           {"/proc/self/fd/0", "dev/stdin"},
                                           {"/proc/self/fd/1", "dev/stdout"},
                                           {"/proc/self/fd/2", "dev/stderr"},
                                           {"/tmp", "dev/shm"}};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        char from[32], to[32];
        snprintf(from, sizeof from, "/dev/%s", nodes[i]);
        snprintf(to, sizeof to, "dev/%s", nodes[i]);
        int result = make_file(sources->cell, to, "", 0444);
        // Writing to a device does not need a writable mount.
        if (!result) {
            result = bind_tree(AT_FDCWD, from, sources->cell, to, READ_ONLY | MOUNT_ATTR_NOEXEC);
        }
        if (result) {
            return fail(sources->failure, result, "device", from);
        }
    }
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        if (symlinkat(links[i][0], sources->cell, links[i][1])) {
            return fail(sources->failure, -errno, "symlink", links[i][1]);
        }
    }
    return 0;
}

static int make_etc(const struct sources *sources)
{
    const struct {
        const char *path, *text;
    } files[] = {
        {"etc/passwd", ""}, // the cell's own are bound over these two
        {"etc/group", ""},
        {"etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n"},
        {"etc/hostname", "sandbox\n"},
        {"etc/resolv.conf", sources->resolver ? sources->resolver : ""},
        {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"},
    };
    static const char *const copies[] = {"etc/ld.so.cache", "etc/services", "etc/protocols", "etc/ssl/openssl.cnf"};
    static const char *const trees[] = {"etc/alternatives", "etc/ssl/certs", "etc/pki/ca-trust", "etc/pki/tls/certs"};
    static const char *const dirs[] = {"etc/ssl", "etc/pki", "etc/pki/tls"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        if (mkdirat(sources->cell, dirs[i], 0755)) {
            return fail(sources->failure, -errno, "mkdir", dirs[i]);
        }
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int result = make_file(sources->cell, files[i].path, files[i].text, 0444);
        if (result) {
            return fail(sources->failure, result, "write", files[i].path);
        }
    }
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        char from[64];
        snprintf(from, sizeof from, "/%s", copies[i]);
        int result = copy_file(from, sources->cell, copies[i], 0444);
        if (result && result != -ENOENT && result != -EACCES) {
            return fail(sources->failure, result, "copy", from);
        }
    }
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
        if (faccessat(sources->root, trees[i], X_OK, AT_EACCESS) == 0) {
            int result = bind_directory(sources, trees[i], trees[i], READ_ONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
            if (result) {
                return result;
            }
        }
    }
    return symlinkat("/usr/share/zoneinfo/Etc/UTC", sources->cell, "etc/localtime") ||
                   symlinkat("../usr/lib/os-release", sources->cell, "etc/os-release")
               ? fail(sources->failure, -errno, "symlink", "etc")
               : 0;
}

// An image brings its own /etc; passwd and group are needed there to bind the cell's over them.
static int take_etc(const struct sources *sources)
{
    struct stat info;
    if (!sources->image || fstatat(sources->root, "etc", &info, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(info.st_mode)) {
        return make_etc(sources);
    }
    int result = bind_directory(sources, "etc", "etc", READ_ONLY | MOUNT_ATTR_NODEV);
    if (result || !sources->resolver) {
        return result;
    }
    result = make_file(AT_FDCWD, BUILD_POINT "/resolv.conf", sources->resolver, 0444);
    result = result ? result : bind_tree(AT_FDCWD, BUILD_POINT "/resolv.conf", sources->cell, "etc/resolv.conf", READ_ONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (result) {
        diag("--root: names cannot be resolved in it, since its /etc/resolv.conf is not a plain file: %s", strerror(-result));
    }
    return 0;
}

static int fill_template(const struct sources *sources, int runtime)
{
    // The libraries' folders are there for the zygotes: a loader that has once missed a directory of LD_LIBRARY_PATH never looks again, nor do its forks.
    static const char *const dirs[] = {"dev", "etc", "opt", "opt/lib", "proc", "run", "tmp", "var", "var/task", "var/task/lib", "var/runtime", "var/tmp"};
    int result = take_system(sources);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && !result; i++) {
        if (strcmp(dirs[i], "var/tmp") == 0) {
            result = symlinkat("/tmp", sources->cell, dirs[i]) ? fail(sources->failure, -errno, "symlink", dirs[i]) : 0;
        } else if (mkdirat(sources->cell, dirs[i], 0755) && errno != EEXIST && !(sources->image && errno == EROFS)) { // an image's /opt is as it is
            result = fail(sources->failure, -errno, "mkdir", dirs[i]);
        }
    }
    if (!result) {
        result = make_devices(sources);
    }
    if (!result) {
        result = take_etc(sources);
    }
    if (!result) {
        result = attach(runtime, sources->cell, "var/runtime");
        result = result ? fail(sources->failure, result, "bind", "the runtime directory") : 0;
    } else {
        close(runtime);
    }
    struct mount_attr attr = {.attr_set = READ_ONLY | MOUNT_ATTR_NODEV};
    if (!result && syscall(SYS_mount_setattr, sources->cell, "", AT_EMPTY_PATH, &attr, sizeof attr)) {
        result = fail(sources->failure, -errno, "mount_setattr", "the template");
    }
    return result;
}

int root_build(const struct root_sources *from, struct root_failure *failure)
{
    const char *image = from->image, *code = from->code, *runtime = from->runtime;
    struct sources sources = {.image = image != NULL, .resolver = from->resolver, .cell = -1, .failure = failure};
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        return fail(failure, -errno, "make private", "/");
    }
    // All that may lie below /tmp is opened before that is covered.
    sources.root = open(image ? image : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (sources.root < 0) {
        return fail(failure, -errno, "open", image ? image : "/");
    }
    int code_tree = copy_tree(AT_FDCWD, code, READ_ONLY | MOUNT_ATTR_NODEV, 0);
    if (code_tree < 0) {
        close(sources.root);
        return fail(failure, code_tree, "open the code directory", code);
    }
    int runtime_tree = copy_tree(AT_FDCWD, runtime, READ_ONLY | MOUNT_ATTR_NODEV, 0);
    if (runtime_tree < 0) {
        close(sources.root);
        close(code_tree);
        return fail(failure, runtime_tree, "open the runtime directory", runtime);
    }
    int result = 0;
    if (mount("tmpfs", BUILD_POINT, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,nr_inodes=4096,mode=0755") ||
        mkdir(BUILD_POINT "/code", 0755) || mkdir(BUILD_POINT "/cell", 0755) ||
        mount("tmpfs", BUILD_POINT "/cell", "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,nr_inodes=4096,mode=0755")) {
        result = fail(failure, -errno, "mount", BUILD_POINT);
    }
    if (!result) {
        sources.cell = open(BUILD_POINT "/cell", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        result = sources.cell < 0 ? fail(failure, -errno, "open", BUILD_POINT "/cell") : 0;
    }
    if (!result) {
        result = attach(code_tree, AT_FDCWD, BUILD_POINT "/code");
        result = result ? fail(failure, result, "bind", code) : 0;
    } else {
        close(code_tree);
    }
    if (!result) {
        result = fill_template(&sources, runtime_tree);
    } else {
        close(runtime_tree);
    }
    close_fd(&sources.cell);
    close(sources.root);
    return result;
}

// ---- the outer init's root ----

static int pivot_here(struct root_failure *failure)
{
    if (syscall(SYS_pivot_root, ".", ".")) {
        return fail(failure, -errno, "pivot_root", ".");
    }
    return 0;
}

static int leave_old(struct root_failure *failure)
{
    // After pivot_root(".", ".") the old root lies over the new one.
    if (umount2(".", MNT_DETACH)) {
        return fail(failure, -errno, "umount", "the old root");
    }
    return chdir("/") ? fail(failure, -errno, "chdir", "/") : 0;
}

int root_enter_outer(struct root_failure *failure)
{
    static const char *const dirs[] = {"code", "cell", "proc", "slots"};
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        return fail(failure, -errno, "make private", "/");
    }
    int code = copy_tree(AT_FDCWD, BUILD_POINT "/code", 0, 0);
    int cell = copy_tree(AT_FDCWD, BUILD_POINT "/cell", 0, 0);
    if (code < 0 || cell < 0) {
        return fail(failure, code < 0 ? code : cell, "copy", BUILD_POINT);
    }
    if (mount("tmpfs", BUILD_POINT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64m,mode=0755") || chdir(BUILD_POINT)) {
        return fail(failure, -errno, "mount", "the outer root");
    }
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        if (mkdir(dirs[i], 0755)) {
            return fail(failure, -errno, "mkdir", dirs[i]);
        }
    }
    int result = attach(code, AT_FDCWD, "code");
    if (!result) {
        result = attach(cell, AT_FDCWD, "cell");
    }
    if (result) {
        return fail(failure, result, "attach", "the template");
    }
    // Needs the host's /proc still in sight: the kernel gives a new one only to who could see all of the old one.
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) {
        return fail(failure, -errno, "mount", "/proc (is the host's own partly covered, as in a container?)");
    }
    result = pivot_here(failure);
    return result ? result : leave_old(failure);
}

int root_write_slot(uid_t slot)
{
    char path[64], text[256];
    struct stat info;
    snprintf(path, sizeof path, OUTER_SLOTS "/%u.passwd", slot);
    if (stat(path, &info) == 0) {
        return 0;
    }
    char group[64];
    snprintf(group, sizeof group, OUTER_SLOTS "/%u.group", slot);
    snprintf(text, sizeof text, "sandbox:x:%u:\nnogroup:x:65534:\n", slot);
    int result = make_file(AT_FDCWD, group, text, 0444);
    if (result) {
        return result;
    }
    snprintf(text, sizeof text, "root:x:0:0:root:/:/usr/sbin/nologin\nsandbox:x:%u:%u::/tmp:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n",
             slot, slot);
    return make_file(AT_FDCWD, path, text, 0444);
}

int root_make_template(struct root_failure *failure)
{
    int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (own < 0 || unshare(CLONE_NEWNS)) {
        return fail(failure, -errno, "unshare", "the template's mount namespace");
    }
    int template = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (template < 0 || chdir(OUTER_CELL)) {
        return fail(failure, -errno, "chdir", OUTER_CELL);
    }
    int result = pivot_here(failure);
    if (!result) {
        result = leave_old(failure);
    }
    if (!result && setns(own, CLONE_NEWNS)) {
        result = fail(failure, -errno, "setns", "back from the template");
    }
    close(own);
    return result ? result : template;
}

// ---- a cell's root ----

// A detached /proc of this process's pid namespace. Made where the outer one is in sight: the kernel gives a new one only to who can see all of another.
static int open_proc(void)
{
    int context = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
    if (context < 0) {
        return -errno;
    }
    uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    int tree = -1;
    bool made = true;
    if (wall_stands(WALL_PROCMASK)) {
        attributes |= MOUNT_ATTR_RDONLY;
        made = syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, "ro", NULL, 0) == 0;
    }
    // hidepid: a guest sees its own processes only, not the cell's PID 1.
    if (made && wall_stands(WALL_HIDEPID)) {
        made = syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "hidepid", "2", 0) == 0;
    }
    if (made && syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0) {
        tree = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
    }
    int error = errno;
    close(context);
    return tree < 0 ? -error : tree;
}

static int mask_proc(struct root_failure *failure)
{
    static const char *const names[] = {"kcore", "keys", "key-users", "kallsyms", "kmsg", "sysrq-trigger", "timer_list", "sched_debug",
                                        "latency_stats", "iomem", "ioports", "config.gz", "cmdline"};
    static const char *const dirs[] = {"acpi", "bus", "driver", "fs", "irq", "scsi", "tty"};
    char path[32];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/proc/%s", names[i]);
        if (mount("/dev/null", path, NULL, MS_BIND, NULL) && errno != ENOENT) {
            return fail(failure, -errno, "mask", path);
        }
    }
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        snprintf(path, sizeof path, "/proc/%s", dirs[i]);
        if (mount("/run", path, NULL, MS_BIND, NULL) && errno != ENOENT) {
            return fail(failure, -errno, "mask", path);
        }
    }
    return 0;
}

int root_enter_cell(int template, uid_t slot, int namespaces, struct root_failure *failure)
{
    static const char *const names[] = {"passwd", "group"};
    int trees[2] = {-1, -1}, proc = open_proc();
    char path[64];
    if (proc < 0) {
        return fail(failure, proc, "mount", "/proc");
    }
    for (size_t i = 0; slot != 0 && i < 2; i++) {
        snprintf(path, sizeof path, OUTER_SLOTS "/%u.%s", slot, names[i]);
        trees[i] = copy_tree(AT_FDCWD, path, READ_ONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0);
        if (trees[i] < 0) {
            return fail(failure, trees[i], "bind", path);
        }
    }
    // A copy of a namespace that has the template for its root: nothing of the outer one comes along, and nothing has to be left.
    if (setns(template, CLONE_NEWNS) || unshare(CLONE_NEWNS | namespaces)) {
        return fail(failure, -errno, "unshare", "namespaces");
    }
    int result = attach(proc, AT_FDCWD, "/proc");
    if (result) {
        return fail(failure, result, "attach", "/proc");
    }
    result = wall_stands(WALL_PROCMASK) ? mask_proc(failure) : 0;
    if (result) {
        return result;
    }
    // Given its true size when it is known what will run.
    if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,nr_inodes=64,mode=1777")) {
        return fail(failure, -errno, "mount", "/tmp");
    }
    for (size_t i = 0; slot != 0 && i < 2; i++) {
        snprintf(path, sizeof path, "/etc/%s", names[i]);
        result = attach(trees[i], AT_FDCWD, path);
        // An image may lack the file; then there is nothing to hide either.
        if (result && result != -ENOENT) {
            return fail(failure, result, "bind", path);
        }
    }
    return 0;
}

int root_size_tmp(uint32_t tmp_mb)
{
    char options[64];
    if (!wall_stands(WALL_TMP)) {
        tmp_mb += 1024;
    }
    uint64_t inodes = (uint64_t)tmp_mb * 128; // one for every 8 KB
    if (inodes < 1024) {
        inodes = 1024;
    }
    if (inodes > 1 << 20) {
        inodes = 1 << 20;
    }
    // A size of 0 would mean no limit.
    snprintf(options, sizeof options, "size=%lluk,nr_inodes=%llu", tmp_mb ? (unsigned long long)tmp_mb << 10 : 4ULL,
             (unsigned long long)inodes);
    return mount(NULL, "/tmp", NULL, MS_REMOUNT | MS_NOSUID | MS_NODEV, options) ? -errno : 0;
}

int root_open_code(const char *name)
{
    char path[sizeof OUTER_CODE + 257];
    struct stat info;
    snprintf(path, sizeof path, OUTER_CODE "/%s", name);
    int fd = copy_tree(AT_FDCWD, path, READ_ONLY | MOUNT_ATTR_NODEV, AT_SYMLINK_NOFOLLOW);
    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &info) || !S_ISDIR(info.st_mode)) {
        close(fd);
        return -ENOTDIR;
    }
    return fd;
}
