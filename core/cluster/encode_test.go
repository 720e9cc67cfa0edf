package cluster

import (
	"reflect"
	"strings"
	"testing"
)

// TestCloneSharesNothing changes a clone through and through by commands, and looks
// whether the original notices.
func TestCloneSharesNothing(t *testing.T) {
	w := running(t, testConfig(3))
	w.lose("server1")
	w.arrive("server1", "boot2")
	w.ask(VerbReturn, "", "server1")
	w.ask(VerbMove, "B", "server3")
	before := string(w.s.Encode())
	c := world{t: t, s: w.s.Clone(), index: w.index}
	if string(c.s.Encode()) != before || !reflect.DeepEqual(c.s, w.s) {
		t.Fatal("a clone differs from its original")
	}
	c.s.Config.Groups[0].Policy[0] = "server3"
	c.s.Servers[0].FailedWith[0] = "changed"
	c.s.Servers[0].Recovering[0].Token++
	c.s.Group("B").Step.Token++
	c.s.Group("B").Next[0].Why = "changed"
	c.s.Ops[0].Text = "changed"
	c.s.Events[0].Text = "changed"
	if string(w.s.Encode()) != before {
		t.Error("a change of the clone is seen in the original")
	}
}

// TestDecodeRefuses: what Decode must not take.
func TestDecodeRefuses(t *testing.T) {
	w := running(t, testConfig(2))
	text := string(w.s.Encode())
	tests := []struct{ name, old, new, want string }{
		{"later version", `{"version":1,`, `{"version":2,`, "newer batond"},
		{"no version", `{"version":1,`, `{"version":0,`, "version 0"},
		{"unknown field", `{"version":1,`, `{"version":1,"more":1,`, "unknown field"},
		{"something behind it", text, text + "{}", "after top-level"},
		{"cut off", text, text[:len(text)-1], "end of JSON"},
		{"online without session", `"state":"online","since":4000,"reason":"started with the cluster","session":1`, `"state":"online","since":4000,"reason":"started with the cluster","session":0`, "session 0"},
		{"session above the last", `"last_session":1`, `"last_session":0`, "session 1 is open"},
		{"unknown phase", `"phase":"running"`, `"phase":"sleeping"`, "sleeping"},
		{"servers of another configuration", `"servers":["server1","server2"]`, `"servers":["server2","server1"]`, "configured"},
		{"stopped somewhere", `"name":"A","state":"online"`, `"name":"A","state":"stopped"`, "stopped on"},
		{"starting without a step", `"name":"A","state":"online"`, `"name":"A","state":"starting"`, "step"},
	}
	for _, tt := range tests {
		changed := strings.Replace(text, tt.old, tt.new, 1)
		if changed == text {
			t.Errorf("%s: %q is not in the state: %s", tt.name, tt.old, text)
			continue
		}
		if _, err := Decode([]byte(changed)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	for _, c := range []string{``, `{}`, `{"kind":"dance"}`, `{"kind":"begin","more":1}`, `{"kind":"begin"} {}`, `[]`} {
		if got, err := DecodeCommand([]byte(c)); err == nil {
			t.Errorf("command %q: %+v", c, got)
		}
	}
}

// TestApplyPanics: an entry that is applied twice is a fault of the caller.
func TestApplyPanics(t *testing.T) {
	defer func() {
		if got := recover(); got == nil || !strings.Contains(got.(string), "entry 3 applied after entry 3") {
			t.Errorf("got %v", got)
		}
	}()
	s := &State{}
	s.Apply(3, Command{Kind: KindNote, Text: "x"})
	s.Apply(3, Command{Kind: KindNote, Text: "x"})
}

// FuzzDecodeCommand: bytes never panic, neither in decoding nor in a running cluster,
// and what was understood is written and read again the same.
func FuzzDecodeCommand(f *testing.F) {
	cfg := testConfig(2)
	for _, c := range []Command{
		{Kind: KindConfigure, Config: &cfg},
		{Kind: KindArrive, Server: "server1", Session: 9, Boot: "b"},
		{Kind: KindLost, Lost: []Loss{{Server: "server1", Session: 1, Reason: "r"}, {Server: "server2", Session: 1}}},
		{Kind: KindBegin},
		{Kind: KindResult, Server: "server1", Session: 1, Token: 4<<16 | 2, Outcome: &Outcome{Ran: true, Exit: 1}},
		{Kind: KindAnomaly, Group: "A", Server: "server1", Session: 1},
		{Kind: KindNormal, Group: "A", Server: "server1", Session: 1},
		{Kind: KindOperate, Op: &Op{ID: "1", Verb: VerbMove, Group: "A"}},
		{Kind: KindOperate, Op: &Op{ID: "1", Verb: VerbShutdownCluster}},
		{Kind: KindOperate, Op: &Op{ID: "1", Verb: VerbDisconnect, Server: "server2"}},
		{Kind: KindNote, Text: "\u00e9", Code: "x"},
	} {
		f.Add(EncodeCommand(c))
	}
	w := running(f, cfg)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommand(b)
		if err != nil {
			return
		}
		again, err := DecodeCommand(EncodeCommand(c))
		if err != nil || string(EncodeCommand(again)) != string(EncodeCommand(c)) {
			t.Fatalf("%+v became %+v: %v", c, again, err)
		}
		for _, s := range []*State{w.s.Clone(), {}} {
			s.Apply(w.index+1, c)
			if _, err := Decode(s.Encode()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzDecode: bytes never panic, and a state that was understood can be gone on with.
func FuzzDecode(f *testing.F) {
	w := running(f, testConfig(2))
	f.Add(w.s.Encode())
	w.lose("server1")
	w.arrive("server1", "boot1")
	f.Add(w.s.Encode())
	w.ask(VerbShutdownCluster, "", "")
	f.Add(w.s.Encode())
	f.Add((&State{}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			return
		}
		if _, err := Decode(s.Encode()); err != nil {
			t.Fatal(err)
		}
		if s.Index > 1<<40 {
			return // no log is that long; tokens would overflow
		}
		c := Command{Kind: KindLost}
		for _, sv := range s.Servers {
			c.Lost = append(c.Lost, Loss{Server: sv.Name, Session: sv.Session, Reason: "r"})
			for _, st := range s.Steps(sv.Name) {
				s.Apply(s.Index+1, Command{Kind: KindResult, Server: st.Server, Session: st.Session, Token: st.Token, Outcome: &Outcome{OK: true}})
			}
		}
		s.Apply(s.Index+1, Command{Kind: KindOperate, Op: &Op{ID: "f", Verb: VerbShutdownCluster}})
		s.Apply(s.Index+1, c)
	})
}
