#include "fork_tmp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define TMP "/tmp"

enum { FLAGS = MS_NOSUID | MS_NODEV };

static bool is_empty(int dir)
{
    bool empty = true;
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) {
        if (copy >= 0) {
            close(copy);
        }
        return false;
    }
    for (struct dirent *entry; empty && (entry = readdir(stream));) {
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    }
    closedir(stream);
    return empty;
}

static int mount_fresh(const struct fork_tmp *tmp)
{
    struct statfs room;
    char options[96];
    if (fstatfs(tmp->lower, &room)) {
        return -errno;
    }
    unsigned long long bytes = (unsigned long long)room.f_bfree * (unsigned long long)room.f_bsize;
    // A size of 0 would mean no limit. A fresh one needs inodes for its root and, layered, for three directories of the overlay's.
    snprintf(options, sizeof options, "size=%llu,nr_inodes=%llu,mode=1777", bytes ? bytes : 4096, (unsigned long long)room.f_ffree + 4);
    return mount("tmpfs", TMP, "tmpfs", FLAGS, options) ? -errno : 0;
}

static int mount_overlay(const struct fork_tmp *tmp, int fresh)
{
    char options[160];
    if (mkdirat(fresh, "upper", 0755) || mkdirat(fresh, "work", 0755) || fchmodat(fresh, "upper", 01777, 0)) {
        return -errno;
    }
    // The overlay marks directories by attributes of users; where tmpfs has none (before Linux 6.6) it would fail in odd places later.
    if (setxattr(TMP "/upper", "user.flint", "", 0, 0) || removexattr(TMP "/upper", "user.flint")) {
        return -errno;
    }
    snprintf(options, sizeof options, "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d/upper,workdir=/proc/self/fd/%d/work,userxattr", tmp->lower, fresh, fresh);
    return mount("overlay", TMP, "overlay", FLAGS, options) ? -errno : 0;
}

int fork_tmp_mount(struct fork_tmp *tmp)
{
    int result = mount_fresh(tmp);
    if (result) {
        return result;
    }
    tmp->mounts++;
    int fresh = open(TMP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    result = fresh < 0 ? -errno : tmp->layered ? mount_overlay(tmp, fresh) : 0;
    if (!result) {
        tmp->mounts += tmp->layered;
        return fresh;
    }
    if (fresh >= 0) {
        close(fresh);
    }
    fork_tmp_drop(tmp);
    return result;
}

int fork_tmp_drop(struct fork_tmp *tmp)
{
    struct stat info;
    while (tmp->mounts > 0) {
        if (umount2(TMP, MNT_DETACH)) { // the launcher has it open to watch its use
            return -errno;
        }
        tmp->mounts--;
    }
    return stat(TMP, &info) ? -errno : info.st_dev == tmp->device ? 0 : -ESTALE;
}

int fork_tmp_begin(struct fork_tmp *tmp, struct findings *findings)
{
    struct stat info;
    *tmp = (struct fork_tmp){.lower = open(TMP, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (tmp->lower < 0 || fstat(tmp->lower, &info)) {
        return -errno;
    }
    tmp->device = info.st_dev;
    tmp->layered = !is_empty(tmp->lower);
    if (!tmp->layered) {
        return 0;
    }
    // The kernel refuses while anything there is open for writing, mapped for writing, or deleted and still in use.
    if (mount(NULL, TMP, NULL, MS_REMOUNT | MS_RDONLY | FLAGS, NULL)) {
        finding(findings, errno == EBUSY ? "a file in /tmp is still written to, or was deleted while in use" : "/tmp cannot be made read-only: %s", strerror(errno));
        return 0;
    }
    int fresh = fork_tmp_mount(tmp);
    if (fresh < 0) {
        finding(findings, "init left files in /tmp, which this kernel cannot keep for every invocation (needs overlayfs and Linux 6.6): %s", strerror(-fresh));
        return 0;
    }
    close(fresh);
    return fork_tmp_drop(tmp);
}
