using System.Net;
using Flint.Engines.Native.Egress;

namespace Flint.Engines.Tests.Native.Egress;

public sealed class DnsPlacesTests
{
    private readonly DnsAskers _askers = new();

    [Fact]
    public void One_function_has_a_fifth_of_all_whatever_the_number_of_its_sandboxes()
    {
        var places = new DnsPlaces(100, 8, _askers);

        Fill(places, function: 1, sandboxes: 50).Count.ShouldBe(20);
    }

    [Fact]
    public void Functions_that_come_later_find_room()
    {
        var places = new DnsPlaces(512, 32, _askers);
        for (var function = 1; function <= 24; function++)
        {
            Fill(places, function, sandboxes: 20).Count.ShouldBeGreaterThan(0, $"function {function}");
        }
    }

    [Fact]
    public void When_all_are_taken_what_ends_is_not_for_whoever_has_many()
    {
        var places = new DnsPlaces(64, 32, _askers);
        var first = Fill(places, function: 1, sandboxes: 20);
        for (var function = 2; places.Taken < 64; function++)
        {
            Fill(places, function, sandboxes: 20);
        }

        places.Leave(first[0]);
        places.TryEnter(first[0].Sandbox).ShouldBeNull();
        Fill(places, function: 100, sandboxes: 1).Count.ShouldBe(1);
    }

    [Fact]
    public void What_is_left_is_free_also_when_the_sandbox_has_become_anothers_meanwhile()
    {
        var places = new DnsPlaces(10, 10, _askers);
        var taken = Fill(places, function: 1, sandboxes: 1);
        _askers.Remove(Address(1, 0));
        _askers.Add(Address(1, 0), "another");
        taken.ForEach(places.Leave);

        places.Taken.ShouldBe(0);
        Fill(places, function: 1, sandboxes: 1).Count.ShouldBe(2);
    }

    [Fact]
    public void Who_is_not_known_counts_for_itself()
    {
        var places = new DnsPlaces(100, 8, _askers);
        for (var i = 0; i < 8; i++)
        {
            places.TryEnter(Address(9, 1)).ShouldNotBeNull();
        }

        places.TryEnter(Address(9, 1)).ShouldBeNull();
        places.TryEnter(Address(9, 2)).ShouldNotBeNull().Function.ShouldBe("127.0.9.2");
    }

    private static IPAddress Address(int function, int sandbox) => new([127, 0, (byte)function, (byte)sandbox]);

    private List<DnsPlace> Fill(DnsPlaces places, int function, int sandboxes)
    {
        List<DnsPlace> taken = [];
        for (var sandbox = 0; sandbox < sandboxes; sandbox++)
        {
            _askers.Add(Address(function, sandbox), $"function {function}");
            while (places.TryEnter(Address(function, sandbox)) is { } place)
            {
                taken.Add(place);
            }
        }

        return taken;
    }
}
