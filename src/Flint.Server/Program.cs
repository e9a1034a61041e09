using Flint.Data;
using Flint.Server.Hosting;

try
{
    if (args is ["doctor", .. var rest])
    {
        return await Doctor.RunAsync(rest, Console.Out, CancellationToken.None);
    }

    SocketThreads.Enable();
    await using var app = ServerHost.Build(args);
    await ServerHost.StartAsync(app, CancellationToken.None);
    await app.WaitForShutdownAsync();
    return 0;
}
catch (ConfigurationException exception)
{
    await Console.Error.WriteLineAsync("Flint cannot start; its configuration has these problems:");
    foreach (var problem in exception.Problems)
    {
        await Console.Error.WriteLineAsync("  - " + problem);
    }

    return 2;
}
catch (Exception exception) when (exception is DatabaseException or SchemaException or IOException or UnauthorizedAccessException)
{
    await Console.Error.WriteLineAsync("Flint cannot start: " + exception.Message);
    return 1;
}
