using System.Text;
using Flint.Server.Packages;
using Flint.Server.Services;

namespace Flint.Server.Queue.Jobs;

/// <summary>A job's code as it is stored: one source text under a file's name, or a zip (<c>FileName</c> is null).</summary>
internal readonly record struct JobPackage(ReadOnlyMemory<byte> Source, string? FileName);

/// <summary>Makes what a worker unpacks from what was submitted, within the same rules as functions' code. Thread-safe.</summary>
internal sealed class JobPackages(JobOptions jobs, PackagesOptions packages)
{
    private const string Main = "main";

    private readonly PackagesOptions _limits = new()
    {
        MaxZipBytes = jobs.MaxCodeBytes + (long)jobs.MaxFiles * 2 * (packages.MaxNameBytes + 100),
        MaxUnzippedBytes = jobs.MaxUnzippedBytes,
        MaxEntries = jobs.MaxFiles,
        MaxCompressionRatio = packages.MaxCompressionRatio,
        MaxNameBytes = packages.MaxNameBytes,
        MaxDepth = packages.MaxDepth,
    };

    /// <summary>The path of one of several files. Throws <see cref="RefusedException"/> as for an archive's entry.</summary>
    public static string CheckName(ReadOnlySpan<byte> name, PackagesOptions limits)
    {
        try
        {
            var path = EntryNames.Check(name, limits);
            return name.EndsWith("/"u8) ? throw new RefusedException("unsafe_entry_name", "A file's name ends with a slash.", EntryNames.Escape(path)) : path;
        }
        catch (RefusedException refused)
        {
            throw refused.In("files");
        }
    }

    /// <summary>Completes at once for one source text. Throws <see cref="RefusedException"/>.</summary>
    public ValueTask<JobPackage> MakeAsync(JobRequest request, string runtime, string handler, CancellationToken cancellationToken)
    {
        var given = (request.Code is null ? 0 : 1) + (request.Files is null ? 0 : 1) + (request.Zip is null ? 0 : 1);
        if (given != 1)
        {
            throw given == 0
                ? new RefusedException("missing_field", "A job needs its code: the member code, files or zip.", field: "code")
                : new RefusedException("invalid_code", "A job's code is exactly one of code, files and zip.", field: request.Code is null ? "files" : "code");
        }

        return request.Code is { } code ? new(OneFile(code, runtime, handler)) : new(SeveralAsync(request, runtime, handler, cancellationToken));
    }

    private static JobPackage OneFile(ReadOnlyMemory<byte> code, string runtime, string handler)
    {
        if (code.IsEmpty)
        {
            throw new RefusedException("empty_code", "The code is empty.", field: "code");
        }

        if (Handlers.Module(runtime, handler) != Main)
        {
            throw new RefusedException("invalid_handler", "One source text is the module main: its handler is main and the function's name, as in main.run.", field: "handler");
        }

        return new JobPackage(code, Handlers.IsPython(runtime) ? "main.py" : IsModule(code.Span) ? "main.mjs" : "main.js");
    }

    /// <summary>Most code has neither word, and need not be read again.</summary>
    private static bool IsModule(ReadOnlySpan<byte> code) =>
        (code.IndexOf("import"u8) >= 0 || code.IndexOf("export"u8) >= 0) && EcmaScriptSyntax.IsModule(Encoding.UTF8.GetString(code));

    private async Task<JobPackage> SeveralAsync(JobRequest request, string runtime, string handler, CancellationToken cancellationToken)
    {
        var field = request.Files is null ? "zip" : "files";
        try
        {
            var zip = request.Files is { } files ? Pack(files) : request.Zip!.Value;
            if (request.Zip is not null && zip.Length > jobs.MaxCodeBytes)
            {
                throw JobValues.TooMuchCode(field, zip.Length, jobs.MaxCodeBytes);
            }

            // It unpacks all of it, which is no work for a thread that others wait for.
            await Hosting.SocketThreads.Leave();
            await PackageUnpacker.CheckAsync(zip, _limits, cancellationToken).ConfigureAwait(false);
            var names = ZipDirectory.Read(zip.Span, _limits).Where(entry => entry.Kind != ZipEntryKind.Directory).Select(entry => entry.Path).ToHashSet(StringComparer.Ordinal);
            if (!Candidates(runtime, handler).Any(names.Contains))
            {
                throw new RefusedException("missing_module", $"The handler's module is not among the files; looked for {string.Join(", ", Candidates(runtime, handler))}.", field: field);
            }

            return new JobPackage(zip, null);
        }
        catch (RefusedException refused)
        {
            throw Own(refused, field);
        }
    }

    private static byte[] Pack(IReadOnlyList<KeyValuePair<string, ReadOnlyMemory<byte>>> files) =>
        files.Count > 0 ? StoredZip.Pack(files) : throw new RefusedException("empty_code", "There are no files.", field: "files");

    /// <summary>The paths that the module may have.</summary>
    public static IEnumerable<string> Candidates(string runtime, string handler)
    {
        var module = Handlers.Module(runtime, handler);
        return Handlers.IsPython(runtime)
            ? [module.Replace('.', '/') + ".py", module.Replace('.', '/') + "/__init__.py"]
            : [module + ".js", module + ".mjs", module + ".cjs"];
    }

    /// <summary>The same refusal, naming the limits of jobs.</summary>
    private static RefusedException Own(RefusedException refused, string field) => new(
        refused.Code, refused.Message, refused.Entry, refused.Field ?? field, refused.Limit,
        refused.Knob switch
        {
            "Flint:Packages:MaxZipBytes" => "Flint:Jobs:MaxCodeBytes",
            "Flint:Packages:MaxUnzippedBytes" => "Flint:Jobs:MaxUnzippedBytes",
            "Flint:Packages:MaxEntries" => "Flint:Jobs:MaxFiles",
            _ => refused.Knob,
        });
}
