package sim

import (
	"fmt"
	"time"

	"baton/core/epoch"
	"baton/core/lease"
	"baton/core/node"
)

// server is one machine: its power, clock and disk, the guard and the steps that
// run on it, and one life of batond after the other.
type server struct {
	w      *world
	number int
	name   string
	dice   dice // of the node's random numbers

	power bool
	kept  bool // off: an operator keeps it off
	boots int
	clock clock
	disk  disk
	// frozen: the whole machine stands still until this virtual time.
	frozen time.Duration

	guard    guard
	children []*child
	carries  []carry // by group

	life       *life
	startWaits bool // batond has been started and waits for the guard to finish
	// away: batond has ended in order and is started again later, not by init.
	away bool
	// line is the epoch that its node was last seen to be in.
	line epoch.ID
	// had is that of the newest state it was seen to have, and hadAt the state's index.
	had   epoch.ID
	hadAt uint64
	// interrupted counts the groups that the guard has cleared here.
	interrupted int

	// seen is what the world has noticed of this server from outside.
	seen struct {
		leads   bool
		sealed  bool
		term    uint64
		session uint64
		epoch   uint64
	}
}

// life is one run of batond.
type life struct {
	node    *node.Node
	inbox   []node.Input // what came while it was stalled
	ticking bool         // a tick is in the inbox
	stalled time.Duration
	// held are the outputs of a step after which the process was stopped before it
	// could carry them out; halt says that the next step is such a one.
	held *node.Output
	halt time.Duration

	writer writer
	// cleared is the last session that the guard had cleared when the owner looked,
	// refused one that it would not extend.
	cleared, refused uint64
	lastBatch        uint64
	lastEvent        uint64
	lastIndex        uint64
	line             epoch.ID // of lastIndex and lastEvent
	isOfLine         bool     // the node's state is
	// lease is what the node believes its own to be.
	lease  node.Lease
	readAt lease.Instant // the clock at the step whose outputs are being carried out
	// leaving: batond has been told to stop.
	leaving bool
}

func (l *life) leases(le *node.Lease) {
	if le.Session != l.lease.Session || le.End > l.lease.End {
		l.lease = *le
	}
}

func newServer(w *world, number int) *server {
	s := &server{w: w, number: number, name: fmt.Sprintf("s%d", number)}
	s.dice = newDice(w.opt.Seed, streamServer+uint64(number))
	s.clock.rate = 1 + (w.dice.Float64()*2-1)*w.opt.Drift
	s.clock.wall = w.dice.Int64N(60_000) - 30_000
	s.carries = make([]carry, len(w.rules.Groups))
	if w.opt.LyingDisks {
		s.disk.cache = &cache{dice: newDice(w.opt.Seed, streamLies<<32|uint64(number))}
	}
	return s
}

// local is the machine's clock now.
func (s *server) local() lease.Instant { return s.clock.read(s.w.now) }

// whenThawed does it now, or when the machine goes on.
func (s *server) whenThawed(do func()) {
	if s.w.now < s.frozen {
		s.w.at(s.frozen, func() { s.whenThawed(do) })
		return
	}
	do()
}

// boot switches the machine on and starts batond.
func (s *server) boot() {
	if s.kept {
		return
	}
	if !s.power {
		s.power = true
		s.boots++
		// The clock of a boot begins at some small number; instants of two boots
		// cannot be compared.
		s.clock.offset = 0
		s.clock.offset = lease.Instant(s.w.dice.between(time.Second, 100*time.Second)) - s.clock.read(s.w.now)
		s.w.note(s, "boots (%d)", s.boots)
	}
	s.away = false
	s.start()
}

