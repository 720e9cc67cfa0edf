package sim

import (
	"slices"
	"time"

	"baton/core/node"
)

// fault is one kind of thing that goes wrong.
type fault struct {
	name   string
	weight int
	do     func(*world)
}

// faults are drawn by weight, one every 0.2 to 2.5 s of virtual time (or half or a
// quarter as often), so that several are going on at once.
var faults = []fault{
	{"partition", 4, func(w *world) { w.partition(false) }},
	{"one-way partition", 2, func(w *world) { w.partition(true) }},
	{"links cut", 2, (*world).cutLinks},
	{"paths cut", 3, (*world).cutPaths},
	{"isolated server", 2, func(w *world) { w.isolate(w.any()) }},
	{"loss", 2, (*world).lossy},
	{"slow packets", 2, (*world).slowPackets},
	{"batond crash", 4, func(w *world) { w.crashFor(w.any(), 30*time.Millisecond, 6*time.Second) }},
	{"machine crash", 3, func(w *world) { w.rebootIn(w.any(), 3*time.Second, 9*time.Second) }},
	{"quick reboot", 2, func(w *world) { w.rebootIn(w.any(), 300*time.Millisecond, 3*time.Second) }},
	{"stall", 4, func(w *world) { w.stallFor(w.any(), 8*time.Second) }},
	{"slow disk", 2, (*world).slowDisk},
	{"hung disk", 2, (*world).hungDisk},
	{"wipe", 2, (*world).wipeSome},
	{"link cut and restart", 4, (*world).linkAndRestart},
	{"wall clock jump", 1, (*world).jumpWall},
	{"leave", 2, (*world).leaveSome},
	{"all power off", 1, (*world).blackout},
	{"machine stall", 3, (*world).stallMachine},
	{"register lost", 2, (*world).registerFault},
	{"forced return", 4, (*world).forceSome},
	{"cold start", 3, (*world).coldStart},
}

var faultWeight = func() int {
	sum := 0
	for i := range faults {
		sum += faults[i].weight
	}
	return sum
}()

// startFaults lets faults begin.
func (w *world) startFaults() { w.after(w.from, w.nextFault) }

func (w *world) nextFault() {
	if w.healed {
		return
	}
	k := w.dice.IntN(faultWeight)
	for i := range faults {
		if w.peace {
			break
		}
		if k -= faults[i].weight; k < 0 {
			if !slices.Contains(w.opt.Without, faults[i].name) {
				faults[i].do(w)
			}
			break
		}
	}
	w.after(w.pace*w.dice.between(200*time.Millisecond, 2500*time.Millisecond), w.nextFault)
}

// fault counts one and writes it down.
func (w *world) fault(s *server, name, format string, args ...any) {
	w.stats.count(name)
	w.stats.Faults++
	w.note(s, "FAULT "+name+" "+format, args...)
}

// eachPair calls do for every two different servers, in order.
func (w *world) eachPair(do func(from, to int)) {
	for from := range w.servers {
		for to := range w.servers {
			if from != to {
				do(from, to)
			}
		}
	}
}

func (w *world) partition(oneWay bool) {
	side := make([]bool, len(w.servers))
	for i := range side {
		side[i] = w.dice.chance(0.5)
	}
	var links []link
	w.eachPair(func(from, to int) {
		if side[from] != side[to] && (!oneWay || side[from]) {
			for p := range w.opt.Paths {
				links = append(links, link{from, to, p})
			}
		}
	})
	name := "partition"
	if oneWay {
		name = "one-way partition"
	}
	w.fault(nil, name, "%v", side)
	w.cut(links, w.dice.between(500*time.Millisecond, 9*time.Second))
}

// cutLinks cuts all paths between some servers, each way on its own.
func (w *world) cutLinks() {
	var links []link
	for range 1 + w.dice.IntN(len(w.servers)) {
		from, to := w.dice.IntN(len(w.servers)), w.dice.IntN(len(w.servers))
		for p := range w.opt.Paths {
			links = append(links, link{from, to, p})
		}
		w.fault(nil, "links cut", "s%d to s%d", from+1, to+1)
	}
	w.cut(links, w.dice.between(500*time.Millisecond, 9*time.Second))
}

