package disk

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"
)

// BeatConfig is what the heartbeat over the disk must know.
type BeatConfig struct {
	Device  string // path of the CLUSTER partition
	Self    int    // number of this server, 1 to Servers
	Servers int    // how many there are, at most MaxServers
	// Round is the time between two writings.
	Round time.Duration
	// Timeout is heartbeat.timeout: an access that takes longer is told by State.
	Timeout time.Duration
	// Turns counts the turns of the event loop. A loop that stands still writes no
	// heartbeats: what others read here is to mean what it means on a network.
	Turns func() uint64
	// Heard is told of each heartbeat that another server has written since the last
	// look, by the goroutine of Run. It must not wait.
	Heard func(server int)
	// Changed, if not nil, is told when a server begins or ceases to be heard.
	Changed func()
	Log     *slog.Logger
}

// Beat is the heartbeat over the CLUSTER partition: each server writes a block of its
// own and reads those of the others.
//
// It shows that a server is alive and reaches the disk, and nothing else. No lease is
// granted by it and no silence broken, for the log does not go over the disk: two
// servers that hear each other only here could keep what they have and decide nothing.
// Where every network is cut the register decides who goes on, as if there were no
// such heartbeat, and this one lets both sides say that the other is alive.
type Beat struct {
	cfg    BeatConfig
	access access

	mu    sync.Mutex
	ok    bool
	text  string
	peers []sight // by server number - 1
	alive []bool  // as last told to Changed
}

// sight is what was last read of a server.
type sight struct {
	run  ID
	seq  uint64
	at   time.Time // when it was new; zero: never
	torn int       // readings in a row in which its block was damaged
}

// heartbeat is the content of a block. It is told from damage by a checksum, from an
// older run of the same server by its run, and from an older copy by its number.
type heartbeat struct {
	server uint32
	disk   ID
	run    ID // drawn by each process
	seq    uint64
}

var beatMagic = [8]byte{'B', 'A', 'T', 'O', 'N', 'H', 'B', 'T'}

// lostRounds: a server that has written nothing new for so many rounds is not heard.
const lostRounds = 3

// errNoBeat: nobody has written there since Init.
var errNoBeat = errors.New("never written")

func (h heartbeat) encode(b []byte) {
	clear(b[:copySize])
	copy(b, beatMagic[:])
	be := binary.BigEndian
	be.PutUint32(b[8:], formatVersion)
	be.PutUint32(b[12:], h.server)
	copy(b[16:], h.disk[:])
	copy(b[32:], h.run[:])
	be.PutUint64(b[48:], h.seq)
	seal(b)
}

func decodeHeartbeat(b []byte) (h heartbeat, err error) {
	be := binary.BigEndian
	switch {
	case len(bytes.Trim(b[:contentSize], "\x00")) == 0:
		return h, errNoBeat
	case !isSealed(b):
		return h, errDamaged
	case [8]byte(b) != beatMagic:
		return h, errNoMagic
	case be.Uint32(b[8:]) != formatVersion:
		return h, fmt.Errorf("format %d, this baton knows %d", be.Uint32(b[8:]), formatVersion)
	case !isRestZero(b, 56):
		return h, errDamaged
	}
	return heartbeat{server: be.Uint32(b[12:]), disk: ID(b[16:32]), run: ID(b[32:48]), seq: be.Uint64(b[48:])}, nil
}

// NewBeat returns a heartbeat that does nothing before Run.
func NewBeat(cfg BeatConfig) (*Beat, error) {
	switch {
	case cfg.Servers < 2 || cfg.Servers > MaxServers:
		return nil, fmt.Errorf("disk heartbeat: %d servers: not in 2 to %d", cfg.Servers, MaxServers)
	case cfg.Self < 1 || cfg.Self > cfg.Servers:
		return nil, fmt.Errorf("disk heartbeat: server number %d is not 1 to %d", cfg.Self, cfg.Servers)
	case cfg.Round <= 0 || cfg.Turns == nil || cfg.Heard == nil:
		return nil, errors.New("disk heartbeat: Round, Turns and Heard must be set")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Beat{cfg: cfg, text: "not tried yet", peers: make([]sight, cfg.Servers), alive: make([]bool, cfg.Servers)}, nil
}

// Run writes and reads until the context ends. All I/O is done on a thread of its own:
// one that hangs in the kernel holds that, and Run does not wait for it.
func (b *Beat) Run(ctx context.Context) {
	go b.work(ctx)
	tick := time.NewTicker(b.cfg.Round)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.notice()
		}
	}
}

