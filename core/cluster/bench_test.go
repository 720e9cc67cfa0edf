package cluster

import (
	"strconv"
	"testing"
)

// BenchmarkApply is a start and its result in the largest cluster that the console is
// measured with: 16 servers, 256 groups.
func BenchmarkApply(b *testing.B) {
	cfg := Config{Cluster: "large"}
	for i := range 16 {
		cfg.Servers = append(cfg.Servers, "server"+strconv.Itoa(i+1))
	}
	for i := range 256 {
		cfg.Groups = append(cfg.Groups, GroupConfig{Name: "group" + strconv.Itoa(i+1), Policy: cfg.Servers, Autostart: true})
	}
	s, index := &State{}, uint64(0)
	apply := func(c Command) {
		index++
		s.Apply(index, c)
	}
	apply(Command{Kind: KindConfigure, Config: &cfg})
	for _, name := range cfg.Servers {
		apply(Command{Kind: KindArrive, Server: name, Session: 1, Boot: "b"})
	}
	apply(Command{Kind: KindBegin})
	for _, st := range s.Steps("server1") {
		apply(Command{Kind: KindResult, Server: st.Server, Session: 1, Token: st.Token, Outcome: &Outcome{OK: true, Ran: true}})
	}
	for i := 0; b.Loop(); i++ {
		g := &s.Groups[i%len(s.Groups)]
		if g.Step == nil {
			apply(Command{Kind: KindOperate, Op: &Op{ID: strconv.Itoa(i), Verb: VerbMove, Group: g.Name}})
			continue
		}
		o := Outcome{OK: true, Ran: true}
		apply(Command{Kind: KindResult, Server: g.Step.Server, Session: 1, Token: g.Step.Token, Outcome: &o})
	}
	b.ReportMetric(float64(len(s.Encode())), "state-bytes")
}
