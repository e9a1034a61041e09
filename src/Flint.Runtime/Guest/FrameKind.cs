namespace Flint.Runtime.Guest;

/// <summary>The kinds of guest/PROTOCOL.md; those from 0x80 on travel to the worker.</summary>
internal enum FrameKind : byte
{
    Init = 0x01,
    Invoke = 0x02,
    Ready = 0x81,
    InitOk = 0x82,
    InitError = 0x83,
    Log = 0x84,
    Result = 0x85,
    Error = 0x86,
}

/// <summary>The kinds that are legal in a state of the connection.</summary>
[Flags]
internal enum FrameKinds
{
    None = 0,
    Ready = 1 << 1,
    InitOk = 1 << 2,
    InitError = 1 << 3,
    Log = 1 << 4,
    Result = 1 << 5,
    Error = 1 << 6,
    WhileInit = Log | InitOk | InitError,
    WhileInvoking = Log | Result | Error,
}