// start runs batond, where it does not run yet.
func (s *server) start() {
	w := s.w
	if !s.power || s.life != nil || s.startWaits {
		return
	}
	if until := max(s.disk.hung, s.frozen); w.now < until {
		w.at(until+time.Millisecond, s.start)
		return
	}
	if s.guard.state == guardArmed && (!s.holds(s.guard.session) || len(s.disk.pairs) == 0) {
		// Too late, or nobody knows any more what it ran under.
		s.fire("batond starts without a lease")
	}
	if s.guard.state == guardClearing && w.dice.chance(0.5) {
		s.startWaits = true
		return
	}
	cfg := node.Config{
		Self: s.number, Servers: w.rules.Servers, Times: w.times, Wait: w.wait, Paths: w.opt.Paths,
		Boot: fmt.Sprintf("boot-%d-%d", s.number, s.boots), Rules: w.rules, Random: s.dice.Uint64,
		Clean: s.guard.state == guardIdle, Weaken: w.opt.Weaken, Over: s.guard.cleared,
		Tiebreaker: w.opt.Tie != TieNone, WeakTiebreaker: w.opt.Tie.isWeak(),
	}
	l := &life{readAt: s.local(), cleared: s.guard.cleared}
	if s.guard.state == guardArmed {
		cfg.Adopt = s.guard.end
		cfg.Clean = s.isEmpty() && w.dice.chance(0.5) // the hands may not be sure
		l.lease = node.Lease{Session: s.guard.session, End: s.guard.end}
	}
	w.note(s, "batond starts, clean %v, lease %v", cfg.Clean, cfg.Adopt != 0)
	n, out, err := node.New(cfg, s.disk.image(), s.reading())
	if err != nil {
		w.break_(BrokenPanic, "s%d: %v", s.number, err)
		return
	}
	l.node = n
	s.life = l
	s.seen.leads, s.seen.sealed, s.seen.term, s.seen.session = false, false, 0, 0
	w.stats.Lives++
	s.carryOut(l, &out)
	w.look(s, l)
	s.tickLater(l)
	if w.echoes != nil && w.echoes.dice.chance(0.4) {
		w.echo(s, 30)
	}
}

// isEmpty says whether nothing of any group is on the machine.
func (s *server) isEmpty() bool {
	for i := range s.carries {
		if s.carries[i].on {
			return false
		}
	}
	return len(s.children) == 0
}

func (s *server) reading() node.Now {
	return node.Now{Mono: s.local(), Wall: s.clock.readWall(s.w.now)}
}

// tickLater sends the node its ticks. A ticker that nobody reads holds one tick.
func (s *server) tickLater(l *life) {
	w := s.w
	d := w.times.Tick
	d += w.dice.between(-d/10, d/10)
	if w.dice.chance(0.01) {
		d += w.dice.between(0, 3*d)
	}
	w.after(s.clock.span(d), func() {
		if s.life != l {
			return
		}
		if !l.ticking {
			l.ticking = true
			s.input(l, node.Input{})
		}
		s.tickLater(l)
	})
}

// input gives the node something that has happened, or keeps it until batond goes on.
func (s *server) input(l *life, in node.Input) {
	if s.life != l || !s.power {
		return
	}
	if s.w.now < l.stalled || s.w.now < s.frozen {
		l.inbox = append(l.inbox, in)
		return
	}
	s.step(l, in)
}

func (s *server) step(l *life, in node.Input) {
	if in == (node.Input{}) {
		l.ticking = false
		if session := s.clearing(l); session != 0 {
			s.step(l, node.Input{Cleared: session})
			if s.life != l || l.held != nil {
				return
			}
		}
	}
	s.w.stats.Steps++
	l.readAt = s.local()
	out := l.node.Step(s.reading(), in)
	if l.halt > 0 {
		// The process is stopped just here, between deciding and doing.
		d := l.halt
		l.halt = 0
		l.held = &out
		s.stall(l, d)
		return
	}
	s.carryOut(l, &out)
}

// stall stops batond for a while. The guard, the steps and the disk go on.
func (s *server) stall(l *life, d time.Duration) {
	l.stalled = max(l.stalled, s.w.now+d)
	s.w.at(l.stalled, func() { s.goOn(l) })
}

func (s *server) goOn(l *life) {
	if s.life != l || s.w.now < l.stalled {
		return
	}
	if s.w.now < s.frozen {
		s.w.at(s.frozen, func() { s.goOn(l) })
		return
	}
	if out := l.held; out != nil {
		l.held = nil
		s.carryOut(l, out)
	}
	for s.life == l && s.w.now >= l.stalled && len(l.inbox) > 0 {
		in := l.inbox[0]
		l.inbox = l.inbox[1:]
		s.step(l, in)
	}
}