// cutPaths cuts single paths, or one whole network.
func (w *world) cutPaths() {
	var links []link
	path := w.dice.IntN(w.opt.Paths)
	whole := w.dice.chance(0.3)
	w.eachPair(func(from, to int) {
		if whole || w.dice.chance(0.4) {
			links = append(links, link{from, to, path})
		}
	})
	w.fault(nil, "paths cut", "path %d, %d links", path, len(links))
	w.cut(links, w.dice.between(500*time.Millisecond, 9*time.Second))
}

func (w *world) isolate(s *server) {
	w.fault(s, "isolated server", "")
	w.cut(w.linksOf(s), w.dice.between(500*time.Millisecond, 9*time.Second))
}

// linksOf are all paths from and to a server.
func (w *world) linksOf(s *server) []link {
	var links []link
	w.eachPair(func(from, to int) {
		if from == s.number-1 || to == s.number-1 {
			for p := range w.opt.Paths {
				links = append(links, link{from, to, p})
			}
		}
	})
	return links
}

func (w *world) lossy() {
	path, loss := w.dice.IntN(w.opt.Paths), w.dice.Float64()*0.7
	all := w.dice.chance(0.6)
	for p := range w.net.loss {
		if all || p == path {
			w.net.loss[p] = loss
		}
	}
	w.fault(nil, "loss", "%.2f", loss)
	era := w.net.era
	w.after(w.dice.between(500*time.Millisecond, 5*time.Second), func() {
		if w.net.era == era {
			for p := range w.net.loss {
				w.net.loss[p] = 0.01
			}
		}
	})
}

func (w *world) slowPackets() {
	w.net.slow, w.net.late = w.dice.Float64()*0.5, w.dice.between(100*time.Millisecond, 6*time.Second)
	w.fault(nil, "slow packets", "%.2f of them up to %v", w.net.slow, w.net.late)
	w.after(w.dice.between(500*time.Millisecond, 5*time.Second), func() { w.net.slow = 0 })
}

// crashFor ends batond; init starts it again.
func (w *world) crashFor(s *server, least, most time.Duration) {
	if s.life == nil {
		return
	}
	if w.dice.chance(0.3) {
		most = min(most, 200*time.Millisecond) // inside the lease
	}
	w.fault(s, "batond crash", "")
	s.crash()
	w.after(w.dice.between(least, most), s.start)
}

// rebootIn takes the power away for a while.
func (w *world) rebootIn(s *server, least, most time.Duration) {
	if !s.power || !w.mayLosePower(s) {
		return
	}
	name := "machine crash"
	if least < w.times.Timeout {
		name = "quick reboot"
	}
	w.fault(s, name, "")
	s.powerOff()
	s.away = false
	w.after(w.dice.between(least, most), s.boot)
}

func (w *world) stallFor(s *server, most time.Duration) {
	l := s.life
	if l == nil {
		return
	}
	d := w.dice.between(100*time.Millisecond, most)
	w.fault(s, "stall", "%v", d)
	if w.dice.chance(0.5) {
		l.halt = d // after the next step, before its outputs
		return
	}
	s.stall(l, d)
}

func (w *world) slowDisk() {
	d := w.dice.between(50*time.Millisecond, 1500*time.Millisecond)
	all := w.dice.chance(0.5)
	one := w.any()
	for _, s := range w.servers {
		if all || s == one {
			s.disk.slow = d
		}
	}
	w.fault(one, "slow disk", "up to %v, everywhere %v", d, all)
	w.after(w.dice.between(500*time.Millisecond, 5*time.Second), func() {
		for _, s := range w.servers {
			s.disk.slow = 0
		}
	})
}

func (w *world) hungDisk() {
	s := w.any()
	d := w.dice.between(500*time.Millisecond, 8*time.Second)
	s.disk.hung = w.now + d
	w.fault(s, "hung disk", "%v", d)
}

