package lab_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"baton/contrib/lab"
	"baton/core/cluster"
	"baton/daemon/api"
)

// transition is one case of the seed, from core/cluster/testdata/transitions.toml.
type transition struct {
	ID      string
	Title   string
	Servers int
	Before  scene
	Event   string
	After   scene
	Runs    []scriptRun
}

// TestTransitions plays every state transition of the seed with the real batond and
// real scripts. A cluster is brought into the state ahead of a case by operations,
// power cuts and boots, mostly by the cases before it; then the case's event happens,
// and when all has come to rest, the runs of scripts, their order, their variables and
// the state behind must be those listed.
func TestTransitions(t *testing.T) {
	t.Parallel()
	var file struct{ Case []transition }
	meta, err := toml.DecodeFile(filepath.Join("..", "..", "core", "cluster", "testdata", "transitions.toml"), &file)
	must(t, err)
	if keys := meta.Undecoded(); len(keys) > 0 {
		t.Fatalf("keys this test does not look at: %v", keys)
	}
	cases := map[string]*transition{}
	for i := range file.Case {
		cases[file.Case[i].ID] = &file.Case[i]
	}
	if len(cases) != 22 {
		t.Fatalf("%d cases, want 22", len(cases))
	}
	var played []string
	for _, life := range lives {
		played = append(played, life.cases()...)
	}
	for id := range cases {
		if !slices.Contains(played, id) {
			t.Errorf("case %s is played in no life", id)
		}
	}
	for _, life := range lives {
		t.Run(life.name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t, life.servers, "", func(o *lab.Options) { o.Tiebreaker, o.ReturnAuto = life.tie, life.auto })
			for i, line := range life.lines {
				id, isCase := strings.CutPrefix(line, "case ")
				if !isCase {
					p.on(line, func() {
						p.happenAll(line)
						next := cases[strings.TrimPrefix(life.lines[i+1], "case ")]
						if !next.fromNothing() {
							p.rest(next.Before)
						}
						p.skip()
					})
					continue
				}
				p.on(id, func() { p.play(cases[id], i == 0) })
			}
			p.Verify()
		})
	}
}

// life is the life of one cluster: cases, and what must happen between them to get
// from the state behind one to the state ahead of the next.
type life struct {
	name    string
	servers int
	tie     string // tie-breaker
	auto    bool   // recovery.return = "auto"
	lines   []string
}

func (l life) cases() (ids []string) {
	for _, line := range l.lines {
		if id, ok := strings.CutPrefix(line, "case "); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

var lives = []life{
	{name: "starts and shutdowns", servers: 2, tie: "disk", lines: []string{
		"case 1", "case 2", "case start-lower",
		"cluster-shutdown", "case start-same",
		"cluster-start server1", "case 6-after-shutdown", "case 10-shutdown",
	}},
	{name: "failure and return", servers: 2, tie: "witness", lines: []string{
		"cluster-start server1 server2", "case 3",
		"boot server1", "case 4", "case 6", "case 8", "case 11", "case 12", "case 13", "case 14",
		"move C server1; server-fails server1", "case 5",
	}},
	{name: "anomalies and automatic return", servers: 2, tie: "witness", auto: true, lines: []string{
		"cluster-start server1 server2", "case armload-restart", "case armload-failover",
		"move A server1; group-fails C", "case 9", "case 10",
		"return server1; move A server1; move C server1; server-fails server1", "case 7",
	}},
	{name: "three servers", servers: 3, lines: []string{
		"cluster-start server1 server2 server3", "case 3-of-3",
		"boot server1; return server1", "case 6A",
	}},
}

// play brings a case about and compares. first: the cluster is just starting for the
// first time, which is the event.
func (p *play) play(c *transition, first bool) {
	p.stage.Helper()
	p.stage.Log(c.Title)
	if !c.fromNothing() {
		p.rest(c.Before)
	}
	if n := len(p.journal()); n > 0 && !first {
		p.stage.Fatalf("runs after the end of what came before: %v", p.journal())
	}
	p.happenAll(c.Event)
	if c.Event == "cluster-shutdown" {
		p.restShutDown(c.After)
	} else {
		p.rest(c.After)
	}
	p.compare(c.Runs)
	p.Verify()
}

// fromNothing: no server runs ahead of the case, so there is none to ask.
func (c *transition) fromNothing() bool { return len(c.Before.Offline) == 2 }

// restShutDown looks at a cluster that was shut down through the eyes of a server that
// is started again: server2, alone, which knows from its disk how it ended.
func (p *play) restShutDown(want scene) {
	p.stage.Helper()
	for group := range p.policy {
		p.WaitGone(group)
	}
	p.StartBatond("server2")
	p.WaitStatus("all is shut down", func(s *api.Status) bool {
		return s.Phase == string(cluster.PhaseForming) && p.differs(want, s) == ""
	})
}

func (p *play) happenAll(events string) {
	p.stage.Helper()
	for part := range strings.SplitSeq(events, "; ") {
		p.happen(strings.Fields(part))
	}
}

// happen makes a case's words come true.
func (p *play) happen(words []string) {
	p.stage.Helper()
	switch words[0] {
	case "cluster-start":
		p.startUp(words[1:]...) // at the lab's first start all are on already
	case "cluster-shutdown":
		p.shuttingDown()()
	case "server-fails":
		p.PowerCut(words[1])
	case "boot":
		p.PowerOn(words[1])
		if words[len(words)-1] != "auto)" {
			p.WaitServer(words[1], cluster.ServerDetached)
		}
	case "group-fails":
		defer p.HandOver()()
		p.breakAddress(words[1], p.Carrier(words[1]))
		p.WaitStatus(words[1]+" goes elsewhere", lab.Elsewhere(p.Lab, words[1], "server1"))
	case "application-dies":
		// In place of armload: it asks for the same operations.
		verb := cluster.VerbFailover
		if strings.Contains(strings.Join(words, " "), "restart") {
			verb = cluster.VerbRestart
		}
		p.do(op(verb, words[1], ""))
	case "move":
		p.do(op(cluster.VerbMove, words[1], words[2]))
	case "start", "stop":
		p.do(op(cluster.Verb(words[0]), words[1], ""))
	case "shutdown":
		p.down(words[1])
	case "return", "disconnect":
		p.do(op(cluster.Verb(words[0]), "", words[1]))
	default:
		p.stage.Fatalf("unknown event %q", words)
	}
}
