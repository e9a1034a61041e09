// The zygote's module for CPython: guest/PROTOCOL.md, "Environment after a fork". One library for every 3.9 and newer.
#define Py_LIMITED_API 0x03090000
#include <Python.h>

#include <errno.h>

#include "flint_zygote.h"

static PyObject *raise(int result)
{
    errno = -result;
    return PyErr_SetFromErrno(PyExc_OSError);
}

// The interpreter's own steps around a fork, which are made by C far below it.
static PyObject *fork_through(int (*become)(void))
{
    PyOS_BeforeFork();
    int result = become();
    if (result != 0) {
        PyOS_AfterFork_Parent();
        return raise(result);
    }
    PyOS_AfterFork_Child();
    Py_RETURN_NONE;
}

static PyObject *serve(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return fork_through(flint_zygote_serve);
}

static PyObject *template(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return fork_through(flint_zygote_template);
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
    {"serve", serve, METH_NOARGS, "Waits for requests; returns in each forked guest."},
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
