package lab

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// judge by a table: claims as MAC, first and last packet in milliseconds.
func TestJudge(t *testing.T) {
	t.Parallel()
	zero := time.Unix(1000, 0)
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	claim := func(mac string, first, last int) Claim { return Claim{MAC: mac, First: at(first), Last: at(last)} }
	asked := []window{{from: at(1000), until: at(1100)}}
	for _, c := range []struct {
		name   string
		claims []Claim
		asked  []window
		want   int
	}{
		{"one owner", []Claim{claim("a", 0, 9000)}, nil, 0},
		{"far apart", []Claim{claim("a", 0, 1000), claim("b", 1100, 2000)}, nil, 0},
		{"too quick", []Claim{claim("a", 0, 1000), claim("b", 1099, 2000)}, nil, 1},
		{"to and fro", []Claim{claim("a", 0, 1000), claim("b", 1010, 1010), claim("a", 1020, 2000)}, nil, 2},
		{"quick, but asked for", []Claim{claim("a", 0, 1040), claim("b", 1050, 2000)}, asked, 0},
		{"asked for, but not then", []Claim{claim("a", 0, 1940), claim("b", 1950, 2000)}, asked, 1},
		{"asked for, and the old one answers after the new one", []Claim{claim("a", 0, 1040), claim("b", 1050, 1050), claim("a", 1055, 1055), claim("b", 1060, 2000)}, asked, 2},
		{"asked for twice, and it takes its time", []Claim{claim("a", 0, 1040), claim("b", 1050, 1300), claim("a", 1310, 2000)}, []window{asked[0], {from: at(1200)}}, 0},
	} {
		got := judge(netip.MustParseAddr("10.0.0.101"), c.claims, 100*time.Millisecond, c.asked)
		if len(got) != c.want {
			t.Errorf("%s: %v, want %d overlaps", c.name, got, c.want)
		}
	}
}

// Two runs of a group's scripts on two servers at once are found; one after the other,
// a RECOVER beside, one that was killed, and another group are not.
func TestOverlappingRuns(t *testing.T) {
	t.Parallel()
	run := func(server, event string, begin, end int) Run {
		return Run{Group: "A", Kind: "start", Server: server, Event: event, Order: [2]int{begin, end}}
	}
	other := run("server2", "START", 2, 3)
	other.Group = "B"
	for _, c := range []struct {
		name string
		runs []Run
		want string
	}{
		{"in order", []Run{run("server1", "START", 1, 2), run("server2", "FAILOVER", 3, 4)}, ""},
		{"at once", []Run{run("server1", "START", 1, 3), run("server2", "FAILOVER", 2, 4)}, "had not ended when start A on server2"},
		{"recover", []Run{run("server1", "START", 1, 3), run("server2", "RECOVER", 2, 4)}, ""},
		{"killed", []Run{run("server1", "START", 1, 0), run("server2", "FAILOVER", 2, 4)}, ""},
		{"same server", []Run{run("server1", "START", 1, 3), run("server1", "FAILOVER", 2, 4)}, ""},
		{"another group", []Run{run("server1", "START", 1, 4), other}, ""},
	} {
		err := overlappingRuns(c.runs)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// Two servers with a part of one group for longer than the observers are late are found,
// whatever the parts are; time in which a server stands still does not count.
func TestSharedStretches(t *testing.T) {
	t.Parallel()
	zero := time.Unix(1000, 0)
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	has := func(group, server, what string, from, until int) stretch {
		return stretch{group, server, what, at(from), at(until)}
	}
	for _, c := range []struct {
		name string
		all  []stretch
		want int
	}{
		{"one after the other", []stretch{has("A", "server1", hasMount, 0, 1000), has("A", "server2", hasAddress, 1000, 2000)}, 0},
		{"observed late", []stretch{has("A", "server1", hasMount, 0, 1000), has("A", "server2", hasAddress, 900, 2000)}, 0},
		{"mount and address", []stretch{has("A", "server1", hasMount, 0, 1000), has("A", "server2", hasAddress, 899, 2000)}, 1},
		{"within", []stretch{has("A", "server1", hasScript, 0, 3000), has("A", "server2", hasAddress, 1000, 2000)}, 1},
		{"one server", []stretch{has("A", "server1", hasMount, 0, 1000), has("A", "server1", hasAddress, 0, 1000)}, 0},
		{"two groups", []stretch{has("A", "server1", hasMount, 0, 1000), has("B", "server2", hasMount, 0, 1000)}, 0},
		{"three servers", []stretch{has("A", "server1", hasMount, 0, 1000), has("A", "server2", hasMount, 0, 1000), has("A", "server3", hasScript, 0, 1000)}, 3},
	} {
		err, got := shared(c.all, func(_, _ time.Time) time.Duration { return 100 * time.Millisecond }), 0
		if err != nil {
			got = strings.Count(err.Error(), "\n") + 1
		}
		if got != c.want {
			t.Errorf("%s: %v, want %d", c.name, err, c.want)
		}
	}
	s := has("A", "server1", hasMount, 0, 1000)
	for _, c := range []struct {
		name    string
		windows []window
		want    []stretch
	}{
		{"none", nil, []stretch{s}},
		{"before", []window{{at(-20), at(-10)}}, []stretch{s}},
		{"in the middle", []window{{at(100), at(200)}}, []stretch{has("A", "server1", hasMount, 0, 100), has("A", "server1", hasMount, 200, 1000)}},
		{"it goes on", []window{{from: at(100)}}, []stretch{has("A", "server1", hasMount, 0, 100)}},
		{"all of it", []window{{at(-10), at(2000)}}, nil},
		{"two", []window{{at(-10), at(10)}, {at(990), at(2000)}}, []stretch{has("A", "server1", hasMount, 10, 990)}},
	} {
		if got := without(s, c.windows); !slices.Equal(got, c.want) {
			t.Errorf("without, %s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Only a pause near a stretch of time counts for it, and the longest one.
func TestPausesNear(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	p := &pauses{list: []window{{at(0), at(300)}, {at(1000), at(1080)}, {at(1200), at(1230)}}}
	for _, c := range []struct{ from, until, want int }{
		{1100, 1150, 80}, {1500, 1600, 0}, {1481, 1482, 0}, {1479, 1490, 30}, {100, 1100, 300}, {600, 640, 0},
	} {
		if got := p.longest(at(c.from), at(c.until)); got != time.Duration(c.want)*time.Millisecond {
			t.Errorf("from %d to %d: %s, want %d ms", c.from, c.until, got, c.want)
		}
	}
}
