package witness

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"baton/core/epoch"
	"baton/core/node"

	"golang.org/x/sys/unix"
)

// Config is what a server must know of its witness.
type Config struct {
	// Addresses are of one witness, each by another network; all are asked at once.
	Addresses []netip.AddrPort
	// Keys are the cluster's. The first seals; where it is not answered the others
	// are tried too, for during a change of keys the witness may not have the new one.
	Keys [][]byte
	Self int // number of this server; for the witness's log
}

// Promise says what the tie-breaker covers and what not.
const Promise = "witness: full, as long as the witness's disk keeps what it has confirmed; " +
	"all addresses must be of one witness, and a copy of its state directory that is put back may give an epoch out twice"

// Client asks a witness. Do may be called from several goroutines.
type Client struct {
	cfg     Config
	sealers []*sealer

	mu    sync.Mutex
	ok    bool
	text  string
	drops map[string]uint64
}

// Times of the client.
const (
	firstResend = 100 * time.Millisecond // then twice as long each time
	maxResend   = 400 * time.Millisecond
	// raiseFor is how long after the beginning of a call its Raise may still be
	// sent with a challenge: the leader had its lease at that beginning.
	raiseFor = time.Second
)

// NewClient returns a client. It sends nothing yet.
func NewClient(cfg Config) (*Client, error) {
	if len(cfg.Addresses) == 0 {
		return nil, errors.New("witness: no address")
	}
	if len(cfg.Keys) == 0 {
		return nil, errors.New("witness: no key")
	}
	c := &Client{cfg: cfg, text: "not asked yet", drops: map[string]uint64{}}
	for _, k := range cfg.Keys {
		s, err := newSealer(k)
		if err != nil {
			return nil, err
		}
		c.sealers = append(c.sealers, s)
	}
	return c, nil
}

// Close does nothing: the client holds nothing between calls.
func (c *Client) Close() error { return nil }

// State says how the last call ended.
func (c *Client) State() (ok bool, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ok, c.text
}

// Drops is how many datagrams were dropped, by reason.
func (c *Client) Drops() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]uint64{}
	for why, n := range c.drops {
		out[why] = n
	}
	return out
}

// Do asks until there is an answer or the context ends.
func (c *Client) Do(ctx context.Context, call node.RegisterCall) (node.RegisterAnswer, error) {
	begin := sinceBoot()
	a, from, err := c.do(ctx, call, begin)
	took := sinceBoot() - begin
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.ok, c.text = false, err.Error()
		return node.RegisterAnswer{}, err
	case a.Text != "":
		c.ok, c.text = false, a.Text
	default:
		c.ok, c.text = true, fmt.Sprintf("epoch %d at %v, %v", a.Top.Number, from, took.Round(100*time.Microsecond))
	}
	return a, nil
}

func (c *Client) do(ctx context.Context, call node.RegisterCall, begin time.Duration) (node.RegisterAnswer, netip.AddrPort, error) {
	if call.Cluster == 0 {
		return node.RegisterAnswer{ID: call.ID, Text: "the cluster has no id yet"}, netip.AddrPort{}, nil
	}
	r := request{cluster: call.Cluster, op: opRead, server: byte(c.cfg.Self)}
	switch none := (epoch.ID{}); {
	case call.Raise != none:
		r.op, r.epoch = opRaise, call.Raise
	case call.Claim != none:
		r.op, r.epoch = opClaim, call.Claim
	}
	for {
		a, from, err := c.ask(ctx, r)
		if err != nil {
			return node.RegisterAnswer{}, from, err
		}
		switch a.status {
		case statusOK:
			return node.RegisterAnswer{ID: call.ID, Top: a.top}, from, nil
		case statusRefused:
			return node.RegisterAnswer{ID: call.ID, Text: a.text}, from, nil
		case statusFailed:
			return node.RegisterAnswer{}, from, fmt.Errorf("witness %v: %s", from, a.text)
		}
		if r.op != opRaise || sinceBoot()-begin > raiseFor {
			return node.RegisterAnswer{ID: call.ID, Text: "the cluster is not enrolled at the witness; it is as soon as a leader of it reaches the witness"}, from, nil
		}
		r.challenge = a.challenge
	}
}

// sinceBoot goes on while the machine is suspended, so that a Raise that slept is old.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("clock_gettime(CLOCK_BOOTTIME): " + err.Error()) // no kernel that runs Go lacks it
	}
	return time.Duration(ts.Nano())
}

