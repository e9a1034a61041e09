// The zygote's module for Node: guest/PROTOCOL.md, "Environment after a fork". V8's few C++ functions are bound by their mangled names, so that no V8 header is needed
// and a Node without one of them refuses to load this module instead of misbehaving.
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "flint_zygote.h"
#include "preload.h"

typedef size_t (*heap_limit_callback)(void *data, size_t current, size_t initial);

// Methods: the first argument is the object. v8::Isolate and v8::internal::Isolate are one object.
extern void *isolate_current(void) __asm__("_ZN2v87Isolate10GetCurrentEv");
extern void isolate_add_limit(void *isolate, heap_limit_callback callback, void *data)
    __asm__("_ZN2v87Isolate24AddNearHeapLimitCallbackEPFmPvmmES1_");
extern void isolate_remove_limit(void *isolate, heap_limit_callback callback, size_t limit)
    __asm__("_ZN2v87Isolate27RemoveNearHeapLimitCallbackEPFmPvmmEm");
extern void isolate_collect(void *isolate) __asm__("_ZN2v87Isolate21LowMemoryNotificationEv");
// A handle: a pointer to the tagged pointer.
extern const uintptr_t *isolate_context(void *isolate) __asm__("_ZN2v87Isolate17GetCurrentContextEv");
extern void *isolate_random(void *isolate) __asm__("_ZN2v88internal7Isolate23random_number_generatorEv");
extern void random_seed(void *generator, int64_t seed) __asm__("_ZN2v84base21RandomNumberGenerator7SetSeedEl");
extern void math_random_reset(uintptr_t context) __asm__("_ZN2v88internal10MathRandom12ResetContextENS0_7ContextE");

extern void **platform_current(void) __asm__("_ZN2v88internal2V818GetCurrentPlatformEv");
extern void platform_call(void *platform, void **task)
    __asm__("_ZN4node12NodePlatform18CallOnWorkerThreadESt10unique_ptrIN2v84TaskESt14default_deleteIS3_EE");
extern void platform_call_delayed(void *platform, void **task, double seconds)
    __asm__("_ZN4node12NodePlatform25CallDelayedOnWorkerThreadESt10unique_ptrIN2v84TaskESt14default_deleteIS3_EEd");

extern void platform_call_blocking(void *platform, void **task)
    __asm__("_ZN2v88Platform30CallBlockingTaskOnWorkerThreadESt10unique_ptrINS_4TaskESt14default_deleteIS2_EE");
extern void platform_call_low(void *platform, void **task)
    __asm__("_ZN2v88Platform33CallLowPriorityTaskOnWorkerThreadESt10unique_ptrINS_4TaskESt14default_deleteIS2_EE");
extern void platform_destroy(void *platform) __asm__("_ZN4node12NodePlatformD1Ev");
extern void platform_delete(void *platform) __asm__("_ZN4node12NodePlatformD0Ev");
// Takes a handle and gives what the context belongs to.
extern void *environment_current(const uintptr_t *context) __asm__("_ZN4node21GetCurrentEnvironmentEN2v85LocalINS0_7ContextEEE");
// Takes a std::function<void(Environment*, int)>.
extern void set_exit_handler(void *environment, void *function)
    __asm__("_ZN4node21SetProcessExitHandlerEPNS_11EnvironmentEOSt8functionIFvS1_iEE");

// Of C++ virtual tables: what lies before the first function, and where a task's deleting destructor is.
enum { TABLE_HEAD = 2, TABLE_SIZE = 64, DELETING_DESTRUCTOR = 1, TASK_RUN = 2 };

static napi_value fail(napi_env env, const char *what, int result)
{
    napi_throw_error(env, uv_err_name(result), what);
    return NULL;
}

static napi_value check(napi_env env, const char *what, int result)
{
    return result == 0 ? NULL : fail(env, what, result);
}

// ---- tasks for worker threads, which forks do not have

