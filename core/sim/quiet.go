package sim

import (
	"fmt"
	"slices"
	"time"
)

// Scenario is one failure in an otherwise quiet cluster.
type Scenario string

// The scenarios. In all of them the question is what happens to the groups of the
// other servers (nothing may), and how long the groups of the failed one are down.
const (
	QuietLeader   Scenario = "leader"   // the leader's power fails
	QuietFollower Scenario = "follower" // another server's power fails
	QuietCut      Scenario = "cut"      // the leader loses all its paths
	QuietCutOther Scenario = "cut-other"
	QuietStall    Scenario = "stall"   // the leader's batond stands still for 1.5 s: less than T
	QuietRestart  Scenario = "restart" // every batond in turn is killed and started again at once
	QuietPath     Scenario = "path"    // one of two networks is gone
	QuietDeaf     Scenario = "deaf"    // the leader receives nothing any more, and still sends
	QuietTie      Scenario = "tie"     // the tie-breaker is gone
	// QuietLink cuts the leader off from one server only, then restarts batond on
	// the others: hole H5. Only safety is asked for.
	QuietLink Scenario = "link"
	// QuietSplit leaves the leader with a minority, so that two leaders claim to lead
	// for a while: hole H10. Safety only, too.
	QuietSplit Scenario = "split"
	// QuietReborn wipes two servers of five one after the other, while they do not hear
	// each other: each must believe the other's new raft id in the end.
	QuietReborn Scenario = "reborn"
)

// safetyOnly says that groups may be stopped, or stay down, in the scenario.
func (k Scenario) safetyOnly() bool {
	return k == QuietLink || k == QuietSplit || k == QuietReborn
}

// Scenarios are all of them.
func Scenarios() []Scenario {
	return []Scenario{QuietLeader, QuietFollower, QuietCut, QuietCutOther, QuietStall, QuietRestart, QuietPath, QuietDeaf, QuietTie, QuietLink, QuietSplit, QuietReborn}
}

// QuietResult is what came of one.
type QuietResult struct {
	Result
	// Interrupted are the groups that a guard cleared on servers that had not failed.
	Interrupted int
	// Down is how long the groups of the failed server were down; 0 if there were
	// none, or if they are not to be taken over.
	Down time.Duration
}

// RunQuiet plays a scenario.
func RunQuiet(o Options, kind Scenario) QuietResult {
	w := newWorld(o.withDefaults())
	w.healed, w.failing = true, 0
	for i := range w.rules.Groups {
		w.rules.Groups[i].FailbackAuto = false
		w.rules.Groups[i].Policy = append(w.rules.Groups[i].Policy[:0:0], w.rules.Servers...)
		w.rules.Groups[i].Policy = rotate(w.rules.Groups[i].Policy, i)
	}
	q := QuietResult{}
	w.play(func() {
		w.bootAll()
		for w.now < 30*time.Second && w.violation == nil {
			w.runUntil(w.now + 250*time.Millisecond)
			if w.violation == nil && w.missing() == "" {
				break
			}
		}
		if w.violation != nil {
			return
		}
		if text := w.missing(); text != "" {
			w.break_(BrokenLiveness, "30s after the first start: %s", text)
			return
		}
		w.runUntil(w.now + w.dice.between(2*time.Second, 3*time.Second))
		w.quiet(kind, &q)
	})
	q.Result = w.result()
	return q
}

func rotate(names []string, by int) []string {
	by %= len(names)
	return append(slices.Clone(names[by:]), names[:by]...)
}

// reborn plays QuietReborn, with an operator who returns the servers.
func (w *world) reborn() {
	a, b := w.servers[0], w.servers[len(w.servers)-1]
	var links []link
	for p := range w.opt.Paths {
		links = append(links, link{a.number - 1, b.number - 1, p}, link{b.number - 1, a.number - 1, p})
	}
	w.cut(links, time.Hour)
	for _, s := range []*server{a, b} {
		s.powerOff()
		s.wipe()
		w.after(w.dice.between(time.Second, 5*time.Second), s.boot)
		w.runUntil(w.now + 20*time.Second)
	}
	w.net.calm()
	w.awaitLiveness()
}

