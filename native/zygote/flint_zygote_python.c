// The zygote's module for CPython: guest/PROTOCOL.md, "Environment after a fork". One library for every 3.9 and newer.
#define Py_LIMITED_API 0x03090000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
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

static PyMethodDef methods[] = {
    {"serve", serve, METH_VARARGS, "serve(start of READY, whole): waits for requests; returns in each forked guest, which has said READY and has something to read."},
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
