package sim

import (
	"bytes"
	"time"

	"baton/core/node"
)

// network is every directed path between two servers. Datagrams go out on all paths
// and each has its own fate; streams get through while one path works.
type network struct {
	servers, paths int
	// cuts counts, by directed path, the faults that cut it: faults overlap.
	cuts []int
	// loss is that of datagrams, by path; dup how many come twice. slow of all
	// messages take up to late.
	loss []float64
	dup  float64
	slow float64
	late time.Duration
	// stream is when the newest message of each stream arrives: streams keep their
	// order, mostly.
	stream []time.Duration
	// era ends with the faults: a cut of an earlier one is not undone twice.
	era int
	lan lan // kind ping only
}

func newNetwork(servers, paths int) *network {
	n := &network{servers: servers, paths: paths}
	n.cuts = make([]int, servers*servers*paths)
	n.stream = make([]time.Duration, servers*servers)
	n.loss = make([]float64, paths)
	n.calm()
	return n
}

// calm is a network without faults, which loses and doubles a little all the same.
func (n *network) calm() {
	clear(n.cuts)
	clear(n.lan.out)
	clear(n.lan.in)
	for p := range n.loss {
		n.loss[p] = 0.01
	}
	n.dup, n.slow = 0.02, 0
	n.era++
}

// link is a directed path.
type link struct{ from, to, path int } // servers by number - 1

func (n *network) at(l link) *int { return &n.cuts[(l.from*n.servers+l.to)*n.paths+l.path] }

func (n *network) isCut(l link) bool {
	if n.isSwitched(l.path) && (n.lan.out[l.from] > 0 || n.lan.in[l.to] > 0) {
		return true
	}
	return *n.at(l) > 0
}

// reach says whether a stream gets through: works both ways, or at least one way.
func (n *network) reach(from, to int) (both, one bool) {
	for p := range n.paths {
		if !n.isCut(link{from, to, p}) {
			one = true
			both = both || !n.isCut(link{to, from, p})
		}
	}
	return both, one
}

// lossOnAll is the chance that a message is lost on every path that works.
func (n *network) lossOnAll(from, to int) float64 {
	all := 1.0
	for p, loss := range n.loss {
		if !n.isCut(link{from, to, p}) {
			all *= loss
		}
	}
	return min(all, 0.9) // it gets through at last
}

// cut cuts links for a while.
func (w *world) cut(links []link, d time.Duration) {
	n := w.net
	links, out, in := w.overSwitch(links)
	add := func(by int) {
		for _, l := range links {
			*n.at(l) += by
		}
		for _, s := range out {
			n.lan.out[s] += by
		}
		for _, s := range in {
			n.lan.in[s] += by
		}
	}
	if len(out)+len(in) > 0 {
		w.note(nil, "cables pulled: out of %v, into %v (by number - 1)", out, in)
		w.stats.count("cable pulled")
	}
	add(1)
	era := n.era
	w.after(d, func() {
		if n.era != era {
			return
		}
		add(-1)
		w.note(nil, "%d cut links work again", len(links))
	})
}

// delay is how long a message is on its way.
func (w *world) delay() time.Duration {
	n := w.net
	switch {
	case w.dice.chance(n.slow):
		return w.dice.between(50*time.Millisecond, n.late)
	case w.dice.chance(0.05):
		return w.dice.between(3*time.Millisecond, 40*time.Millisecond)
	}
	return w.dice.between(100*time.Microsecond, 3*time.Millisecond)
}

// send is what the owner does with Output.Send.
func (w *world) send(s *server, m *node.Message) {
	if m.From != s.number || m.To == s.number || m.To < 1 || m.To > len(w.servers) {
		w.break_(BrokenDuty, "s%d sends a message from %d to %d", s.number, m.From, m.To)
		return
	}
	if w.watch(s, m); w.stops(m) {
		return
	}
	w.echoes.keep(m)
	switch m.Kind {
	case node.MsgHeartbeat, node.MsgEcho, node.MsgGrant:
		for p := range w.net.paths {
			w.datagram(m, p)
		}
	case node.MsgRaft, node.MsgPropose:
		w.streamed(m)
	default:
		w.break_(BrokenDuty, "s%d sends a message of kind %d", s.number, m.Kind)
	}
}

