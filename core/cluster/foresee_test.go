package cluster

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// foreseen is a cluster of three servers that runs: A on server1, B on server2.
func foreseen(t *testing.T) *State {
	t.Helper()
	s := &State{}
	servers := []string{"server1", "server2", "server3"}
	index := uint64(0)
	apply := func(c Command) { index++; c.At = int64(index) * 1000; s.Apply(index, c) }
	apply(Command{Kind: KindConfigure, Config: &Config{Cluster: "c", Servers: servers, Groups: []GroupConfig{
		{Name: "A", Policy: servers, Autostart: true},
		{Name: "B", Policy: []string{"server2", "server1"}, Autostart: true},
	}}})
	for i, name := range servers {
		apply(Command{Kind: KindArrive, Server: name, Session: uint64(i + 1), Boot: "b"})
	}
	apply(Command{Kind: KindBegin})
	for _, name := range servers {
		for _, st := range s.Steps(name) {
			apply(Command{Kind: KindResult, Server: name, Session: st.Session, Token: st.Token, Outcome: &Outcome{OK: true, Ran: true}})
		}
	}
	return s
}

// A forecast is what Apply then really does, and it leaves the state alone.
func TestForesee(t *testing.T) {
	for _, tc := range []struct{ what, want string }{
		{"server1 fails", "1 start A server2 FAILOVER | A server1->server2 online | server1 online->down (supposed to fail; when it has booted again: baton return server1)"},
		{"server2 fails", "1 start B server1 FAILOVER | B server2->server1 online | server2 online->down (supposed to fail; when it has booted again: baton return server2)"},
		{"server1 and server2 fail", "1 start A server3 FAILOVER | A server1->server3 online, B server2-> stopped | " +
			"server1 online->down (supposed to fail; when it has booted again: baton return server1), server2 online->down (supposed to fail; when it has booted again: baton return server2)"},
		{"server1, server2, and server3 fail", " | A server1-> stopped, B server2-> stopped | server1 online->down (supposed to fail), server2 online->down (supposed to fail), server3 online->down (supposed to fail) | forming"},
		{"A fails", "1 stop A server1 START/GROUPFAILOVER, 2 recover A server1 RECOVER, 3 start A server2 FAILOVER | A server1->server2 online | "},
		{"move A server3", "1 stop A server1 START/GROUPMOVE, 2 start A server3 START | A server1->server3 online | "},
		{"stop B", "1 stop B server2 START/GROUPSTOP | B server2-> stopped | "},
		{"disconnect server1", "1 stop A server1 START/CLUSTERLEAVE, 2 start A server2 FAILOVER | A server1->server2 online | server1 online->detached (disconnect asked for by you; to take it back in: baton return server1)"},
		{"shutdown server3", " |  | server3 online->stopped (shutdown asked for by you; it joins when its batond is started)"},
		{"shutdown server3 --poweroff", " |  | server3 online->stopped (shutdown asked for by you; the machine powers off; it joins when its batond is started)"},
		{"shutdown --cluster", "1 stop A server1 START/CLUSTERSHUTDOWN, 1 stop B server2 START/CLUSTERSHUTDOWN | A server1-> stopped, B server2-> stopped | " +
			"server1 online->stopped (cluster shutdown asked for by you; it joins when its batond is started), server2 online->stopped (cluster shutdown asked for by you; it joins when its batond is started), " +
			"server3 online->stopped (cluster shutdown asked for by you; it joins when its batond is started) | forming"},
		{"move A server1", "refused already-there |  | "},
		{"move B server3", "refused not-in-policy |  | "},
	} {
		t.Run(tc.what, func(t *testing.T) {
			s := foreseen(t)
			before := s.Clone()
			c, err := s.Suppose(tc.what)
			if err != nil {
				t.Fatal(err)
			}
			f := s.Foresee(c)
			if got := forecastText(f); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if !reflect.DeepEqual(before, s) {
				t.Error("the state was changed")
			}
		})
	}
}

func forecastText(f Forecast) string {
	var runs, moves []string
	if f.Refusal != nil {
		runs = append(runs, "refused "+f.Refusal.Code)
	}
	for _, r := range f.Runs {
		env := r.Step.Env.Event
		if r.Step.Env.Factor != "" {
			env += "/" + r.Step.Env.Factor
		}
		runs = append(runs, fmt.Sprintf("%d %s %s %s %s", r.Round, r.Step.Kind, r.Step.Group, r.Step.Server, env))
	}
	for _, m := range f.Moves {
		moves = append(moves, fmt.Sprintf("%s %s->%s %s", m.Group, m.From, m.To, m.State))
	}
	servers := make([]string, 0, len(f.Servers))
	for _, sv := range f.Servers {
		servers = append(servers, fmt.Sprintf("%s %s->%s (%s)", sv.Server, sv.From, sv.To, sv.Reason))
	}
	out := strings.Join(runs, ", ") + " | " + strings.Join(moves, ", ") + " | " + strings.Join(servers, ", ")
	if f.Phase != "" {
		out += " | " + string(f.Phase)
	}
	return out
}

// A server that is returned is foreseen online behind its RECOVER run; one that is
// there without a session can fail, too, and one that is not there cannot.
func TestForeseeServersThatComeAndGo(t *testing.T) {
	w := running(t, testConfig(3))
	w.lose("server1")
	w.runAll()
	if _, err := w.s.Suppose("server1 fails"); err == nil || err.Error() != "server1 is down already" {
		t.Errorf("a server that is down fails: %v", err)
	}
	w.arrive("server1", "boot2")
	for what, want := range map[string]string{
		"return server1": "1 recover A server1 RECOVER, 2 recover C server1 RECOVER |  | server1 detached->online (returned)",
		"server1 fails":  " |  | server1 detached->down (supposed to fail; when it has booted again: baton return server1)",
	} {
		c, err := w.s.Suppose(what)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := forecastText(w.s.Foresee(c)); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
		}
	}
}