// carryOut is what the event loop of batond does with the outputs of a step.
func (s *server) carryOut(l *life, out *node.Output) {
	w := s.w
	refused := out.Lease != nil && !s.extend(l, out.Lease)
	if out.Lease != nil {
		if w.point(s, pointLease); s.life != l {
			return
		}
	}
	if refused {
		l.refused = out.Lease.Session
		out.Run = nil
	}
	if out.Fire && s.guard.state == guardArmed {
		s.fire("batond says so")
		if w.point(s, pointLease); s.life != l {
			return
		}
	}
	w.judge.events(s, l, out.Events)
	if out.Batch != nil {
		s.write(l, out.Batch)
		w.point(s, pointBatch)
	}
	for _, r := range out.Run {
		if s.life == l {
			s.run(l, r)
			w.point(s, pointRun)
		}
	}
	for i := range out.Send {
		if s.life == l {
			w.send(s, &out.Send[i])
			w.sentPoint(s, &out.Send[i])
		}
	}
	for _, c := range out.Register {
		if s.life == l {
			w.call(s, l, c)
			w.point(s, pointRegister)
		}
	}
	for _, r := range out.Replies {
		if s.life == l {
			w.operators.reply(s, l, r)
		}
	}
	if out.Changed && s.life == l {
		w.look(s, l)
	}
	if refused && s.life == l {
		s.step(l, node.Input{Lapsed: l.refused})
	}
	if out.Exit && s.life == l {
		s.exit()
	}
}

// crash ends batond, as SIGKILL does. What runs goes on under the guard.
func (s *server) crash() {
	l := s.life
	if l == nil {
		return
	}
	s.w.note(s, "batond crashes")
	s.life = nil
	s.abandon(l)
	s.orphan()
}

// exit ends batond in order. Its last act is to have the guard clear what is left.
func (s *server) exit() {
	w := s.w
	w.note(s, "batond exits")
	w.stats.count("orderly exit")
	l := s.life
	s.life = nil
	s.abandon(l)
	s.orphan()
	s.away = true
	if s.guard.state == guardArmed {
		s.fire("batond exits")
	}
	back := w.dice.between(500*time.Millisecond, 12*time.Second)
	if w.healed {
		back = w.dice.between(500*time.Millisecond, 2*time.Second)
	}
	reboot := w.dice.chance(0.5) && w.mayLosePower(s)
	w.after(back, func() {
		if !s.away {
			return
		}
		if reboot {
			s.powerOff()
		}
		s.boot()
	})
}

// powerOff ends everything at once.
func (s *server) powerOff() {
	s.w.note(s, "power off")
	if l := s.life; l != nil {
		s.life = nil
		s.abandon(l)
	}
	s.power, s.startWaits, s.frozen = false, false, 0
	s.disk.losePower(s)
	s.guard = guard{shift: s.guard.shift + 1}
	s.children = nil
	for i := range s.carries {
		s.w.drops(s, i, "power off")
	}
}

// wipe empties the state directory.
func (s *server) wipe() {
	s.w.note(s, "state directory wiped")
	s.disk.pairs = nil
	if c := s.disk.cache; c != nil {
		c.under.pairs, c.batches = nil, nil
	}
}

// leave tells batond to stop. Its service manager does not wait for ever.
func (s *server) leave(in node.Input) {
	l := s.life
	l.leaving = true
	s.w.note(s, "batond is told to stop")
	s.input(l, in)
	s.w.after(stubborn, func() {
		if s.life == l {
			s.w.note(s, "the service manager has waited long enough")
			s.w.stats.count("leave cut short")
			s.crash()
			s.exitLater()
		}
	})
}

// exitLater starts batond again after it was killed on the way out.
func (s *server) exitLater() {
	s.w.after(s.w.dice.between(100*time.Millisecond, 3*time.Second), s.start)
}
