using System.Text.Json;
using Flint.Runtime.Invocation;

namespace Flint.Security.Tests.Attacks;

/// <summary>Group 12: programs that speak to the worker past the bootstrap. The walls are checks of the worker's, without a switch.</summary>
internal static class ProtocolAttacks
{
    private const string Check = "a check of the worker's, which has no switch; its unit tests show that it is what refuses";
    private static readonly FaultType[] Violation = [FaultType.ProtocolViolation];

    public static IReadOnlyList<Attack> All { get; } =
    [
        Say("wrong nonce", Languages.Both, Violation),
        Say("zero nonce", Languages.Python, Violation),
        Say("error with wrong nonce", Languages.Python, Violation),
        Say("short result", Languages.Both, Violation),
        Say("unknown kind", Languages.Both, Violation),
        Say("worker's kind", Languages.Both, Violation),
        Say("init again", Languages.Both, Violation),
        Say("ready again", Languages.Python, Violation),
        Say("bad version", Languages.Both, Violation),
        Say("reserved bytes", Languages.Python, Violation),
        Say("4 GiB log", Languages.Both, Violation),
        Say("4 GiB error", Languages.Python, Violation),
        Say("4 GiB result", Languages.Both, FaultType.ResponseTooLarge),
        Say("result too large", Languages.Python, FaultType.ResponseTooLarge) with { Hostile = """{"say":"result too large","mb":100}""", MemoryMb = 512 },
        Say("log too large", Languages.Python, Violation),
        Say("empty log", Languages.Python, Violation),
        Say("bad log stream", Languages.Python, Violation),
        Say("garbage", Languages.Both, Violation),
        Say("http", Languages.Python, Violation),
        Say("half a header, exit", Languages.Both, FaultType.ExitedEarly),
        Say("half a body, exit", Languages.Python, FaultType.ExitedEarly),
        Say("half a body, sleep", Languages.Python, FaultType.TimedOut) with { TimeoutMs = 700 },
        Say("slow drip", Languages.Python, FaultType.TimedOut) with { TimeoutMs = 700 },
        Say("deep result", Languages.Python, FaultType.InvalidResponse),
        Say("broken result", Languages.Python, FaultType.InvalidResponse),
        Say("two values", Languages.Python, FaultType.InvalidResponse),
        Say("empty result", Languages.Python, FaultType.InvalidResponse),
        Say("invalid UTF-8", Languages.Python, FaultType.InvalidResponse),
        Say("NaN", Languages.Python, FaultType.InvalidResponse),
        Say("error of a made-up type", Languages.Python, FaultType.Unhandled),
        Say("error that is no object", Languages.Python, Violation),
        Say("error with wrong members", Languages.Python, FaultType.Unhandled, FaultType.ProtocolViolation),
        Say("deep error", Languages.Python, Violation),
        Early("result"),
        Early("init and result"),
        new(12, "frames on raw stdout and stderr", "protocol.raw_output")
        {
            Control = """{"what":"line","mb":0}""",
            Hostile = """{"what":"forged frame","mb":0}""",
            Structural = "the raw streams are pipes of their own, which nobody reads as protocol",
        },
        new(12, "frames on raw stdout with the true nonce", "protocol.raw_output")
        {
            In = Languages.Python,
            Control = """{"what":"line","mb":0}""",
            Hostile = """{"what":"forged frame with nonce","mb":0}""",
            Structural = "the raw streams are pipes of their own, which nobody reads as protocol",
        },
        new(12, "writes to every descriptor it can guess", "reads.write_descriptors")
        {
            In = Languages.Python,
            Control = """{"own":true}""",
            Hostile = """{"own":false}""",
            Structural = "all but 0 to 3 are closed before the guest starts",
        },
        Attack.Ended(12, "closes its channel", "protocol.close_streams", FaultType.ExitedEarly) with
        {
            Control = """{"numbers":[]}""",
            Hostile = """{"numbers":[3]}""",
            TimeoutMs = 3000,
            Structural = Check,
        },
        Attack.Ended(12, "closes descriptors 0 to 3", "protocol.close_streams", FaultType.ExitedEarly) with
        {
            In = Languages.Python,
            Control = """{"numbers":[]}""",
            Hostile = """{"numbers":[0,1,2,3]}""",
            TimeoutMs = 3000,
            Structural = Check,
        },
        Attack.Ended(12, "puts another socket in its channel's place", "protocol.swap_channel", FaultType.ExitedEarly, FaultType.TimedOut) with
        {
            In = Languages.Python,
            Control = """{"swap":false}""",
            Hostile = """{"swap":true}""",
            TimeoutMs = 1500,
            Structural = Check,
        },
        Attack.Ended(12, "returns 100 MB", "protocol.large_result", FaultType.ResponseTooLarge) with
        {
            Control = """{"mb":1}""",
            Hostile = """{"mb":100}""",
            MemoryMb = 1024,
            TimeoutMs = 30_000,
            Structural = Check,
        },
        Attack.Ended(12, "returns 500 levels", "protocol.deep_result", FaultType.InvalidResponse) with
        {
            Control = """{"depth":50}""",
            Hostile = """{"depth":500}""",
            Structural = Check,
        },
        Attack.Ended(12, "returns itself", "protocol.odd_result", FaultType.InvalidResponse, FaultType.Unhandled) with
        {
            In = Languages.Python,
            Control = """{"value":"plain"}""",
            Hostile = """{"value":"cyclic"}""",
            Structural = Check,
        },
        Attack.Ended(12, "returns what JSON cannot hold", "protocol.odd_result", FaultType.InvalidResponse, FaultType.Unhandled) with
        {
            In = Languages.Python,
            Control = """{"value":"plain"}""",
            Hostile = """{"value":"nan"}""",
            Structural = Check,
        },
    ];

    private static Attack Say(string what, Languages languages, params FaultType[] faults) =>
        Attack.Ended(12, $"says: {what}", "protocol.speak", faults) with
        {
            In = languages,
            Control = """{"say":"log"}""",
            Hostile = JsonSerializer.Serialize(new { say = what }),
            TimeoutMs = 5000,
            Structural = Check,
        };

    private static Attack Early(string what) => Attack.Ended(12, $"speaks while it is imported: {what}", "protocol_early.handler", FaultType.ProtocolViolation) with
    {
        In = Languages.Python,
        HostileEnvironment = ("SAY", what),
        Structural = Check,
    };
}
