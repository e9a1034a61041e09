namespace Flint.Engines.Native;

/// <summary>The operations of the launcher's control socket (native/LAUNCHER.md).</summary>
internal enum LauncherOp : ushort
{
    Make = 0x01,
    Start = 0x02,
    Kill = 0x03,
    Zygote = 0x04,
    Retire = 0x05,
    Snapshot = 0x06,
    Renew = 0x07,
    Hello = 0x81,
    Ready = 0x82,
    Failed = 0x83,
    Exited = 0x84,
    Gone = 0x85,
    ZygoteReady = 0x86,
    ZygoteGone = 0x87,
    Forked = 0x88,
    ForkExited = 0x89,
    Unsafe = 0x8a,
    Egress = 0x8b,
}
