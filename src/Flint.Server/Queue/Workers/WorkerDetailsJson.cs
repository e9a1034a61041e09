using System.Text.Json.Serialization;
using Flint.Contracts.Workers;

namespace Flint.Server.Queue.Workers;

/// <summary>Workers' details as they are stored: members that a newer server tells are passed over.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(WorkerDetailsView))]
internal sealed partial class WorkerDetailsJson : JsonSerializerContext;