// Too few servers left: every group stops, and nothing is run.
func TestHalted(t *testing.T) {
	s := foreseen(t)
	c, err := s.Suppose("server1 and server2 fail")
	if err != nil {
		t.Fatal(err)
	}
	f := s.Halted(c.Lost, "too few")
	want := " | A server1-> stopped, B server2-> stopped | server1 online->down (supposed to fail), server2 online->down (supposed to fail)"
	if got := forecastText(f); got != want || f.Halt != "too few" {
		t.Errorf("halt %q\ngot  %s\nwant %s", f.Halt, got, want)
	}
}

func TestSupposeRefusesNonsense(t *testing.T) {
	s := foreseen(t)
	for _, tc := range []struct{ what, want string }{
		{"", "nothing that can be supposed"},
		{"fails", "nothing that can be supposed"},
		{"server9 fails", `no server or group "server9"`},
		{"dance A", "nothing that can be supposed"},
		{"move A server1 server2", "nothing that can be supposed"},
		{"return", "nothing that can be supposed"},
		{"shutdown server1 --force", "nothing that can be supposed"},
		{"and fail", "name the server or group that fails"},
		{"server1 and server1 fail", "server1 is named twice"},
	} {
		if _, err := s.Suppose(tc.what); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: got %v, want %q", tc.what, err, tc.want)
		}
	}
}

// Why, through a failure and an operator's stop: one sentence, with what to do.
func TestWhy(t *testing.T) {
	s := foreseen(t)
	at := func(ms int64) string { return fmt.Sprintf("t%d", ms/1000) }
	index := s.Index
	apply := func(c Command) { index++; c.At = int64(index) * 1000; s.Apply(index, c) }
	finish := func() {
		for i := range s.Servers {
			for _, st := range s.Steps(s.Servers[i].Name) {
				apply(Command{Kind: KindResult, Server: st.Server, Session: st.Session, Token: st.Token, Outcome: &Outcome{OK: true, Ran: true}})
			}
		}
	}
	check := func(group, want string) {
		t.Helper()
		if got, r := s.Why(group, at); r != nil || got != want {
			t.Errorf("%s: got  %s (%v)\nwant %s", group, got, r, want)
		}
	}
	check("A", "on server1 since t6: highest priority online")
	apply(Command{Kind: KindLost, Lost: []Loss{{Server: "server1", Session: 1, Reason: "silent on 3 of 3 paths for 3s"}}})
	finish()
	check("A", "on server2 since t9: failed over from server1 (down since t8, silent on 3 of 3 paths for 3s); when server1 has booted again: baton return server1")
	apply(Command{Kind: KindArrive, Server: "server1", Session: 7, Boot: "another"})
	check("A", "on server2 since t9: failed over from server1 (down since t8, silent on 3 of 3 paths for 3s); server1 is detached since t10; to bring it back: baton return server1")
	apply(Command{Kind: KindOperate, Op: &Op{ID: "1", Verb: VerbStop, Group: "B", Who: Who{User: "alice"}}})
	finish()
	check("B", "stopped since t12: stop asked for by alice; to start it: baton start B")
	apply(Command{Kind: KindOperate, Op: &Op{ID: "2", Verb: VerbMove, Group: "A", Server: "server3", Who: Who{User: "alice"}}})
	for _, st := range s.Steps("server2") {
		apply(Command{Kind: KindResult, Server: st.Server, Session: st.Session, Token: st.Token, Outcome: &Outcome{OK: true, Ran: true, Exit: 4}})
	}
	finish()
	check("A", "on server3 since t15: move asked for by alice; warning: stop script on server2: exit code 4 (what it printed there: baton log A); "+
		"server1 is detached since t10; to bring it back: baton return server1; server2, which comes first, is online: baton move A server2 brings it there")
	apply(Command{Kind: KindOperate, Op: &Op{ID: "3", Verb: VerbShutdownCluster, Who: Who{User: "alice"}}})
	finish()
	check("A", "stopped since t17: cluster shutdown asked for by alice; it starts with the cluster")
	if _, r := s.Why("Z", at); r == nil || r.Code != RefusedNoSuchGroup {
		t.Errorf("unknown group: got %v", r)
	}
}

// Of the servers before its own, why names the first that is online and no other behind
// that; and what the group's reason says of one that is down is not said twice.
func TestWhyIsShort(t *testing.T) {
	at := func(ms int64) string { return fmt.Sprintf("t%d", ms/1000) }
	w := running(t, testConfig(3))
	w.ask(VerbMove, "A", "server3")
	w.runAll()
	got, _ := w.s.Why("A", at)
	if want := "server1, which comes first, is online: baton move A server1 brings it there"; !strings.HasSuffix(got, want) || strings.Contains(got, "server2") {
		t.Errorf("moved: %s", got)
	}
	w = running(t, testConfig(3))
	w.ask(VerbStop, "A", "")
	w.runAll()
	w.lose("server1")
	w.ask(VerbStart, "A", "")
	w.runAll()
	got, _ = w.s.Why("A", at)
	if strings.Count(got, "silent on 3 of 3 paths") != 1 || !strings.Contains(got, "; server1 is down since t") || !strings.HasSuffix(got, "when it has booted again: baton return server1") {
		t.Errorf("started past a server that is down: %s", got)
	}
}