func (b *Beat) work(ctx context.Context) {
	runtime.LockOSThread()
	w := &beatWorker{beat: b, memory: alignedMemory(MaxServers * copySize), own: alignedMemory(copySize)}
	rand.Read(w.mine.run[:])
	w.mine.server = uint32(b.cfg.Self)
	defer w.close()
	tick := time.NewTicker(b.cfg.Round)
	defer tick.Stop()
	for {
		b.noted(w.round())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// beatWorker is what the thread has.
type beatWorker struct {
	beat   *Beat
	device sectors // nil: to be opened
	memory []byte
	own    []byte
	mine   heartbeat
	turns  uint64 // of the event loop at the last writing
}

func (w *beatWorker) close() {
	if w.device != nil {
		w.device.close()
		w.device = nil
	}
}

// round writes once and reads once. After an error the device is opened anew: it may
// have been taken away and come back as another one.
func (w *beatWorker) round() (err error) {
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.device == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	b := w.beat
	// Never a writing onto what is somebody else's by now.
	if disk, err := w.header(); err != nil {
		return err
	} else if disk != w.mine.disk {
		return fmt.Errorf("%s: prepared anew by baton disk init", b.cfg.Device)
	}
	if turns := b.cfg.Turns(); turns != w.turns {
		w.turns = turns
		w.mine.seq++
		w.mine.encode(w.own)
		if err := w.do("write", func() error { return w.device.writeAt(w.own, beatOf(b.cfg.Self)) }); err != nil {
			return err
		}
	}
	area := w.memory[:b.cfg.Servers*copySize]
	if err := w.do("read", func() error { return w.device.readAt(area, beatStart) }); err != nil {
		return err
	}
	for n := 1; n <= b.cfg.Servers; n++ {
		h, err := decodeHeartbeat(area[(n-1)*copySize:])
		if n == b.cfg.Self {
			if w.mine.seq > 0 && (err != nil || h != w.mine) {
				return fmt.Errorf("%s: the heartbeat of this server is not there any more as it was written: the disk has lost it, or another machine writes as server %d", b.cfg.Device, n)
			}
			continue
		}
		if err == nil && h.disk != w.mine.disk {
			continue // from before the last Init
		}
		if err == nil && int(h.server) != n {
			err = fmt.Errorf("holds that of server %d", h.server)
		}
		if b.saw(n, h, err) {
			b.cfg.Heard(n)
		}
	}
	return nil
}

func beatOf(server int) int64 { return beatStart + int64(server-1)*copySize }

func (w *beatWorker) open() (err error) {
	return w.do("open", func() error {
		d, err := openDevice(w.beat.cfg.Device, false)
		if err != nil {
			return err
		}
		w.device = d
		w.mine.disk, err = w.header()
		return err
	})
}

// header reads which partition this is.
func (w *beatWorker) header() (ID, error) {
	head, device := w.memory[:slotSize], w.beat.cfg.Device
	if err := w.do("read", func() error { return w.device.readAt(head, 0) }); err != nil {
		return ID{}, err
	}
	h, err := decodeHeader(head)
	if err != nil {
		return ID{}, fmt.Errorf("%s: %w; prepare it with: baton disk init %s", device, err, device)
	}
	return h.disk, nil
}

func (w *beatWorker) do(what string, f func() error) error {
	w.beat.access.begin(what)
	defer w.beat.access.end()
	return f()
}

// saw takes note of what was read of a server and reports whether it is a new
// heartbeat. A block that stays damaged is told once.
func (b *Beat) saw(n int, h heartbeat, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.peers[n-1]
	if err != nil {
		if errors.Is(err, errNoBeat) {
			return false
		}
		// It may have been read while it was being written.
		if s.torn++; s.torn == 3 {
			b.cfg.Log.Warn("a heartbeat on the CLUSTER partition cannot be read", "server", n, "error", err)
		}
		return false
	}
	s.torn = 0
	if h.run == s.run && h.seq <= s.seq {
		return false // nothing new, or an older copy
	}
	first := s.run == (ID{})
	s.run, s.seq = h.run, h.seq
	if first {
		return false // it may be as old as the disk: only a change shows that somebody is alive
	}
	s.at = time.Now()
	return true
}

// noted keeps how the last round went, and logs what is new of it.
func (b *Beat) noted(err error) {
	text := "ok"
	if err != nil {
		text = err.Error()
	}
	b.mu.Lock()
	isNews := b.text != text
	b.ok, b.text = err == nil, text
	b.mu.Unlock()
	switch {
	case !isNews:
	case err != nil:
		b.cfg.Log.Warn("no heartbeats over the CLUSTER partition", "error", err)
	default:
		b.cfg.Log.Info("heartbeats over the CLUSTER partition", "device", b.cfg.Device)
	}
}

// notice tells of servers that have begun or ceased to be heard.
func (b *Beat) notice() {
	changed := false
	for i, s := range b.Sights() {
		b.mu.Lock()
		if b.alive[i] != s.OK {
			b.alive[i], changed = s.OK, true
		}
		b.mu.Unlock()
	}
	if changed && b.cfg.Changed != nil {
		b.cfg.Changed()
	}
}

// Sight is what is known of a server by the disk.
type Sight struct {
	OK  bool          // heard within the last three rounds
	Age time.Duration // of the newest heartbeat; negative: none yet
}

// Sights are those of all servers, by number - 1; this server's own is its disk's.
func (b *Beat) Sights() []Sight {
	ok, _ := b.State()
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Sight, len(b.peers))
	for i, s := range b.peers {
		out[i] = Sight{Age: -1}
		if i+1 == b.cfg.Self {
			out[i] = Sight{OK: ok, Age: 0}
		} else if !s.at.IsZero() {
			out[i].Age = time.Since(s.at)
			out[i].OK = out[i].Age <= lostRounds*b.cfg.Round
		}
	}
	return out
}

// State says whether the disk is written and read, and if not, why. It never waits.
func (b *Beat) State() (ok bool, text string) {
	if what, age := b.access.age(); age > b.cfg.Timeout {
		return false, fmt.Sprintf("%s %s: no end after %v", what, b.cfg.Device, age.Round(100*time.Millisecond))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ok, b.text
}