// graceOf is how long the other addresses may still answer after the first did. They
// are waited for only to notice that they are of another witness.
func graceOf(op operation) time.Duration {
	switch op {
	case opRaise:
		return 250 * time.Millisecond
	case opRead:
		return 30 * time.Millisecond
	}
	return 0
}

// heard is an answer, or why an address gave none.
type heard struct {
	from   netip.AddrPort
	answer answer
	err    error
}

// ask sends a request to all addresses, again and again, until one answers.
func (c *Client) ask(ctx context.Context, r request) (answer, netip.AddrPort, error) {
	ctx, cancel := context.WithCancel(ctx)
	rand.Read(r.id[:])
	body := r.encode()
	all := make(chan heard, 2*len(c.cfg.Addresses))
	var wg sync.WaitGroup
	for _, at := range c.cfg.Addresses {
		wg.Go(func() { c.converse(ctx, at, r.id, body, all) })
	}
	defer wg.Wait()
	defer cancel()

	var first heard
	var grace <-chan time.Time
	failed := map[netip.AddrPort]error{}
	for n := 0; n < len(c.cfg.Addresses); {
		select {
		case h := <-all:
			switch {
			case h.err != nil:
				failed[h.from] = h.err
				continue
			case grace == nil && first.from == netip.AddrPort{}:
				first = h
				grace = time.After(graceOf(r.op))
			case h.answer.instance != first.answer.instance:
				return answer{}, h.from, fmt.Errorf("%v and %v are two different witnesses, which may give one epoch out twice; name the addresses of one", first.from, h.from)
			}
			n++
		case <-grace:
			return first.answer, first.from, nil
		case <-ctx.Done():
			if grace != nil {
				return first.answer, first.from, nil
			}
			return answer{}, netip.AddrPort{}, c.silent(failed, ctx.Err())
		}
	}
	return first.answer, first.from, nil
}

// silent says of each address why it did not answer.
func (c *Client) silent(failed map[netip.AddrPort]error, cause error) error {
	text := ""
	for _, at := range c.cfg.Addresses {
		if text != "" {
			text += "; "
		}
		if err := failed[at]; err != nil {
			text += fmt.Sprintf("witness %v: %v", at, err)
		} else {
			text += fmt.Sprintf("witness %v: no answer", at)
		}
	}
	return fmt.Errorf("%s: %w", text, cause)
}

// converse sends the request to one address until that answers or the context ends.
// It tells one answer at most, and the first error before it.
func (c *Client) converse(ctx context.Context, at netip.AddrPort, id callID, body []byte, all chan<- heard) {
	told := false
	for wait, n := firstResend, 0; ctx.Err() == nil; wait, n = min(2*wait, maxResend), n+1 {
		a, err := c.once(ctx, at, c.sealers[n%len(c.sealers)], id, body, wait)
		if err == nil {
			all <- heard{from: at, answer: a}
			return
		}
		if !told && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			told = true
			all <- heard{from: at, err: err}
		}
	}
}

// once sends one datagram and reads what comes until the wait is over.
func (c *Client) once(ctx context.Context, at netip.AddrPort, s *sealer, id callID, body []byte, wait time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", at.String())
	if err == nil {
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
		_, err = conn.Write(s.seal(kindRequest, body))
	}
	buf := make([]byte, datagramSize+1)
	for err == nil {
		var n int
		if n, err = conn.Read(buf); err != nil {
			break
		}
		if a, drop := c.take(buf[:n], s, id); drop == "" {
			return a, nil
		}
	}
	// Not at once again: the network is down, or nobody listens.
	failed := ctx.Err()
	<-ctx.Done()
	if failed != nil {
		return answer{}, context.DeadlineExceeded
	}
	return answer{}, err
}

// take reads an answer to the call, or counts why it is none.
func (c *Client) take(b []byte, s *sealer, id callID) (a answer, drop string) {
	h, drop := glance(b, kindAnswer)
	if drop == "" && h != s.hint {
		drop = DropKey
	}
	if drop == "" {
		body, err := s.open(kindAnswer, b)
		if err != nil {
			drop = DropForged
		} else if a, err = decodeAnswer(body); err != nil {
			drop = DropMalformed
		} else if a.id != id {
			drop = DropStale
		}
	}
	if drop != "" {
		c.mu.Lock()
		c.drops[drop]++
		c.mu.Unlock()
	}
	return a, drop
}
