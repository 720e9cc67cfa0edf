package sim

import (
	"bufio"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"baton/core/cluster"
	"baton/core/lease"
)

// world is everything outside the nodes.
type world struct {
	opt   Options
	times lease.Params
	wait  time.Duration // startup.wait
	rules cluster.Config
	dice  dice

	now      time.Duration
	queue    queue
	net      *network
	register register
	fence    fence
	servers  []*server // by number - 1

	operators operators
	judge     judge
	stats     Stats

	// failing is the share of steps that fail while faults go on.
	failing float64
	// aim is the chance that an interesting moment draws a fault; from is when the
	// faults begin.
	aim  float64
	from time.Duration
	// pace is how far apart the faults are; 1 is close.
	pace time.Duration
	// points, where not nil, counts what the outside sees of the servers (points.go).
	points *points
	gates  []*gate       // of a scene (script.go)
	echoes *echoes       // nil: none
	lasts  time.Duration // of a scene: steps take so much longer
	sure   bool          // calls of the tie-breaker are not lost by chance
	// lastMoment holds back moments of one kind that come in a burst.
	lastMoment [moments]time.Duration
	// wiped is the server whose disk was wiped and that is no voter again yet; unvoted
	// says that its old vote is gone.
	wiped   *server
	unvoted bool
	// pulled are the servers (by number - 1) whose cables of the public LAN were pulled
	// since all were one cluster (lan.go).
	pulled []int
	// peace: an operator forces a server to return, and nothing else happens.
	peace  bool
	forced bool // it has happened
	// forcing is the server that an operator lets go on alone, until all are back.
	forcing *server
	// healed: the faults are over.
	healed bool
	// events are counted by the second, to notice a storm.
	second time.Duration
	events int

	trace     *bufio.Writer
	violation *Violation
}

func newWorld(o Options) *world {
	w := &world{opt: o, times: o.times(), wait: 5 * time.Second, dice: newDice(o.Seed, streamWorld<<32|uint64(o.Servers))}
	if o.Trace != nil {
		w.trace = bufio.NewWriterSize(o.Trace, 1<<16)
	}
	w.rules = drawRules(w.dice, o.Servers)
	w.net = newNetwork(o.Servers, o.Paths)
	if o.Tie == TiePing {
		w.net.lan = lan{out: make([]int, o.Servers), in: make([]int, o.Servers)}
	}
	w.register = newRegister(o.Servers)
	w.fence = fence{w: w, shots: make([]*shot, o.Servers+1), deaf: make([]bool, o.Servers+1), lying: make([]bool, o.Servers+1)}
	w.judge = newJudge(w)
	w.operators = operators{w: w, asked: map[string]*request{}, rush: newDice(o.Seed, streamRush)}
	for i := range o.Servers {
		w.servers = append(w.servers, newServer(w, i+1))
	}
	w.failing = []float64{0, 0.05, 0.2}[w.dice.IntN(3)]
	w.aim = []float64{0, 0.15, 0.5}[o.Seed%3]
	if o.Aim > 0 {
		w.aim = o.Aim
	}
	w.pace = []time.Duration{1, 1, 2, 4}[w.dice.IntN(4)]
	w.from = 8 * time.Second
	if w.dice.chance(0.2) || o.Late {
		w.from = 0 // the founding of the cluster among faults
	}
	return w
}

// drawRules makes up a configuration: groups with policies that begin with different
// servers, some of them shorter than the cluster.
func drawRules(d dice, servers int) cluster.Config {
	c := cluster.Config{Cluster: "sim", ReturnAuto: d.chance(0.5)}
	for i := range servers {
		c.Servers = append(c.Servers, fmt.Sprintf("s%d", i+1))
	}
	for g := range 2 + d.IntN(4) {
		gc := cluster.GroupConfig{Name: fmt.Sprintf("g%d", g+1), Autostart: true}
		length := servers
		if servers > 2 && d.chance(0.2) {
			length = 2 + d.IntN(servers-1)
		}
		for k := range length {
			gc.Policy = append(gc.Policy, c.Servers[(g+k)%servers])
		}
		gc.FailbackAuto = d.chance(0.2)
		gc.MonitorScript = d.chance(0.5)
		if d.chance(0.2) {
			gc.OnAnomaly = "stop"
		}
		if d.chance(0.3) {
			gc.FailoverTo = "stable"
		}
		if d.chance(0.3) {
			gc.MaxFailovers = 1 + d.IntN(4)
		}
		c.Groups = append(c.Groups, gc)
	}
	return c
}

