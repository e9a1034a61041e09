// The zygote's module for CPython: guest/PROTOCOL.md, "Environment after a fork". One library for every 3.9 and newer.
#define Py_LIMITED_API 0x03090000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "flint_zygote.h"

enum {
    CHANNEL = 3,
    READY_MAX = 100,
};

static PyObject *raise(int result)
{
    errno = -result;
    return PyErr_SetFromErrno(PyExc_OSError);
}

// ---- what the zygote does for its forks

// Both take, for good, what is free between things that are not: a fork would be given it here and there, each piece on another page that it has to copy. Afterwards what it
// allocates lies together, on pages that nobody has had.
static void fill_holes_of_malloc(void)
{
    enum { LARGEST = 64 << 10, SMALL = 1 << 10, STEP = 16 };
    const char *top = (char *)sbrk(0) - mallinfo2().keepcost;
    for (size_t size = LARGEST; size >= 2 * STEP; size = size > SMALL ? size / 2 : size - STEP) {
        const char *got;
        do {
            got = malloc(size - sizeof(size_t));
        } while (got && got < top);
    }
}

static void fill_holes_of_objects(void)
{
    enum { POOL = 16 << 10, HEADER = 48, LARGEST = 512, STEP = 16, MOST = 4 << 20 };
    for (size_t size = STEP; size <= LARGEST; size += STEP) {
        uintptr_t got;
        size_t taken = 0;
        do {
            got = (uintptr_t)PyObject_Malloc(size);
            taken += size;
        } while (got && got % POOL != HEADER && taken < MOST);
    }
}

struct image {
    uintptr_t inside; // an address of it
    uintptr_t from, to;
};

static int find_image(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct image *image = argument;
    uintptr_t from = UINTPTR_MAX, to = 0, writable = UINTPTR_MAX;
    int is_it = 0;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;
        if (part->p_type != PT_LOAD) {
            continue;
        }
        is_it |= begin <= image->inside && image->inside < begin + part->p_memsz;
        if (part->p_flags & PF_W) {
            writable = begin < writable ? begin : writable;
        } else {
            from = begin < from ? begin : from;
            to = begin + part->p_memsz > to ? begin + part->p_memsz : to;
        }
    }
    if (is_it && to <= writable) {
        image->from = from;
        image->to = to;
    }
    return is_it;
}

// The interpreter's code, as far as it fills huge pages, is put into such: a fork has it mapped at once, where a file's pages are mapped anew in every fork, by some 50 faults.
// The constants between become executable with it.
static void put_code_into_huge_pages(void)
{
    enum { HUGE = 2 << 20, COLLAPSE = 25 }; // MADV_COLLAPSE, younger than many a header
    struct image image = {.inside = (uintptr_t)PyObject_Malloc};
    dl_iterate_phdr(find_image, &image);
    uintptr_t from = (image.from + HUGE - 1) & ~(uintptr_t)(HUGE - 1), to = image.to & ~(uintptr_t)(HUGE - 1);
    if (from >= to) {
        return;
    }
    size_t length = to - from;
    char *room = mmap(NULL, length + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        return;
    }
    char *copy = (char *)(((uintptr_t)room + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
    madvise(copy, length, MADV_HUGEPAGE);
    memcpy(copy, (const void *)from, length);
    // Where this cannot be the interpreter stays as it is: as small pages the copy would cost a fork more than the file.
    if (!madvise(copy, length, COLLAPSE) && !mprotect(copy, length, PROT_READ | PROT_EXEC)) {
        mremap(copy, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)from);
    }
    munmap(room, (size_t)(copy - room));
    munmap(copy + length, (size_t)(room + HUGE - copy));
}

// ---- what a fork does before its interpreter

// READY, in guest/PROTOCOL.md's frame: `start` with the pid and a brace after it. Nothing of the interpreter is touched here, so that a guest that nobody needs yet shares all of it.
static void tell_ready(const char *start, size_t length)
{
    char frame[8 + READY_MAX + 16] = {1, (char)0x81};
    char digits[16];
    size_t end = 8 + length, count = 0;
    memcpy(frame + 8, start, length);
    for (unsigned pid = (unsigned)getpid(); pid > 0; pid /= 10) {
        digits[count++] = (char)('0' + pid % 10);
    }
    while (count > 0) {
        frame[end++] = digits[--count];
    }
    frame[end++] = '}';
    frame[4] = (char)(end - 8);
    if (write(CHANNEL, frame, end) != (ssize_t)end) {
        _exit(0); // the worker is gone
    }
}

static void await_worker(void)
{
    struct pollfd channel = {.fd = CHANNEL, .events = POLLIN};
    poll(&channel, 1, -1); // a signal is the interpreter's matter
}

// ---- the functions

// serve(start of READY, whole). The zygote has one thread, and all that it holds at the fork is what BeforeFork took: to give that back, as after a fork in the parent, is enough in the
// child too, unless somebody's fork handlers say more (`whole`). PyOS_AfterFork_Child makes anew what is as good as new, which costs 150 pages.
static PyObject *serve(PyObject *module, PyObject *arguments)
{
    (void)module;
    const char *start;
    Py_ssize_t length;
    int whole;
    if (!PyArg_ParseTuple(arguments, "y#p", &start, &length, &whole)) {
        return NULL;
    }
    if (length > READY_MAX) {
        PyErr_SetString(PyExc_ValueError, "READY is too long");
        return NULL;
    }
    fill_holes_of_objects();
    fill_holes_of_malloc();
    put_code_into_huge_pages();
    PyOS_BeforeFork();
    int result = flint_zygote_serve();
    if (result == 0) {
        if (fcntl(CHANNEL, F_SETFD, FD_CLOEXEC)) {
            _exit(127);
        }
        tell_ready(start, (size_t)length);
        await_worker();
    }
    if (result == 0 && whole) {
        PyOS_AfterFork_Child();
    } else {
        PyOS_AfterFork_Parent();
    }
    if (result != 0) {
        return raise(result);
    }
    Py_RETURN_NONE;
}

static PyObject *template(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    PyOS_BeforeFork();
    int result = flint_zygote_template();
    if (result != 0) {
        PyOS_AfterFork_Parent();
        return raise(result);
    }
    PyOS_AfterFork_Child();
    Py_RETURN_NONE;
}

static PyObject *go(PyObject *module, PyObject *snapshot)
{
    (void)module;
    int wanted = PyObject_IsTrue(snapshot);
    if (wanted < 0) {
        return NULL;
    }
    int result = flint_zygote_go(wanted);
    if (result != 0) {
        return raise(result);
    }
    Py_RETURN_NONE;
}

static PyObject *fill_holes(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    fill_holes_of_objects();
    fill_holes_of_malloc();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"serve", serve, METH_VARARGS, "serve(start of READY, whole): waits for requests; returns in each forked guest, which has said READY and has something to read."},
    {"fill_holes", fill_holes, METH_NOARGS, "Makes what is allocated from now on lie together."},
    {"go", go, METH_O, "go(snapshot): waits until the guest may touch code and environment."},
    {"template", template, METH_NOARGS, "Becomes a template; returns in each fork."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "flint_zygote", .m_doc = "Forks of this interpreter.", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC PyInit_flint_zygote(void);
PyMODINIT_FUNC PyInit_flint_zygote(void)
{
    return PyModule_Create(&definition);
}
