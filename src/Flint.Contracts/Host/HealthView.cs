namespace Flint.Contracts.Host;

/// <summary>Answer of <c>GET /health/ready</c>.</summary>
/// <param name="Status"><c>ready</c> (200) or <c>unready</c> (503).</param>
/// <param name="Checks">Each part.</param>
public sealed record HealthView(string Status, IReadOnlyList<HealthCheckView> Checks);

/// <summary>One part's health.</summary>
/// <param name="Name">Such as <c>store</c>, <c>engine:native</c>, <c>history</c>.</param>
/// <param name="Status"><c>ok</c>, <c>degraded</c> or <c>failed</c>; only the last makes the server unready.</param>
/// <param name="Detail">What was seen.</param>
/// <param name="Findings">What the host lacks, why it matters, and what helps.</param>
public sealed record HealthCheckView(string Name, string Status, string? Detail, IReadOnlyList<FindingView>? Findings);

/// <summary>Something that the host lacks.</summary>
public sealed record FindingView(string What, string Why, string Fix, string Severity);