// Node counts what it has queued for its workers, and would wait for ever at the end of the event loop, since no worker comes. So its queue is not used. With
// --single-threaded V8's own thread does alone what it asks urgent help for (a full collection), so that such tasks are dropped. What is left is optimising
// WebAssembly: for that a thread is made, which ends with the last task. An idle process has no thread.
struct task {
    struct task *next;
    void *task;
};

static pthread_mutex_t tasks_lock = PTHREAD_MUTEX_INITIALIZER;
static struct task *tasks, **tasks_end = &tasks;
static bool tasks_running;

static void call_task(void *task, int function)
{
    ((void (*)(void *))(*(void ***)task)[function])(task);
}

static void drop_task(void *platform, void **task)
{
    (void)platform;
    void *taken = *task;
    *task = NULL;
    if (taken != NULL) {
        call_task(taken, DELETING_DESTRUCTOR);
    }
}

static void *run_tasks(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&tasks_lock);
        struct task *first = tasks;
        if (first == NULL) {
            tasks_running = false;
            pthread_mutex_unlock(&tasks_lock);
            return NULL;
        }
        tasks = first->next;
        if (tasks == NULL) {
            tasks_end = &tasks;
        }
        pthread_mutex_unlock(&tasks_lock);
        call_task(first->task, TASK_RUN);
        call_task(first->task, DELETING_DESTRUCTOR);
        free(first);
    }
}

// Signals are the function's own thread's.
static bool start_running(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, run_tasks, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
        pthread_detach(thread);
    }
    return started;
}

static void run_task(void *platform, void **task)
{
    struct task *last = malloc(sizeof *last);
    if (last == NULL) {
        drop_task(platform, task);
        return;
    }
    *last = (struct task){.task = *task};
    *task = NULL;
    pthread_mutex_lock(&tasks_lock);
    *tasks_end = last;
    tasks_end = &last->next;
    // Without a thread it waits for the next task's: code that is not optimised runs all the same.
    tasks_running = tasks_running || start_running();
    pthread_mutex_unlock(&tasks_lock);
}

// In a fork: the thread is not there.
static void forget_tasks(void)
{
    pthread_mutex_init(&tasks_lock, NULL);
    tasks = NULL;
    tasks_end = &tasks;
    tasks_running = false;
}

static void drop_delayed_task(void *platform, void **task, double seconds)
{
    (void)seconds;
    drop_task(platform, task);
}

// What the process will end with when it ends because nothing is left to run; JavaScript sets it.
static int last_status;

// The last that Node takes down. Its parts are still waited for by threads that do not exist, so that would never end.
static void leave_instead(void *platform)
{
    (void)platform;
    exit(last_status);
}

// Gives Node's platform a virtual table of our own. False when it has not the functions that are to be replaced.
static bool replace_workers(void)
{
    static void *table[TABLE_HEAD + TABLE_SIZE];
    static void *const functions[][2] = {
        {(void *)platform_call, (void *)run_task},
        {(void *)platform_call_blocking, (void *)drop_task},
        {(void *)platform_call_low, (void *)drop_task},
        {(void *)platform_call_delayed, (void *)drop_delayed_task},
        {(void *)platform_destroy, (void *)leave_instead},
        {(void *)platform_delete, (void *)leave_instead},
    };
    void **platform = platform_current();
    memcpy(table, (void **)*platform - TABLE_HEAD, sizeof table);
    unsigned replaced = 0;
    for (int i = TABLE_HEAD; i < TABLE_HEAD + TABLE_SIZE; i++) {
        for (unsigned f = 0; f < sizeof functions / sizeof *functions; f++) {
            if (table[i] == functions[f][0] && !(replaced & 1U << f)) {
                table[i] = functions[f][1];
                replaced |= 1U << f;
            }
        }
    }
    if (replaced != (1U << sizeof functions / sizeof *functions) - 1) {
        return false;
    }
    *platform = table + TABLE_HEAD;
    return true;
}

// ---- the end of a fork

