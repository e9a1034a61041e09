using Flint.Runtime.Invocation;

namespace Flint.Runtime.Tests.Invocation;

public sealed class ConcurrencyGateTests
{
    [Fact]
    public void It_lets_in_as_many_as_it_may()
    {
        var gate = new ConcurrencyGate(2);
        gate.TryEnter().ShouldBeNull();
        gate.TryEnter().ShouldBeNull();
        gate.TryEnter()!.Type.ShouldBe(FaultType.Throttled);
        gate.Leave();
        gate.TryEnter().ShouldBeNull();
        gate.InFlight.ShouldBe(2);
    }

    [Fact]
    public void A_closed_gate_is_drained_when_the_last_has_left()
    {
        var gate = new ConcurrencyGate(2);
        gate.TryEnter();
        gate.Close();
        gate.TryEnter()!.Type.ShouldBe(FaultType.EngineUnavailable);
        gate.Drained.IsCompleted.ShouldBeFalse();
        gate.Leave();
        gate.Drained.IsCompleted.ShouldBeTrue();
    }

    [Fact]
    public async Task Closing_amid_traffic_always_drains()
    {
        for (var round = 0; round < 300; round++)
        {
            var gate = new ConcurrencyGate(3);
            var traffic = Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
            {
                for (var refusal = gate.TryEnter(); refusal is not { Type: FaultType.EngineUnavailable }; refusal = gate.TryEnter())
                {
                    if (refusal is null)
                    {
                        gate.Leave();
                    }
                }
            })));
            gate.Close();
            await traffic.WaitAsync(TimeSpan.FromSeconds(20));
            await gate.Drained.WaitAsync(TimeSpan.FromSeconds(20));
            gate.InFlight.ShouldBe(0);
        }
    }
}
