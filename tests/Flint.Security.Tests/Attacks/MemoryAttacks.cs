using Flint.Runtime.Invocation;

namespace Flint.Security.Tests.Attacks;

/// <summary>Group 2: programs that take memory. The wall is the sandbox's memory limit.</summary>
internal static class MemoryAttacks
{
    public static IReadOnlyList<Attack> All { get; } =
    [
        OverMemory("allocation bomb", "memory.alloc_bomb", Languages.Both, """{"mb":8}""", """{"mb":300}"""),
        OverMemory("touched mapping", "memory.mmap_touch", Languages.Python, """{"mb":8}""", """{"mb":300}"""),
        OverMemory("shared mapping, which is shmem as /tmp is", "memory.shared_mapping", Languages.Python, """{"mb":8}""", """{"mb":300}""") with
        {
            TmpMb = 512,
        },
        OverMemory("memfd, within the size of /tmp", "memory.memfd", Languages.Python, """{"mb":8}""", """{"mb":300}""") with { TmpMb = 512 },
        OverMemory("many processes that hold little each", "memory.fork_touch", Languages.Python,
            """{"mb":4,"children":2}""", """{"mb":50,"children":6}"""),
        OverMemory("recursion without limit", "memory.recursion", Languages.Python, """{"depth":100}""", """{"depth":1500000}"""),
        OverMemory("bytes queued in sockets", "memory.socket_buffers", Languages.Python,
            """{"pairs":2,"mb":1}""", """{"pairs":400,"mb":200}""") with
        {
            Held = Held.Ended,
            Wall = null,
            Structural = "the kernel bounds each socket's buffer; together they are charged to the sandbox",
        },
        OverMemory("large strings", "memory.string_bomb", Languages.Node, """{"mb":8}""", """{"mb":300}"""),
        Attack.Ended(2, "V8 heap bomb", "memory.heap_bomb", FaultType.OutOfMemory) with
        {
            In = Languages.Node,
            Control = """{"mb":4}""",
            Hostile = """{"mb":300}""",
            MemoryMb = 128,
            Loosen = static function => function with { MemoryMb = 1024 },
        },
        Attack.Ended(2, "JavaScript recursion without limit", "memory.recursion", FaultType.Unhandled) with
        {
            In = Languages.Node,
            Control = """{"depth":100}""",
            Hostile = """{"depth":10000000}""",
            Structural = "V8 ends it with a RangeError, which is the function's own",
        },
    ];

    private static Attack OverMemory(string name, string handler, Languages languages, string control, string hostile) =>
        Attack.Ended(2, name, handler, FaultType.OutOfMemory) with
        {
            In = languages,
            Control = control,
            Hostile = hostile,
            MemoryMb = 128,
            Wall = "memory",
        };
}
