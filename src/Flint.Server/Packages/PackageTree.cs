using System.Text;
using Flint.Server.Services;

namespace Flint.Server.Packages;

/// <summary>
/// The tree that a package will unpack to, known before anything is written: each path once, parents that are directories, and
/// links that end inside, whatever other links they pass through.
/// </summary>
internal sealed class PackageTree
{
    /// <summary>Linux's PATH_MAX, less its terminating byte.</summary>
    public const int MaxTarget = 4095;

    /// <summary>Links followed in one path; Linux's limit.</summary>
    private const int MaxHops = 40;

    /// <summary>
    /// Components in one walk, all its links' targets together: what one path of PATH_MAX has at most. Without a bound, a small archive of links with long targets
    /// takes hours to check.
    /// </summary>
    private const int MaxSteps = 2048;

    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    private readonly Dictionary<string, ZipEntryKind> _kinds = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _targets = new(StringComparer.Ordinal);
    private readonly HashSet<string> _implied = new(StringComparer.Ordinal);

    /// <summary>Components of the deepest link's path: nothing that lies deeper needs to be looked up.</summary>
    private int _deepestLink;

    private readonly PackagesOptions _limits;

    /// <summary>
    /// Places entries; throws <see cref="RefusedException"/> for a path that is there twice or lies beneath a file or a link, and for more entries than
    /// are taken, with the directories that their names imply.
    /// </summary>
    public PackageTree(IReadOnlyList<ZipEntry> entries, PackagesOptions limits)
    {
        _limits = limits;
        foreach (var entry in entries)
        {
            var named = !_kinds.TryAdd(entry.Path, entry.Kind);
            // A directory may be named after an entry beneath it has implied it, once.
            if (named && !(entry.Kind == ZipEntryKind.Directory && _implied.Remove(entry.Path)))
            {
                throw new RefusedException("duplicate_entry", "Two entries have the same name.", EntryNames.Escape(entry.Path));
            }

            AddParents(entry.Path);
        }
    }

    /// <summary>Takes a link's target as the archive has it.</summary>
    public string AddTarget(ZipEntry link, ReadOnlySpan<byte> raw)
    {
        var shown = EntryNames.Escape(link.Path);
        string target;
        try
        {
            target = Strict.GetString(raw);
        }
        catch (DecoderFallbackException)
        {
            throw Unsafe("is not UTF-8", shown);
        }

        if (target.Length == 0 || target.Any(c => char.IsControl(c) || c == '\\'))
        {
            throw Unsafe("is empty or has a control character or a backslash", shown);
        }

        if (target[0] == '/')
        {
            throw Unsafe("is absolute", shown);
        }

        _targets[link.Path] = target;
        _deepestLink = Math.Max(_deepestLink, link.Path.Count(static c => c == '/') + 1);
        return target;
    }

    /// <summary>Follows every link, once all targets are known. Throws when one leaves the package at any step, or goes in circles.</summary>
    public void CheckLinks()
    {
        foreach (var (path, _) in _targets)
        {
            Resolve(path);
        }
    }

    public static RefusedException Unsafe(string why, string shown) =>
        new("unsafe_link", $"A symbolic link's target {why}. Links must be relative and stay inside the package.", shown);

    private void AddParents(string path)
    {
        for (var slash = path.LastIndexOf('/'); slash > 0; slash = path.LastIndexOf('/', slash - 1))
        {
            var parent = path[..slash];
            if (_kinds.TryGetValue(parent, out var kind))
            {
                if (kind != ZipEntryKind.Directory)
                {
                    throw new RefusedException("entry_through_link_or_file", "An entry lies beneath another entry that is a link or a file.",
                        EntryNames.Escape(path));
                }

                return;
            }

            _kinds[parent] = ZipEntryKind.Directory;
            _implied.Add(parent);
            if (_kinds.Count > _limits.MaxEntries)
            {
                throw ZipDirectory.TooMany("entries and directories that their names imply", _kinds.Count, _limits);
            }
        }
    }

    /// <summary>Walks as the kernel does: component by component, links expanded in place. What does not exist is walked by name.</summary>
    private void Resolve(string link)
    {
        var shown = EntryNames.Escape(link);
        var at = new List<string>();
        var pending = new Stack<string>(link.Split('/').Reverse());
        int hops = 0, steps = pending.Count;
        while (pending.TryPop(out var part))
        {
            if (part is "" or ".")
            {
                continue;
            }

            if (part == "..")
            {
                if (at.Count == 0)
                {
                    throw Unsafe("leaves the package", shown);
                }

                at.RemoveAt(at.Count - 1);
                continue;
            }

            at.Add(part);
            if (at.Count > _deepestLink || !_targets.TryGetValue(string.Join('/', at), out var target))
            {
                continue;
            }

            if (++hops > MaxHops)
            {
                throw Unsafe("goes in circles", shown);
            }

            at.RemoveAt(at.Count - 1);
            var parts = target.Split('/');
            steps += parts.Length;
            if (steps > MaxSteps)
            {
                throw Unsafe($"goes through more than {MaxSteps} components", shown);
            }

            foreach (var step in parts.Reverse())
            {
                pending.Push(step);
            }
        }
    }
}
