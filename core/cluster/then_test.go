package cluster

import (
	"slices"
	"testing"
)

// TestThen: what an operator wants of the machines after a shutdown is with the servers
// that are shut down by it, with no other, and for this once.
func TestThen(t *testing.T) {
	w := running(t, testConfig(3))
	thens := func() (out []Then) {
		for i := range w.s.Servers {
			out = append(out, w.s.Servers[i].Then)
		}
		return out
	}
	want := func(what string, want ...Then) {
		t.Helper()
		if got := thens(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	shut := func(verb Verb, server string, then Then) {
		w.ops++
		w.apply(Command{Kind: KindOperate, Op: &Op{ID: "then" + string(rune('a'+w.ops)), Verb: verb, Server: server, Then: then, Who: Who{User: "alice"}}})
	}
	shut(VerbDisconnect, "server3", ThenPowerOff)
	want("disconnect takes none", "", "", "")
	w.runAll()
	shut(VerbShutdown, "server2", ThenPowerOff)
	want("accepted", "", ThenPowerOff, "")
	w.runAll()
	want("stopped", "", ThenPowerOff, "")
	if s := w.s.Server("server2"); s.State != ServerStopped {
		t.Errorf("server2 is %s", s.State)
	}
	w.arrive("server2", "boot2")
	want("booted again", "", "", "")

	shut(VerbShutdown, "server1", ThenReboot)
	w.lose("server1")
	want("failed before it was shut down", "", "", "")
	w.arrive("server1", "boot2") // detached
	shut(VerbShutdown, "server1", ThenReboot)
	want("shut down while detached", ThenReboot, "", "")
	w.arrive("server1", "boot3")

	// The cluster: also those that are detached, or arrive meanwhile.
	w.ask(VerbReturn, "", "server1")
	w.runAll()
	shut(VerbShutdownCluster, "", ThenPowerOff)
	w.lose("server1")
	w.arrive("server1", "boot4")
	w.arrive("server3", "boot2")
	w.runAll()
	want("cluster shutdown", ThenPowerOff, ThenPowerOff, ThenPowerOff)
	if w.s.Phase != PhaseForming {
		t.Fatalf("%s", w.where())
	}
	for _, name := range w.s.Config.Servers {
		w.arrive(name, "boot5")
	}
	want("started again", "", "", "")
	w.apply(Command{Kind: KindBegin})
	w.runAll()
	// One that has left just before, and has not yet offered its next session, is shut
	// down as well: what it offers then is used up.
	w.ask(VerbDisconnect, "", "server2")
	w.runAll()
	ran := w.s.Server("server2").LastSession
	shut(VerbShutdownCluster, "", "")
	w.runAll()
	want("cluster shutdown without", "", "", "")
	w.apply(Command{Kind: KindArrive, Server: "server2", Session: ran + 1, Boot: "boot5"})
	if s := w.s.Server("server2"); s.State != ServerStopped || s.Present {
		t.Errorf("server2, whose batond is to end, is %s (there: %t)", s.State, s.Present)
	}
	w.apply(Command{Kind: KindArrive, Server: "server2", Session: ran + 2, Boot: "boot6"})
	if s := w.s.Server("server2"); s.State == ServerStopped {
		t.Errorf("server2 has booted again and is %s", s.State)
	}
}
