namespace Flint.Server.Queue.Workers;

/// <summary>A job's unpacked code, which stays where it is until this is disposed, once.</summary>
/// <param name="Directory">Absolute; a child of the code root.</param>
/// <param name="Hash">Of what is in it.</param>
internal sealed record JobCodeLease(string Directory, string Hash, Action GiveBack) : IDisposable
{
    public void Dispose() => GiveBack();
}
