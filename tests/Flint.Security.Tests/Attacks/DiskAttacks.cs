namespace Flint.Security.Tests.Attacks;

/// <summary>Group 4: programs that fill the private /tmp, write elsewhere, or leave what is hard to clear away.</summary>
internal static class DiskAttacks
{
    public static IReadOnlyList<Attack> All { get; } =
    [
        new(4, "fills /tmp", "disk.fill_tmp")
        {
            Control = """{"mb":16}""",
            Hostile = """{"mb":96}""",
            Wall = "tmp",
        },
        new(4, "inode bomb", "disk.inode_bomb")
        {
            Control = """{"files":100}""",
            Hostile = """{"files":9000}""",
            Wall = "tmp",
        },
        new(4, "blocks of a sparse terabyte", "disk.fallocate")
        {
            In = Languages.Python,
            Control = """{"sizeMb":1048576,"mb":16}""",
            Hostile = """{"sizeMb":1048576,"mb":96}""",
            Wall = "tmp",
        },
        new(4, "fills any other place", "disk.other_folders")
        {
            In = Languages.Python,
            Control = """{"elsewhere":false}""",
            Hostile = """{"elsewhere":true}""",
            Structural = "the root is read-only and host files belong to uids that the sandbox does not have",
        },
        new(4, "plants a file in its code", "disk.plant_in_code")
        {
            Control = """{"path":"/tmp/planted"}""",
            Hostile = """{"path":"/var/task/planted"}""",
            Wall = "readonly",
        },
        new(4, "tree of 10,000 levels", "disk.deep_tree")
        {
            Control = """{"levels":5}""",
            Hostile = """{"levels":10000}""",
            Held = Held.Contained,
            TmpMb = 128,
            Structural = "/tmp is a file system of its own that vanishes whole; nobody walks it",
        },
        new(4, "hostile names and links", "disk.hostile_names")
        {
            In = Languages.Python,
            Held = Held.Contained,
            Structural = "/tmp is a file system of its own that vanishes whole; nobody walks it",
        },
    ];
}
