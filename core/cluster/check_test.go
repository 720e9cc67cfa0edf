package cluster

import (
	"testing"
)

// TestRefusals: for each situation, which operations are refused and why. An empty
// code means accepted. What Check says must be what Apply does, and a refusal must
// leave everything but the record of it as it was.
func TestRefusals(t *testing.T) {
	up := func(t *testing.T) *world {
		cfg := testConfig(3)
		cfg.Groups[1].Policy = []string{"server2", "server1"}
		cfg.Groups[2].MaxFailovers = 1
		return running(t, cfg)
	}
	tests := []struct {
		name string
		then func(w *world) // what happens on top of a running cluster
		ops  []Op
		want []string
	}{
		{
			"unknown names", nil,
			[]Op{{Verb: "dance"}, {}, {Verb: VerbStart, Group: "X"}, {Verb: VerbMove, Group: "A", Server: "server9"}, {Verb: VerbReturn, Server: "server9"}, {Verb: VerbShutdown}},
			[]string{"unknown-operation", "unknown-operation", "no-such-group", "no-such-server", "no-such-server", "no-such-server"},
		},
		{
			"group runs", nil,
			[]Op{
				{Verb: VerbStart, Group: "A"},
				{Verb: VerbStart, Group: "A", Server: "server1"},
				{Verb: VerbStart, Group: "A", Server: "server2"},
				{Verb: VerbMove, Group: "A", Server: "server1"},
				{Verb: VerbMove, Group: "B", Server: "server3"},
				{Verb: VerbMove, Group: "A"},
				{Verb: VerbFailover, Group: "A"},
				{Verb: VerbRestart, Group: "A"},
				{Verb: VerbStop, Group: "A"},
			},
			[]string{"already-there", "already-there", "already-running", "already-there", "not-in-policy", "", "", "", ""},
		},
		{
			"group stopped", func(w *world) { w.ask(VerbStop, "A", ""); w.runAll() },
			[]Op{
				{Verb: VerbStop, Group: "A"},
				{Verb: VerbMove, Group: "A"},
				{Verb: VerbFailover, Group: "A"},
				{Verb: VerbRestart, Group: "A"},
				{Verb: VerbStart, Group: "A"},
				{Verb: VerbStart, Group: "A", Server: "server3"},
			},
			[]string{"already-stopped", "not-running", "not-running", "not-running", "", ""},
		},
		{
			"group in transition", func(w *world) { w.ask(VerbMove, "A", "server2") },
			[]Op{{Verb: VerbStart, Group: "A"}, {Verb: VerbMove, Group: "A"}, {Verb: VerbFailover, Group: "A"}, {Verb: VerbRestart, Group: "A"}, {Verb: VerbStop, Group: "A"}},
			[]string{"group-busy", "group-busy", "group-busy", "group-busy", ""},
		},
		{
			"group being stopped", func(w *world) { w.ask(VerbStop, "A", "") },
			[]Op{{Verb: VerbStop, Group: "A"}, {Verb: VerbStart, Group: "A"}},
			[]string{"group-busy", "group-busy"},
		},
		{
			"group stuck", func(w *world) { w.ask(VerbMove, "A", "server2"); w.end(Outcome{Text: "device busy"}) },
			[]Op{{Verb: VerbStart, Group: "A"}, {Verb: VerbMove, Group: "A"}, {Verb: VerbFailover, Group: "A"}, {Verb: VerbStop, Group: "A"}},
			[]string{"group-stuck", "group-stuck", "group-stuck", ""},
		},
		{
			"too many failovers", func(w *world) { w.ask(VerbFailover, "C", ""); w.runAll() },
			[]Op{{Verb: VerbFailover, Group: "C"}, {Verb: VerbMove, Group: "C"}},
			[]string{"max-failovers", ""},
		},
		{
			"one server left", func(w *world) { w.lose("server1", "server3"); w.runAll() },
			[]Op{
				{Verb: VerbMove, Group: "A"},
				{Verb: VerbFailover, Group: "A"},
				{Verb: VerbMove, Group: "A", Server: "server1"},
				{Verb: VerbReturn, Server: "server1"},
				{Verb: VerbDisconnect, Server: "server1"},
				{Verb: VerbShutdown, Server: "server1"},
				{Verb: VerbReturn, Server: "server2"},
				{Verb: VerbShutdown, Server: "server2"},
				{Verb: VerbDisconnect, Server: "server2"},
			},
			[]string{"nowhere-to-run", "nowhere-to-run", "server-not-online", "server-not-there", "server-not-online", "server-not-there", "already-online", "", ""},
		},
		{
			"nowhere to start", func(w *world) { w.lose("server1", "server2"); w.runAll() },
			[]Op{{Verb: VerbStart, Group: "B"}, {Verb: VerbStart, Group: "B", Server: "server1"}, {Verb: VerbStop, Group: "B"}},
			[]string{"nowhere-to-run", "server-not-online", ""},
		},
		{
			"server detached", func(w *world) { w.lose("server1"); w.runAll(); w.arrive("server1", "boot2") },
			[]Op{
				{Verb: VerbMove, Group: "A", Server: "server1"},
				{Verb: VerbReturn, Server: "server1"},
				{Verb: VerbDisconnect, Server: "server1"},
				{Verb: VerbShutdown, Server: "server1"},
			},
			[]string{"server-not-online", "", "", ""},
		},
		{
			"server returning", func(w *world) { w.lose("server1"); w.runAll(); w.arrive("server1", "boot1") },
			[]Op{
				{Verb: VerbMove, Group: "A", Server: "server1"},
				{Verb: VerbReturn, Server: "server1"},
				{Verb: VerbDisconnect, Server: "server1"},
				{Verb: VerbShutdown, Server: "server1"},
			},
			[]string{"server-not-online", "server-busy", "", ""},
		},
		{
			"server leaving", func(w *world) { w.ask(VerbDisconnect, "", "server1") },
			[]Op{{Verb: VerbDisconnect, Server: "server1"}, {Verb: VerbReturn, Server: "server1"}, {Verb: VerbMove, Group: "B", Server: "server1"}, {Verb: VerbShutdown, Server: "server1"}},
			[]string{"server-busy", "server-busy", "server-not-online", ""},
		},
		{
			"server disconnected", func(w *world) { w.ask(VerbDisconnect, "", "server1"); w.runAll() },
			[]Op{{Verb: VerbDisconnect, Server: "server1"}, {Verb: VerbReturn, Server: "server1"}, {Verb: VerbShutdown, Server: "server1"}},
			[]string{"already-disconnected", "server-not-ready", "server-not-ready"},
		},
		{
			"server disconnected for a while", func(w *world) {
				w.ask(VerbDisconnect, "", "server1")
				w.runAll()
				w.arrive("server1", "boot1")
			},
			[]Op{{Verb: VerbDisconnect, Server: "server1"}, {Verb: VerbReturn, Server: "server1"}, {Verb: VerbShutdown, Server: "server1"}},
			[]string{"already-disconnected", "", ""},
		},
		{
			"server shut down", func(w *world) { w.ask(VerbShutdown, "", "server1"); w.runAll() },
			[]Op{{Verb: VerbShutdown, Server: "server1"}, {Verb: VerbReturn, Server: "server1"}, {Verb: VerbDisconnect, Server: "server1"}},
			[]string{"already-stopped", "server-not-there", "server-not-online"},
		},
		{
			"cluster stopping", func(w *world) { w.ask(VerbShutdownCluster, "", "") },
			[]Op{{Verb: VerbStop, Group: "A"}, {Verb: VerbShutdown, Server: "server1"}, {Verb: VerbReturn, Server: "server1"}, {Verb: VerbShutdownCluster}},
			[]string{"cluster-stopping", "cluster-stopping", "cluster-stopping", "cluster-stopping"},
		},
		{
			"cluster down", func(w *world) { w.ask(VerbShutdownCluster, "", ""); w.runAll() },
			[]Op{{Verb: VerbStart, Group: "A"}, {Verb: VerbMove, Group: "A"}, {Verb: VerbStop, Group: "A"}, {Verb: VerbShutdownCluster}},
			[]string{"cluster-not-running", "cluster-not-running", "already-stopped", ""},
		},
		{
			"picture changed", func(w *world) { w.ask(VerbMove, "A", "server2"); w.runAll() },
			[]Op{
				{Verb: VerbMove, Group: "A", Revision: 1},
				{Verb: VerbStop, Group: "A", Revision: 1},
				{Verb: VerbShutdownCluster, Revision: 1},
				{Verb: VerbStop, Group: "B", Revision: 9},
				{Verb: VerbStop, Group: "A", Revision: 1 << 40},
				{Verb: VerbStart, Group: "A", Revision: 1},
			},
			// B has not changed since it was started; and a reason that says more wins.
			[]string{"picture-changed", "picture-changed", "picture-changed", "", "", "already-there"},
		},
	}
	said := map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := up(t)
			if tt.then != nil {
				tt.then(w)
			}
			for i, op := range tt.ops {
				got := ""
				r := w.s.Check(op)
				if r != nil {
					got = r.Code
					said[got] = true
				}
				if got != tt.want[i] {
					t.Errorf("%s: %q, want %q", op.String(), got, tt.want[i])
				}
				if r != nil && (r.Message == "" || r.Error() == "") {
					t.Errorf("%s: refused without a message", op.String())
				}
				// The same operation, entered.
				op.ID = "probe"
				v := world{t: t, s: w.s.Clone(), index: w.index}
				before := v.s.Clone()
				v.apply(Command{Kind: KindOperate, Op: &op})
				rec := v.s.Op("probe")
				if rec == nil || (rec.State == OpRefused) != (r != nil) || rec.Code != got {
					t.Errorf("%s: Check says %v, Apply recorded %+v", op.String(), r, rec)
				}
				if r == nil {
					continue
				}
				v.s.Ops, v.s.Events, v.s.Index, v.s.Revision = before.Ops, before.Events, before.Index, before.Revision
				if string(v.s.Encode()) != string(before.Encode()) {
					t.Errorf("%s: a refusal has changed the state", op.String())
				}
			}
		})
	}
	for _, code := range []string{
		RefusedUnknownVerb, RefusedNoSuchGroup, RefusedNoSuchServer, RefusedNotInPolicy, RefusedServerNotOnline, RefusedServerNotThere,
		RefusedServerBusy, RefusedServerNotReady, RefusedGroupBusy, RefusedGroupStuck, RefusedAlreadyThere, RefusedAlreadyRunning,
		RefusedAlreadyStopped, RefusedAlreadyOnline, RefusedAlreadyOut, RefusedNotRunning, RefusedNowhereToRun, RefusedMaxFailovers,
		RefusedPictureChanged, RefusedNotRunningYet, RefusedStopping,
	} {
		if !said[code] {
			t.Errorf("no case is refused with %s", code)
		}
	}
}

