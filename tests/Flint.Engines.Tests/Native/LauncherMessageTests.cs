using Flint.Engines.Native;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Tests.Native;

/// <summary>The bytes of native/LAUNCHER.md.</summary>
public sealed class LauncherMessageTests
{
    [Fact]
    public void Make_names_tenant_zygote_and_network()
    {
        Hex(LauncherRequests.Make(7, "ab", 3, NetworkAccess.Egress)).ShouldBe("02000100" + "07000000" + "02000000" + "6162" + "03000000" + "01000000");
        Hex(LauncherRequests.Make(7, "ab", 0, NetworkAccess.None)).ShouldEndWith("6162" + "00000000" + "00000000");
    }

    [Fact]
    public void Start_begins_with_its_flags()
    {
        var start = new GuestStart
        {
            Snapshot = true,
            MemoryMb = 128,
            TmpMb = 64,
            PidsMax = 3,
            CpuWeight = 7,
            CpuQuotaMilli = 1000,
            MaxFiles = 5,
            CodeName = "c",
            Arguments = ["x"],
            Environment = ["A=1", "B="],
        };
        Hex(LauncherRequests.Start(1, start)).ShouldBe(
            "02000200" + "01000000" + "01000000" + "80000000" + "40000000" + "03000000" + "07000000" + "e8030000" + "05000000"
            + "01000000" + "63" + "09000000" + Hex("/var/task"u8.ToArray()) + "01000000" + "01000000" + "78"
            + "02000000" + "03000000" + Hex("A=1"u8.ToArray()) + "02000000" + Hex("B="u8.ToArray()));
        Hex(LauncherRequests.Start(1, start with { Snapshot = false })).ShouldStartWith("02000200" + "01000000" + "00000000" + "80000000");
    }

    [Fact]
    public void A_forked_guest_is_started_without_arguments_and_environment()
    {
        var start = new GuestStart { MemoryMb = 1, TmpMb = 1, PidsMax = 1, CpuWeight = 1, CpuQuotaMilli = 0, MaxFiles = 8, CodeName = "c" };
        Hex(LauncherRequests.Start(1, start)).ShouldEndWith(Hex("/var/task"u8.ToArray()) + "00000000" + "00000000");
    }

    [Fact]
    public void Text_is_utf8_and_its_length_in_bytes()
    {
        Hex(LauncherRequests.Make(1, "é", 0, NetworkAccess.None)).ShouldContain("02000000" + "c3a9");
    }

    [Theory]
    [InlineData(3, "02000300")]
    [InlineData(5, "02000500")]
    [InlineData(6, "02000600")]
    [InlineData(7, "02000700")]
    public void Messages_without_a_body_are_their_header(int op, string bytes)
    {
        Hex(LauncherRequests.Bare((LauncherOp)op, 258)).ShouldBe(bytes + "02010000");
    }

    [Fact]
    public void Zygote_names_arguments_and_environment()
    {
        Hex(LauncherRequests.Zygote(9, ["p", "q"], ["L=x"])).ShouldBe(
            "02000400" + "09000000" + "02000000" + "01000000" + "70" + "01000000" + "71" + "01000000" + "03000000" + Hex("L=x"u8.ToArray()));
    }

    [Fact]
    public void More_than_the_launcher_takes_is_refused_with_the_limit()
    {
        var start = new GuestStart
        {
            MemoryMb = 1,
            TmpMb = 1,
            PidsMax = 1,
            CpuWeight = 1,
            CpuQuotaMilli = 0,
            MaxFiles = 8,
            CodeName = "c",
            Environment = [new string('x', 131072)],
        };
        Should.Throw<EngineException>(() => LauncherRequests.Start(1, start)).Message.ShouldContain("131072");
    }

    [Fact]
    public void An_event_is_read_field_by_field()
    {
        var message = new LauncherEvent(Bytes("02008a00" + "05000000" + "02000000" + "01000000" + "78" + "00000000" + "2a000000"));
        message.Op.ShouldBe(LauncherOp.Unsafe);
        message.Id.ShouldBe(5u);
        message.ReadList().ShouldBe(["x", ""]);
        message.ReadNumber().ShouldBe(42u);
    }

    [Theory]
    [InlineData("02008a0005000000ffffffff")]
    [InlineData("02008a000500000001000000")]
    [InlineData("02008a000500000001000000ffffffff")]
    [InlineData("02008a00050000000100")]
    public void A_list_that_ends_too_early_is_an_error(string bytes)
    {
        Should.Throw<InvalidDataException>(() => new LauncherEvent(Bytes(bytes)).ReadList());
    }

    [Fact]
    public void Another_protocol_is_refused_by_name()
    {
        Should.Throw<EngineException>(() => new LauncherEvent(Bytes("0100810000000000")).Id).Message.ShouldContain("protocol 1 and this server protocol 2");
        Should.Throw<EngineException>(() => LauncherHello.Parse("""{"protocol":3}""")).Message.ShouldContain("protocol 3");
        Should.Throw<InvalidDataException>(() => new LauncherEvent(Bytes("02008100")).Id);
    }

    private static string Hex(ReadOnlyMemory<byte> bytes) => Convert.ToHexStringLower(bytes.Span);

    private static byte[] Bytes(string hex) => Convert.FromHexString(hex);
}