// wipeSome empties a state directory that the others can replace. With two servers,
// or while another wiped one is not a voter again, nobody could; that the cluster
// stands still then is right and would say nothing.
func (w *world) wipeSome() {
	s, l := w.any(), w.leader()
	if len(w.servers) < 3 || w.wiped != nil || l == nil || !w.mayLosePower(s) {
		return
	}
	if w.register.isAhead(l.line.Number) {
		return // if this is who has just won, nobody may ever go on
	}
	if v := l.life.node.View(l.reading()); !v.Quorum || len(v.Voters) != len(w.servers) || len(v.Learner) > 0 {
		return
	}
	for _, o := range w.servers {
		// Nor where nobody but s may know that there are voters enough without it.
		if o != s && (o.life == nil || len(o.life.node.View(o.reading()).Voters) != len(w.servers)) {
			return
		}
	}
	w.wiped = s
	w.fault(s, "wipe", "")
	if s.life != nil && w.dice.chance(0.3) {
		s.crash()
	} else if s.power {
		s.powerOff()
	}
	s.away = false
	s.wipe()
	w.after(w.dice.between(300*time.Millisecond, 5*time.Second), s.boot)
}

// linkAndRestart cuts the leader off from one server only; then another one, which
// hears both, forgets what it has promised.
func (w *world) linkAndRestart() {
	a, b := w.leader(), w.any()
	if a == nil || a == b || len(w.servers) < 3 {
		return
	}
	w.fault(a, "link cut and restart", "link to %s", b.name)
	var links []link
	for p := range w.opt.Paths {
		links = append(links, link{a.number - 1, b.number - 1, p}, link{b.number - 1, a.number - 1, p})
	}
	w.cut(links, w.dice.between(5*time.Second, 9*time.Second))
	least, most := w.times.Elect, w.times.Timeout+2*time.Second
	w.after(w.dice.between(least, most), func() {
		for _, s := range w.servers {
			if s != a && s != b && !w.healed && w.dice.chance(0.6) {
				w.crashFor(s, 5*time.Millisecond, 150*time.Millisecond)
			}
		}
	})
}

func (w *world) jumpWall() {
	s := w.any()
	s.clock.wall += w.dice.Int64N(7_200_000) - 3_600_000
	w.fault(s, "wall clock jump", "to %d", s.clock.readWall(w.now))
}

func (w *world) leaveSome() {
	s := w.any()
	if s.life == nil || s.life.leaving {
		return
	}
	w.fault(s, "leave", "")
	s.leave(node.Input{Leave: &node.Leave{Who: who(s)}})
}

// blackout is the building's power.
func (w *world) blackout() {
	if w.dice.chance(0.6) || w.opt.Tie == TiePing {
		return
	}
	w.fault(nil, "all power off", "")
	for _, s := range w.servers {
		if s.power {
			s.powerOff()
		}
		s.away = false
		w.after(w.dice.between(300*time.Millisecond, 6*time.Second), s.boot)
	}
}

func (w *world) stallMachine() {
	s := w.any()
	if !w.opt.MachineStalls || !s.power {
		return
	}
	d := w.dice.between(100*time.Millisecond, 8*time.Second)
	w.fault(s, "machine stall", "%v", d)
	s.frozen = w.now + d
	if s.life != nil {
		s.stall(s.life, d)
	}
}

// heal ends all faults and starts what does not run.
func (w *world) heal() {
	w.note(nil, "the faults are over")
	w.healed = true
	w.net.calm()
	clear(w.register.down)
	for _, sh := range w.fence.shots {
		if sh != nil {
			sh.fail("the faults are over")
		}
	}
	for _, s := range w.servers {
		s.disk.slow = 0
		s.disk.hung = min(s.disk.hung, w.now)
		s.frozen = min(s.frozen, w.now)
		if l := s.life; l != nil {
			l.halt = 0 // a stall that waits for the next step is a fault as well
			if w.now < l.stalled {
				l.stalled = w.now
				w.after(0, func() { s.goOn(l) })
			}
		}
		if !s.away {
			w.after(w.dice.between(0, time.Second), s.boot)
		}
	}
}
