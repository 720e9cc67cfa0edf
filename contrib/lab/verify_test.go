package lab

import (
	"net/netip"
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