// As libstdc++ lays out a std::function: what is called gets references to the arguments.
struct exit_function {
    void *data[2];
    bool (*manage)(void *to, const void *from, int operation);
    void (*call)(const void *data, void **environment, int *status);
};

static bool manage_nothing(void *to, const void *from, int operation)
{
    (void)to;
    (void)from;
    (void)operation;
    return false;
}

static void exit_now(const void *data, void **environment, int *status)
{
    (void)data;
    (void)environment;
    exit(*status);
}

// Where Node ends the process by itself, it would first take down its platform; flint_preload_forked makes exit() leave at once.
static void replace_exit(void)
{
    struct exit_function function = {.manage = manage_nothing, .call = exit_now};
    set_exit_handler(environment_current(isolate_context(isolate_current())), &function);
}

// ---- a fork

// Math.random starts anew from the kernel's entropy, here and in contexts that are yet to be made. The generator's own seed has 64 bits; the flag --random-seed has
// 31, and would give one sequence to every worker and every context.
static int reseed(void)
{
    int64_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) {
        return -EIO;
    }
    void *isolate = isolate_current();
    random_seed(isolate_random(isolate), seed);
    math_random_reset(*isolate_context(isolate));
    return 0;
}

static int settle(napi_env env)
{
    uv_loop_t *loop;
    flint_preload_forked();
    forget_tasks();
    replace_exit();
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
        return -EINVAL;
    }
    int result = uv_loop_fork(loop);
    if (result == 0) {
        // That the pool's work is done was told by a descriptor which the fork has anew.
        result = uv_async_send(&loop->wq_async);
    }
    // No child process may have the channel.
    if (result == 0 && fcntl(3, F_SETFD, FD_CLOEXEC)) {
        result = -errno;
    }
    return result != 0 ? result : reseed();
}

// Returns the fork's pid to JavaScript: process.pid is the zygote's.
static napi_value fork_through(napi_env env, const char *what, int (*become)(void))
{
    napi_value pid = NULL;
    int result = become();
    if (result == 0) {
        result = settle(env);
    }
    if (result != 0) {
        return fail(env, what, result);
    }
    return napi_create_int32(env, getpid(), &pid) == napi_ok ? pid : NULL;
}

static napi_value serve(napi_env env, napi_callback_info info)
{
    (void)info;
    return fork_through(env, "serve", flint_zygote_serve);
}

static napi_value template(napi_env env, napi_callback_info info)
{
    (void)info;
    return fork_through(env, "template", flint_zygote_template);
}

// How much was begun that is not done: what the pool works on would be lost in a fork.
static napi_value pending(napi_env env, napi_callback_info info)
{
    uv_loop_t *loop;
    napi_value number = NULL;
    (void)info;
    return napi_get_uv_event_loop(env, &loop) == napi_ok && napi_create_uint32(env, loop->active_reqs.count, &number) == napi_ok ? number : NULL;
}

static napi_value first_argument(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value value = NULL;
    return napi_get_cb_info(env, info, &count, &value, NULL, NULL) == napi_ok && count > 0 ? value : NULL;
}

static int32_t integer_argument(napi_env env, napi_callback_info info)
{
    int32_t number = 0;
    napi_value value = first_argument(env, info);
    return value != NULL && napi_get_value_int32(env, value, &number) == napi_ok ? number : -1;
}

static napi_value go(napi_env env, napi_callback_info info)
{
    bool snapshot = false;
    napi_value value = first_argument(env, info);
    if (value == NULL || napi_get_value_bool(env, value, &snapshot) != napi_ok) {
        return fail(env, "go: a boolean is wanted", UV_EINVAL);
    }
    return check(env, "go", flint_zygote_go(snapshot));
}

static napi_value leave(napi_env env, napi_callback_info info)
{
    exit(integer_argument(env, info) & 0xff);
}

static napi_value will_exit(napi_env env, napi_callback_info info)
{
    last_status = integer_argument(env, info) & 0xff;
    return NULL;
}

static size_t never_called(void *data, size_t current, size_t initial)
{
    (void)data;
    (void)initial;
    return current;
}