func (w *world) at(t time.Duration, do func())    { w.queue.push(max(t, w.now), do) }
func (w *world) after(d time.Duration, do func()) { w.queue.push(w.now+d, do) }

// runUntil lets everything happen that is due until t, or until something is broken.
func (w *world) runUntil(t time.Duration) {
	for w.queue.len() > 0 && w.violation == nil && w.queue.next() <= t {
		e := w.queue.pop()
		w.now = e.at
		e.do()
		w.noStorm()
	}
	if w.violation == nil {
		w.now = max(w.now, t)
	}
}

// storm is how many events a second are too many: 16 servers under all faults make less
// than a tenth of it.
const storm = 400_000

// noStorm counts events: servers that answer each other without end are alive and get
// nothing done.
func (w *world) noStorm() {
	if second := w.now / time.Second; second != w.second {
		w.second, w.events = second, 0
	}
	if w.events++; w.events > storm {
		w.break_(BrokenLiveness, "more than %d events within a second", storm)
	}
}

// play does it, and takes a panic of the node for what it is: a bug.
func (w *world) play(do func()) {
	defer func() {
		if p := recover(); p != nil {
			w.break_(BrokenPanic, "%v\n%s", p, ownStack(string(debug.Stack())))
		}
		w.stats.Virtual = w.now
		if w.trace != nil {
			w.trace.Flush()
		}
	}()
	do()
}

// ownStack is the part of a stack that says where it went wrong.
func ownStack(stack string) string {
	lines := strings.Split(stack, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") {
			lines = lines[i:]
		}
	}
	return strings.Join(lines[:min(len(lines), 24)], "\n")
}

func (w *world) result() Result {
	return Result{Options: w.opt, Violation: w.violation, Stats: w.stats}
}

// break_ records the first thing that must not happen; the run ends with it.
func (w *world) break_(kind, format string, args ...any) {
	if w.violation != nil {
		return
	}
	w.violation = &Violation{At: w.now, Kind: kind, Text: fmt.Sprintf(format, args...)}
	w.note(nil, "VIOLATION %s: %s", kind, w.violation.Text)
}

// note writes a line of the trace.
func (w *world) note(s *server, format string, args ...any) {
	if w.trace == nil {
		return
	}
	who := "--"
	if s != nil {
		who = s.name
	}
	fmt.Fprintf(w.trace, "%11.6f %-3s ", w.now.Seconds(), who)
	fmt.Fprintf(w.trace, format, args...)
	w.trace.WriteByte('\n')
}

func (w *world) group(name string) int {
	for i := range w.rules.Groups {
		if w.rules.Groups[i].Name == name {
			return i
		}
	}
	panic(fmt.Sprintf("sim: a step of a group %q that is not configured", name))
}

// any picks a server.
func (w *world) any() *server { return w.servers[w.dice.IntN(len(w.servers))] }

// leader returns the server that leads, as far as one can see from outside; nil: none.
func (w *world) leader() *server {
	var best *server
	for _, s := range w.servers {
		if s.life != nil && s.seen.leads && (best == nil || s.seen.term > best.seen.term) {
			best = s
		}
	}
	return best
}

// bootAll switches everything on for the first time.
func (w *world) bootAll() {
	for _, s := range w.servers {
		most := 200 * time.Millisecond
		if w.opt.Late {
			most = 25 * time.Second
		}
		w.after(w.dice.between(0, most), s.boot)
	}
}

// look takes a picture of a node and hands it to the judge.
func (w *world) look(s *server, l *life) {
	v := l.node.View(s.reading())
	w.judge.view(s, l, &v)
}
