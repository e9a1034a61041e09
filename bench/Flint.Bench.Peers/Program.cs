using Flint.Bench.Peers;

// echo URL             answers the body that it got
// relay URL SOCKET     sends the body over a unix socket to Node and answers what comes back
if (args.Length < 2 || args[0] is not ("echo" or "relay") || (args[0] == "relay" && args.Length < 3))
{
    await Console.Error.WriteLineAsync("usage: Flint.Bench.Peers echo URL | relay URL SOCKET");
    return 2;
}

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
builder.WebHost.UseUrls(args[1]);
WebApplication app = builder.Build();

if (args[0] == "echo")
{
    app.MapPost("/", async context =>
    {
        byte[] body = await Bodies.ReadAsync(context.Request, context.RequestAborted);
        await Bodies.AnswerAsync(context.Response, body, context.RequestAborted);
    });
}
else
{
    await using RelayPool pool = new(args[2]);
    app.MapPost("/", async context =>
    {
        byte[] body = await Bodies.ReadAsync(context.Request, context.RequestAborted);
        byte[] answer = await pool.SendAsync(body, context.RequestAborted);
        await Bodies.AnswerAsync(context.Response, answer, context.RequestAborted);
    });
    await app.RunAsync();
    return 0;
}
await app.RunAsync();
return 0;
