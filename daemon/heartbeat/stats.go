package heartbeat

import (
	"time"

	"baton/core/node"
	"baton/daemon/wire"
)

// Directed is one directed path, from another server to this one, as this end sees
// it.
type Directed struct {
	Path int    // index
	Name string // of the path
	From int    // number of the server that is heard
	// OK: something came within the last three rounds.
	OK bool
	// Age is that of the newest datagram; -1: none ever.
	Age time.Duration
	// Loss is the share of datagrams lost in the last minute, 0 to 1; -1: not known.
	Loss float64
	// RTT is the smoothed time from sending a datagram on this path to the answer
	// that came on this path; -1: not known. The other server answers the copy that
	// comes first, so on the slower of several paths it is the way there on the
	// fastest and the way back on this one.
	RTT time.Duration
	// Received counts datagrams accepted.
	Received uint64
}

// Stats is what Heartbeat counts.
type Stats struct {
	Paths []Directed // by path, then by server
	// Closed are the paths without a socket, and why.
	Closed map[string]error
	// Drops counts, by reason, what was not sent or not delivered.
	Drops map[string]uint64
}

// Stats returns a picture of all paths. It costs some microseconds.
func (h *Heartbeat) Stats() Stats {
	st := Stats{Closed: make(map[string]error), Drops: h.drops.Counts()}
	st.Paths = make([]Directed, 0, len(h.paths)*len(h.cfg.Servers))
	now := time.Now()
	for _, p := range h.paths {
		p.mu.Lock()
		if p.err != nil {
			st.Closed[p.cfg.Name] = p.err
		}
		for i, a := range p.cfg.Remote {
			if from := i + 1; from != h.cfg.Self && a.IsValid() {
				d := p.inwards[from].picture(now, h.cfg.Round)
				d.Path, d.Name, d.From = p.index, p.cfg.Name, from
				st.Paths = append(st.Paths, d)
			}
		}
		p.mu.Unlock()
	}
	return st
}

// Loss is counted in slots of five seconds; twelve of them are the last minute.
const (
	slotLength = 5 * time.Second
	slots      = 12
)

// inward is one server as this one hears it on a path.
type inward struct {
	ok       bool // as last told to Config.Changed
	last     time.Time
	received uint64
	rtt      time.Duration // 0: not known
	run      *run          // of the last datagram
	high     uint64        // highest sequence of the run
	begun    time.Time     // of slot 0
	slots    [slots]slot   // a ring
}

// slot counts five seconds: the sequences that passed, and the datagrams that came.
type slot struct {
	number        int64 // since begun
	passed, there uint64
}

// heard takes a datagram into account.
func (in *inward) heard(now time.Time, seq uint64, r *run) {
	if in.begun.IsZero() {
		in.begun = now
	}
	in.last = now
	in.received++
	s := in.slot(now)
	s.there++
	if r != in.run { // the sender began anew, and so do its sequences
		in.run, in.high = r, seq
		s.passed++
		return
	}
	if seq > in.high {
		s.passed += seq - in.high
		in.high = seq
	}
}

func (in *inward) slot(now time.Time) *slot {
	number := int64(now.Sub(in.begun) / slotLength)
	s := &in.slots[number%slots]
	if s.number != number {
		*s = slot{number: number}
	}
	return s
}

// answered smooths the round-trip time as TCP does (RFC 6298 section 2).
func (in *inward) answered(rtt time.Duration) {
	rtt = max(rtt, 1)
	if in.rtt == 0 {
		in.rtt = rtt
	} else {
		in.rtt += (rtt - in.rtt) / 8
	}
}

// loss returns the share lost in the last minute. What a silence has swallowed is
// not in the sequences until something comes again: until then a datagram a round is
// taken to be missing.
func (in *inward) loss(now time.Time, round time.Duration) float64 {
	if in.last.IsZero() {
		return -1
	}
	number := int64(now.Sub(in.begun) / slotLength)
	var passed, there uint64
	for i := range in.slots {
		if s := &in.slots[i]; number-s.number < slots {
			passed += s.passed
			there += s.there
		}
	}
	if age := min(now.Sub(in.last), slots*slotLength); age >= lostRounds*round {
		passed += uint64(age / round)
	}
	if passed <= there { // also when late ones of an earlier slot came
		return 0
	}
	return 1 - float64(there)/float64(passed)
}

func (in *inward) picture(now time.Time, round time.Duration) Directed {
	d := Directed{Age: -1, Loss: in.loss(now, round), RTT: -1, Received: in.received}
	if !in.last.IsZero() {
		d.Age = max(now.Sub(in.last), 0)
		d.OK = d.Age < lostRounds*round
	}
	if in.rtt > 0 {
		d.RTT = in.rtt
	}
	return d
}

// asked remembers when the last datagrams left, to time their answers. Each receiver
// has numbers of its own, some thirty a second; an answer later than a few seconds is
// not timed.
type asked [wire.MaxServer + 1][64]struct {
	seq  uint64
	life node.Life
	at   time.Time
}

func (a *asked) add(m *node.Message, now time.Time) {
	to := &a[m.To]
	e := &to[m.Seq%uint64(len(to))]
	e.seq, e.life, e.at = m.Seq, m.Life, now
}

// find returns when the datagram left that this one answers.
func (a *asked) find(m *node.Message) (time.Time, bool) {
	if m.Kind == node.MsgHeartbeat || m.AnswerSeq == 0 {
		return time.Time{}, false
	}
	to := &a[m.From]
	e := &to[m.AnswerSeq%uint64(len(to))]
	return e.at, e.seq == m.AnswerSeq && e.life == m.AnswerLife
}