static napi_value limit_heap(napi_env env, napi_callback_info info)
{
    int32_t megabytes = integer_argument(env, info);
    if (megabytes < 1) {
        return fail(env, "limitHeap: megabytes are wanted", UV_EINVAL);
    }
    void *isolate = isolate_current();
    isolate_add_limit(isolate, never_called, NULL);
    isolate_remove_limit(isolate, never_called, (size_t)megabytes << 20);
    return NULL;
}

// A stream to itself, by which the zygote plays a whole invocation before it serves.
static napi_value pair(napi_env env, napi_callback_info info)
{
    (void)info;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        return fail(env, "pair", -errno);
    }
    napi_value list, number;
    if (napi_create_array_with_length(env, 2, &list) != napi_ok) {
        return NULL;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (napi_create_int32(env, ends[i], &number) != napi_ok || napi_set_element(env, list, i, number) != napi_ok) {
            return NULL;
        }
    }
    return list;
}

// Where a buffer's bytes from an offset on are: (descriptor, buffer, offset).
static bool buffer_arguments(napi_env env, napi_callback_info info, int *descriptor, char **bytes, size_t *length)
{
    size_t count = 3;
    napi_value values[3];
    uint32_t offset;
    void *start;
    if (napi_get_cb_info(env, info, &count, values, NULL, NULL) != napi_ok || count < 3
        || napi_get_value_int32(env, values[0], descriptor) != napi_ok || napi_get_buffer_info(env, values[1], &start, length) != napi_ok
        || napi_get_value_uint32(env, values[2], &offset) != napi_ok || offset > *length) {
        return false;
    }
    *bytes = (char *)start + offset;
    *length -= offset;
    return true;
}

// Sleeps in poll(): who sleeps in a unix socket's read() is also woken, for nothing, when the other side takes what was written.
static napi_value receive(napi_env env, napi_callback_info info)
{
    struct pollfd stream = {.events = POLLIN};
    char *bytes;
    size_t length;
    if (!buffer_arguments(env, info, &stream.fd, &bytes, &length)) {
        return fail(env, "receive: a descriptor, a buffer and an offset are wanted", UV_EINVAL);
    }
    ssize_t got;
    do {
        got = poll(&stream, 1, -1) < 0 ? -1 : read(stream.fd, bytes, length);
    } while (got < 0 && errno == EINTR);
    napi_value count;
    return got < 0 ? fail(env, "receive", -errno) : napi_create_int64(env, got, &count) == napi_ok ? count : NULL;
}

static napi_value collect(napi_env env, napi_callback_info info)
{
    (void)env;
    (void)info;
    isolate_collect(isolate_current());
    return NULL;
}

static napi_value init(napi_env env, napi_value exports)
{
    const napi_property_descriptor properties[] = {
        {"serve", NULL, serve, NULL, NULL, NULL, napi_default, NULL},
        {"go", NULL, go, NULL, NULL, NULL, napi_default, NULL},
        {"template", NULL, template, NULL, NULL, NULL, napi_default, NULL},
        {"pending", NULL, pending, NULL, NULL, NULL, napi_default, NULL},
        {"exit", NULL, leave, NULL, NULL, NULL, napi_default, NULL},
        {"willExit", NULL, will_exit, NULL, NULL, NULL, napi_default, NULL},
        {"limitHeap", NULL, limit_heap, NULL, NULL, NULL, napi_default, NULL},
        {"pair", NULL, pair, NULL, NULL, NULL, napi_default, NULL},
        {"receive", NULL, receive, NULL, NULL, NULL, napi_default, NULL},
        {"collect", NULL, collect, NULL, NULL, NULL, napi_default, NULL},
    };
    if (!replace_workers()) {
        return fail(env, "this Node's platform is of another make", UV_ENOTSUP);
    }
    if (napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties) != napi_ok) {
        return NULL;
    }
    return exports;
}
NAPI_MODULE(flint_zygote, init)
