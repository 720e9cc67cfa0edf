package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ProbeInterval is how often a probe asks. An outage is seen up to this much longer
// than it was.
const ProbeInterval = 5 * time.Millisecond

// Probe asks the echo service behind an address from the client, all the time, and
// keeps the longest time without an answer.
//
// On a busy machine the probe itself may stand still. So answers are timed by the
// kernel, and a time in which nothing was asked is not an outage: with no question lost
// between two answers of one server, only what the second one took counts.
type Probe struct {
	ip   netip.Addr
	fd   int
	stop chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	began    time.Time
	last     time.Time // newest answer
	lastSeq  uint64    // its question
	lastFrom string
	longest  Gap
	answers  int
	asked    int
	servers  map[string]int // answers by server
	over     bool
}

// Gap is a time without service, as a client sees it.
type Gap struct {
	From, Until   time.Time // last answer before (or, with none lost, the question), first answer after
	Lost          int       // questions without an answer
	Before, After string    // who gave them; After "" means: never again
	Answers       int       // answers of the whole probe
	Asked         int       // questions of the whole probe
}

// Duration is how long it was.
func (g Gap) Duration() time.Duration { return g.Until.Sub(g.From) }

func (g Gap) String() string {
	after := g.After
	if after == "" {
		after = "nobody"
	}
	return fmt.Sprintf("%s (%s to %s, %d lost; %d of %d answered)",
		g.Duration().Round(100*time.Microsecond), g.Before, after, g.Lost, g.Answers, g.Asked)
}

// NewProbe begins to probe an address. It returns when the first answer has come.
func (l *Lab) NewProbe(ip netip.Addr, wait time.Duration) (*Probe, error) {
	p := &Probe{ip: ip, fd: -1, stop: make(chan struct{}), servers: map[string]int{}}
	err := l.ClientDo(func() (err error) {
		if p.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		// Receiving ends a little after sending, by itself.
		if err = unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}); err != nil {
			return err
		}
		return unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	if err != nil {
		return nil, fmt.Errorf("probe %s: %w", ip, err)
	}
	p.began = time.Now()
	p.wg.Go(p.send)
	p.wg.Go(p.receive)
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if p.count() > 0 {
			l.onClose(func() { p.Stop() })
			return p, nil
		}
	}
	p.Stop()
	return nil, fmt.Errorf("probe %s: no answer in %s", ip, wait)
}

func (p *Probe) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answers
}

func (p *Probe) isOver() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

func (p *Probe) send() {
	tick := time.NewTicker(ProbeInterval)
	defer tick.Stop()
	to := &unix.SockaddrInet4{Port: EchoPort, Addr: p.ip.As4()}
	for seq := uint64(1); ; seq++ {
		// An error is an outage too: no neighbour, no route. Answers tell.
		question := binary.BigEndian.AppendUint64(nil, seq)
		question = binary.BigEndian.AppendUint64(question, uint64(time.Now().UnixNano()))
		p.mu.Lock()
		p.asked++
		p.mu.Unlock()
		_ = unix.Sendto(p.fd, question, unix.MSG_DONTWAIT, to)
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
	}
}

func (p *Probe) receive() {
	buf, oob := make([]byte, 1500), make([]byte, 256)
	for {
		n, oobn, _, _, err := unix.Recvmsg(p.fd, buf, oob, 0)
		if err == nil && n > 16 {
			sent := time.Unix(0, int64(binary.BigEndian.Uint64(buf[8:])))
			p.answered(binary.BigEndian.Uint64(buf), sent, packetTime(oob[:oobn]), string(buf[16:n]))
			continue
		}
		select {
		case <-p.stop:
			return
		default:
		}
	}
}

func (p *Probe) answered(seq uint64, sent, at time.Time, server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.answers++
	p.servers[server]++
	if seq <= p.lastSeq {
		return // overtaken on the way
	}
	if !p.last.IsZero() {
		g := Gap{From: p.last, Until: at, Lost: int(seq - p.lastSeq - 1), Before: p.lastFrom, After: server}
		if g.Lost == 0 && server == p.lastFrom {
			g.From = sent
		}
		p.note(g)
	}
	p.last, p.lastSeq, p.lastFrom = at, seq, server
}

func (p *Probe) note(g Gap) {
	if g.Duration() > p.longest.Duration() {
		p.longest = g
	}
}

// Last is the newest answer: when, and whose.
func (p *Probe) Last() (time.Time, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.lastFrom
}

// Servers says how many answers each server gave.
func (p *Probe) Servers() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int{}
	for k, v := range p.servers {
		out[k] = v
	}
	return out
}

// Stop ends the probe and returns the longest gap. It waits a little for one more
// answer, so that an outage which is just over has its end; one that has not ended
// counts up to now. Calling it again returns the same.
func (p *Probe) Stop() Gap {
	for n, tries := p.count(), 0; p.count() == n && tries < 100 && !p.isOver(); tries++ {
		time.Sleep(time.Millisecond)
	}
	p.mu.Lock()
	if !p.over {
		p.over = true
		from := p.last
		if from.IsZero() {
			from = p.began
		}
		if lost := p.asked - int(p.lastSeq); lost > 1 { // one may be on its way
			p.note(Gap{From: from, Until: time.Now(), Lost: lost, Before: p.lastFrom})
		}
		p.longest.Answers, p.longest.Asked = p.answers, p.asked
		close(p.stop)
		p.mu.Unlock()
		p.wg.Wait()
		unix.Close(p.fd)
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	return p.longest
}