// quiet lets it happen and watches for 12 s.
func (w *world) quiet(kind Scenario, q *QuietResult) {
	failed := w.leader()
	if failed == nil {
		w.break_(BrokenLiveness, "nobody leads")
		return
	}
	if kind == QuietFollower || kind == QuietCutOther {
		failed = w.servers[failed.number%len(w.servers)]
	}
	w.note(failed, "SCENARIO %s", kind)
	if kind == QuietReborn {
		if len(w.servers) >= 5 {
			w.reborn()
		}
		return
	}
	takeover := w.quietFault(kind, failed)
	begin := w.now
	orphans := 0
	for g := range w.rules.Groups {
		if slices.Contains(w.carriers(g), failed) {
			orphans++
		}
	}
	if kind == QuietLeader || kind == QuietFollower {
		orphans = len(w.rules.Groups) // they went with the power; whoever carries them counts
	}
	takes := w.stats.Takes
	for w.now < begin+12*time.Second && w.violation == nil {
		w.runUntil(w.now + 10*time.Millisecond)
		if takeover && orphans > 0 && q.Down == 0 && w.allElsewhere(failed) {
			q.Down = w.now - begin
		}
	}
	for _, s := range w.servers {
		if s != failed || !takeover {
			q.Interrupted += s.interrupted
		}
	}
	switch {
	case w.violation != nil || kind.safetyOnly():
	case takeover && q.Down == 0 && orphans > 0 && len(w.servers) > 2:
		w.break_(BrokenLiveness, "12s after %s failed its groups are not all up", failed.name)
	case !takeover && w.stats.Takes != takes && q.Interrupted == 0:
		w.break_(BrokenLiveness, "%d groups were taken though nothing had failed", w.stats.Takes-takes)
	}
}

// quietFault does it and says whether the groups of the server are to be taken over.
func (w *world) quietFault(kind Scenario, failed *server) bool {
	switch kind {
	case QuietLeader, QuietFollower:
		failed.powerOff()
	case QuietCut, QuietCutOther:
		w.cut(w.linksOf(failed), time.Hour)
	case QuietStall:
		failed.stall(failed.life, 1500*time.Millisecond)
		return false
	case QuietRestart:
		for i, s := range w.servers {
			w.after(time.Duration(i)*3*time.Second, func() {
				s.crash()
				w.after(w.dice.between(20*time.Millisecond, 300*time.Millisecond), s.start)
			})
		}
		return false
	case QuietPath:
		var links []link
		w.eachPair(func(from, to int) { links = append(links, link{from, to, 0}) })
		w.cut(links, time.Hour)
		return false
	case QuietDeaf:
		var links []link
		w.eachPair(func(from, to int) {
			for p := range w.opt.Paths {
				if to == failed.number-1 {
					links = append(links, link{from, to, p})
				}
			}
		})
		w.cut(links, time.Hour)
		w.register.down[failed.number] = true
	case QuietTie:
		for i := range w.register.down {
			w.register.down[i] = true
		}
		return false
	case QuietLink:
		other := w.servers[failed.number%len(w.servers)]
		var links []link
		for p := range w.opt.Paths {
			links = append(links, link{failed.number - 1, other.number - 1, p}, link{other.number - 1, failed.number - 1, p})
		}
		w.cut(links, time.Hour)
		for _, s := range w.servers {
			if s != failed && s != other {
				w.after(w.times.Elect+w.dice.between(0, 3*time.Second), func() {
					s.crash()
					w.after(w.dice.between(5*time.Millisecond, 50*time.Millisecond), s.start)
				})
			}
		}
	case QuietSplit:
		minority := (len(w.servers) - 1) / 2
		side := func(s int) bool { return (s-(failed.number-1)+len(w.servers))%len(w.servers) < minority }
		var links []link
		w.eachPair(func(from, to int) {
			if side(from) != side(to) {
				for p := range w.opt.Paths {
					links = append(links, link{from, to, p})
				}
			}
		})
		w.cut(links, time.Hour)
	default:
		panic(fmt.Sprintf("sim: no scenario %q", kind))
	}
	return true
}

// allElsewhere says whether every group is carried, and not by the failed server.
func (w *world) allElsewhere(failed *server) bool {
	for g := range w.rules.Groups {
		on := w.carriers(g)
		if len(on) != 1 || on[0] == failed {
			return false
		}
	}
	return true
}
