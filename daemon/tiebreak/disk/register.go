package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"baton/core/node"
)

// Config is what a register must know.
type Config struct {
	Device string // path of the CLUSTER partition
	Self   int    // number of this server, 1 to MaxServers
	// LockDir is the directory of the lock file, on this machine's own disk; "": the
	// caller sees to it that no other process uses the partition as this server.
	LockDir string
	// Timeout is heartbeat.timeout: an access that takes longer is told by State.
	Timeout time.Duration
}

// Promise says what the tie-breaker covers and what not.
const Promise = "disk: full, as long as the disk keeps what it has confirmed and shows it to every server; " +
	"a copy of the disk that is put back, or a disk that is mirrored without its writes in order, may give an epoch out twice"

// Register is the tie-breaker. Do may be called from several goroutines; their calls
// are carried out one after the other.
type Register struct {
	cfg    Config
	jobs   chan job
	open   func() (sectors, error)
	access access
	ctx    context.Context // of the worker
	cancel context.CancelFunc
	ended  chan struct{} // closed when the worker has ended

	mu   sync.Mutex
	ok   bool
	text string
}

type job struct {
	ctx  context.Context
	call node.RegisterCall
	done chan<- outcome // has room for one
}

type outcome struct {
	answer node.RegisterAnswer
	err    error
}

// Open returns a register and touches neither disk nor lock: a disk that is not there
// yet is an error of Do, every time, until it is there.
func Open(cfg Config) (*Register, error) {
	r, err := newRegister(cfg)
	if err != nil {
		return nil, err
	}
	go r.work()
	return r, nil
}

func newRegister(cfg Config) (*Register, error) {
	if cfg.Self < 1 || cfg.Self > MaxServers {
		return nil, fmt.Errorf("server number %d is not 1 to %d", cfg.Self, MaxServers)
	}
	if cfg.Device == "" {
		return nil, errors.New("disk: no device")
	}
	r := &Register{cfg: cfg, jobs: make(chan job), ended: make(chan struct{}), text: "not asked yet"}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.open = func() (sectors, error) {
		d, err := openDevice(cfg.Device, false)
		if err != nil {
			return nil, err // not a nil device in an interface
		}
		return d, nil
	}
	return r, nil
}

// Do carries out one call. An error means that there is no answer: what was asked for
// may happen all the same.
func (r *Register) Do(ctx context.Context, call node.RegisterCall) (node.RegisterAnswer, error) {
	done := make(chan outcome, 1)
	select {
	case r.jobs <- job{ctx, call, done}:
	case <-ctx.Done():
		return node.RegisterAnswer{}, r.late(ctx)
	case <-r.ended:
		return node.RegisterAnswer{}, errors.New("the register is closed")
	}
	select {
	case o := <-done:
		return o.answer, o.err
	case <-ctx.Done():
		return node.RegisterAnswer{}, r.late(ctx)
	}
}

// late says why there was no answer in time.
func (r *Register) late(ctx context.Context) error {
	if what, age := r.access.age(); age > 0 {
		return fmt.Errorf("%s %s: no end after %v: %w", what, r.cfg.Device, age.Round(time.Millisecond), ctx.Err())
	}
	return fmt.Errorf("%s: %w", r.cfg.Device, ctx.Err())
}

// State says whether the register would answer, and if not, why. It never waits.
func (r *Register) State() (ok bool, text string) {
	if what, age := r.access.age(); age > r.cfg.Timeout && age > 0 {
		return false, fmt.Sprintf("%s %s: no end after %v", what, r.cfg.Device, age.Round(100*time.Millisecond))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ok, r.text
}

func (r *Register) note(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(o.err, context.DeadlineExceeded), errors.Is(o.err, context.Canceled):
		r.ok, r.text = false, r.cfg.Device+": no answer in time"
	case o.err != nil:
		r.ok, r.text = false, o.err.Error()
	case o.answer.Text != "":
		r.ok, r.text = false, o.answer.Text
	default:
		r.ok, r.text = true, fmt.Sprintf("epoch %d on %s", o.answer.Top.Number, r.cfg.Device)
	}
}

// closeWait is how long Close waits for an access under way.
const closeWait = time.Second

// Close ends the register. Where an access of the disk hangs it returns an error, and
// the lock is held until that access or the process has ended.
func (r *Register) Close() error {
	r.cancel()
	t := time.NewTimer(closeWait)
	defer t.Stop()
	select {
	case <-r.ended:
		return nil
	case <-t.C:
		what, age := r.access.age()
		return fmt.Errorf("%s %s: no end after %v", what, r.cfg.Device, age.Round(time.Millisecond))
	}
}

// hand is what the worker has: the lock and the open device, both taken when first
// needed, and the algorithm with its memory of what it has written.
type hand struct {
	lock   *os.File
	device sectors
	paxos  *paxos
}

// work does all I/O, on a thread that does nothing else.
func (r *Register) work() {
	defer close(r.ended)
	runtime.LockOSThread()
	var h hand
	defer h.close()
	h.paxos = newPaxos(r.cfg.Self, nil, alignedMemory(areaSize), alignedMemory(slotSize))
	for {
		select {
		case <-r.ctx.Done():
			return
		case j := <-r.jobs:
			if j.ctx.Err() != nil {
				continue // it has waited for too long
			}
			ctx, cancel := context.WithCancel(j.ctx)
			stop := context.AfterFunc(r.ctx, cancel)
			o := r.carryOut(ctx, &h, j.call)
			stop()
			cancel()
			r.note(o)
			j.done <- o
		}
	}
}

func (r *Register) carryOut(ctx context.Context, h *hand, call node.RegisterCall) outcome {
	if err := h.ready(r); err != nil {
		return outcome{err: err}
	}
	h.paxos.m = &deviceMedium{ctx: ctx, device: h.device, access: &r.access}
	a, err := h.paxos.do(call)
	if err != nil && ctx.Err() == nil {
		// The device may have been taken away and come back as another one.
		h.device.close()
		h.device = nil
		err = fmt.Errorf("%s: %w", r.cfg.Device, err)
	}
	return outcome{a, err}
}

// ready takes the lock and opens the device where that is not done yet.
func (h *hand) ready(r *Register) (err error) {
	if h.lock == nil && r.cfg.LockDir != "" {
		if h.lock, err = lock(r.cfg.LockDir); err != nil {
			return err
		}
	}
	if h.device == nil {
		r.access.begin("open")
		defer r.access.end()
		h.device, err = r.open()
	}
	return err
}

func (h *hand) close() {
	if h.device != nil {
		h.device.close()
	}
	if h.lock != nil {
		h.lock.Close()
	}
}