// What would help: a group that is being stopped already cannot be stopped, so that is no
// advice then.
func TestBusyHint(t *testing.T) {
	for _, tc := range []struct {
		op   Verb
		ends int // steps that have ended since
		what string
		hint string
	}{
		{VerbMove, 0, "A is stopping on server1", "wait until that has ended, or: baton stop A"},
		{VerbMove, 1, "A is starting on server2", "wait until that has ended, or: baton stop A"},
		{VerbFailover, 1, "RECOVER of A runs on server1", "wait until that has ended, or: baton stop A"},
		{VerbStop, 0, "A is stopping on server1", "wait until that has ended"},
	} {
		w := running(t, testConfig(2))
		w.ask(tc.op, "A", "")
		for range tc.ends {
			w.end(good)
		}
		if r := w.s.Check(Op{Verb: VerbStart, Group: "A"}); r == nil || r.Code != RefusedGroupBusy || r.Message != tc.what || r.Hint != tc.hint {
			t.Errorf("start during %s: %+v, want %q and the hint %q", tc.op, r, tc.what, tc.hint)
		}
	}
}

// TestOperationsAreRemembered: a second entry of one ID does nothing; ended ones are
// forgotten from the oldest, running ones never.
func TestOperationsAreRemembered(t *testing.T) {
	w := running(t, testConfig(2))
	op := &Op{ID: "x", Verb: VerbMove, Group: "A", Server: "server2", Who: Who{User: "alice"}}
	w.apply(Command{Kind: KindOperate, Op: op})
	index := w.s.Revision
	if events := w.apply(Command{Kind: KindOperate, Op: op}); len(events) > 0 || w.s.Revision != index {
		t.Errorf("entered twice: %+v, revision %d, want %d", events, w.s.Revision, index)
	}
	for range 3 * KeepOps {
		w.ask(VerbStart, "nobody", "")
	}
	if got, want := len(w.s.Ops), KeepOps+1; got != want {
		t.Errorf("%d operations are kept, want %d", got, want)
	}
	if w.s.Op("x") == nil || w.s.Op("x").State != OpRunning {
		t.Errorf("the running operation is gone")
	}
	if got, want := len(w.s.Events), KeepEvents; got > want {
		t.Errorf("%d events are kept, want at most %d", got, want)
	}
	w.runAll()
	if got := w.s.Op("x"); got == nil || got.State != OpDone || got.Ended == 0 {
		t.Errorf("got %+v", got)
	}
}