func (w *world) datagram(m *node.Message, path int) {
	n := w.net
	l := link{m.From - 1, m.To - 1, path}
	copies := 1
	if w.dice.chance(n.dup) {
		copies = 2
	}
	var in node.Input
	for range copies {
		if n.isCut(l) || w.dice.chance(n.loss[path]) {
			continue
		}
		if in.Packet == nil {
			in.Packet = &node.Packet{Path: path, Message: *m}
		}
		w.after(w.delay(), func() {
			if n.isCut(l) && w.dice.chance(0.5) {
				return
			}
			w.deliver(in)
		})
	}
}

func (w *world) streamed(m *node.Message) {
	n := w.net
	from, to := m.From-1, m.To-1
	in := node.Input{Packet: &node.Packet{Path: -1, Message: *m}}
	receiver := w.servers[to]
	life := receiver.life
	both, one := n.reach(from, to)
	d := w.delay()
	// A straggler comes by another path than the messages behind it.
	straggler := d >= 50*time.Millisecond || w.dice.chance(0.02)
	switch {
	case both:
	case one && w.dice.chance(0.5):
		// It gets there, though the sender is never told.
	case w.dice.chance(0.1):
		d += w.dice.between(200*time.Millisecond, 6*time.Second) // sent again when the path is back
		straggler = true
	default:
		return
	}
	// Streams go out on every path, and the first copy counts.
	for w.dice.chance(n.lossOnAll(from, to)) {
		d += 200 * time.Millisecond // sent again
	}
	arrives := w.now + d
	last := &n.stream[from*n.servers+to]
	if !straggler {
		arrives = max(arrives, *last)
		*last = arrives
	}
	copies := 1
	if w.dice.chance(n.dup) {
		copies = 2
	}
	for k := range copies {
		t := arrives
		if k > 0 {
			t += w.delay()
		}
		w.at(t, func() {
			if b, o := n.reach(from, to); !b && (!o || w.dice.chance(0.5)) {
				return
			}
			if receiver.life != life && w.dice.chance(0.5) {
				return // the connection ended with the process
			}
			w.deliver(in)
		})
	}
}

func (w *world) deliver(in node.Input) {
	m := &in.Packet.Message
	s := w.servers[m.To-1]
	if s.life == nil {
		return
	}
	if w.opt.Packets {
		w.note(s, "gets  %s path %d", describe(m), in.Packet.Path)
	}
	s.input(s.life, in)
}

var (
	wordLost   = []byte(`"lost"`)
	wordArrive = []byte(`"arrive"`)
	wordResult = []byte(`"result"`)
)

// watch is what one can see of a server from the outside: who leads, under which
// session, what is being decided.
func (w *world) watch(s *server, m *node.Message) {
	if w.opt.Packets {
		w.note(s, "sends %s", describe(m))
	}
	if m.Kind == node.MsgHeartbeat {
		if m.Leader && (!s.seen.leads || s.seen.term != m.Term) {
			s.seen.leads, s.seen.term = true, m.Term
			w.stats.Elections++
			w.note(s, "leads %v in term %d", m.Epoch, m.Term)
			w.moment(momentLeader, s)
		} else if !m.Leader && s.seen.leads {
			s.seen.leads = false
			w.note(s, "leads no more")
		}
		if sealed := m.Seal != nil; sealed != s.seen.sealed {
			s.seen.sealed = sealed
			if sealed {
				w.stats.count("seal")
				w.note(s, "has sealed %v at %d/%d", m.Epoch, m.Seal.LastTerm, m.Seal.LastIndex)
				w.moment(momentSeal, s)
			}
		}
		if m.Epoch.Number != s.seen.epoch {
			s.seen.epoch = m.Epoch.Number
			w.note(s, "is in epoch %v", m.Epoch)
			w.moment(momentEpoch, s)
		}
		if m.Session != s.seen.session {
			s.seen.session = m.Session
			w.note(s, "names session %x", m.Session)
			if m.Session != 0 {
				w.moment(momentSession, s)
			}
		}
		return
	}
	if w.aim == 0 || w.healed || m.Kind < node.MsgRaft || len(m.Payload) < 40 {
		return
	}
	switch {
	case bytes.Contains(m.Payload, wordLost):
		w.moment(momentLost, s)
	case bytes.Contains(m.Payload, wordArrive):
		w.moment(momentArrive, s)
	case bytes.Contains(m.Payload, wordResult):
		w.moment(momentResult, s)
	}
}
