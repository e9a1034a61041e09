using System.Text.Json.Serialization;
using Flint.Contracts.DeadLetters;
using Flint.Contracts.Errors;
using Flint.Contracts.Functions;
using Flint.Contracts.Host;
using Flint.Contracts.Invocations;
using Flint.Contracts.Jobs;
using Flint.Contracts.Schedules;
using Flint.Contracts.Workers;

namespace Flint.Contracts;

/// <summary>How the API's JSON is written: camelCase, absent instead of null, unknown and repeated members refused.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    AllowDuplicateProperties = false,
    MaxDepth = 32,
    Converters = [typeof(Timestamp)])]
[JsonSerializable(typeof(CreateFunctionRequest))]
[JsonSerializable(typeof(UpdateCodeRequest))]
[JsonSerializable(typeof(UpdateFunctionRequest))]
[JsonSerializable(typeof(PublishVersionRequest))]
[JsonSerializable(typeof(CreateAliasRequest))]
[JsonSerializable(typeof(UpdateAliasRequest))]
[JsonSerializable(typeof(FunctionView))]
[JsonSerializable(typeof(VersionView))]
[JsonSerializable(typeof(AliasView))]
[JsonSerializable(typeof(Page<FunctionView>))]
[JsonSerializable(typeof(Page<VersionView>))]
[JsonSerializable(typeof(Page<AliasView>))]
[JsonSerializable(typeof(Page<InvocationRecord>))]
[JsonSerializable(typeof(InvocationRecord))]
[JsonSerializable(typeof(SubmitJobRequest))]
[JsonSerializable(typeof(IReadOnlyList<SubmitJobRequest>))]
[JsonSerializable(typeof(JobRecord))]
[JsonSerializable(typeof(JobPage))]
[JsonSerializable(typeof(BulkJobsAnswer))]
[JsonSerializable(typeof(AcceptedInvocation))]
[JsonSerializable(typeof(CreateScheduleRequest))]
[JsonSerializable(typeof(UpdateScheduleRequest))]
[JsonSerializable(typeof(ScheduleView))]
[JsonSerializable(typeof(Page<ScheduleView>))]
[JsonSerializable(typeof(DueTimesView))]
[JsonSerializable(typeof(DeadLetterListsView))]
[JsonSerializable(typeof(Page<DeadLetterView>))]
[JsonSerializable(typeof(RedriveAnswer))]
[JsonSerializable(typeof(PurgeAnswer))]
[JsonSerializable(typeof(RuntimesView))]
[JsonSerializable(typeof(HealthView))]
[JsonSerializable(typeof(WorkersView))]
[JsonSerializable(typeof(WorkerView))]
[JsonSerializable(typeof(FunctionQueueView))]
[JsonSerializable(typeof(Problem))]
[JsonSerializable(typeof(Dictionary<string, string>))]
public sealed partial class FlintJson : JsonSerializerContext;
