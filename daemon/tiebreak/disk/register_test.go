package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"baton/core/epoch"
	"baton/core/node"

	"golang.org/x/sys/unix"
)

const megabyte = 1 << 20

// sparse makes a file of that size.
func sparse(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return path
}

// loop attaches a loop device to a sparse file (loop(4)). An ordinary user cannot.
func loop(t testing.TB, size int64) string {
	t.Helper()
	backing, err := os.OpenFile(sparse(t, size), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no loop device: %v", err)
	}
	defer control.Close()
	for range 5 { // another test may take the free one first
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Skipf("no loop device: %v", err)
		}
		path := "/dev/loop" + string(rune('0'+n%10))
		if n > 9 {
			t.Skip("the first ten loop devices are in use")
		}
		dev, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Skipf("no loop device: %v", err)
		}
		if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_SET_FD, int(backing.Fd())); err != nil {
			dev.Close()
			continue
		}
		t.Cleanup(func() {
			_, _ = unix.IoctlRetInt(int(dev.Fd()), unix.LOOP_CLR_FD)
			dev.Close()
		})
		return path
	}
	t.Skip("no free loop device")
	return ""
}

func prepared(t testing.TB) string {
	t.Helper()
	path := sparse(t, Size)
	if _, err := Init(path, false); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, device string, self int) *Register {
	t.Helper()
	r, err := Open(Config{Device: device, Self: self, LockDir: t.TempDir(), Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func ask(t testing.TB, r *Register, c node.RegisterCall) node.RegisterAnswer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c.Cluster = max(c.Cluster, 1)
	a, err := r.Do(ctx, c)
	if err != nil {
		t.Fatalf("%+v: %v", c, err)
	}
	if a.ID != c.ID {
		t.Fatalf("%+v: answer to call %d", c, a.ID)
	}
	return a
}

func id(number uint64, server int) epoch.ID {
	return epoch.ID{Number: number, Founder: epoch.NewRaftID(server, 1000+number)}
}

// Goal: the register does what core/sim/register.go does. Method: one disk, two
// servers, one call after the other; the answer to each, in words or as an epoch.
func TestRegister(t *testing.T) {
	devices := map[string]func(testing.TB) string{
		"file": prepared,
		"loop": func(t testing.TB) string {
			path := loop(t, 4*megabyte)
			if _, err := Init(path, false); err != nil {
				t.Fatal(err)
			}
			return path
		},
	}
	for name, device := range devices {
		t.Run(name, func(t *testing.T) {
			path := device(t)
			r := []*Register{nil, open(t, path, 1), open(t, path, 2)}
			if ok, _ := r[1].State(); ok {
				t.Error("says that it answers, and has not been asked")
			}
			for i, tt := range []struct {
				server int
				call   node.RegisterCall
				top    epoch.ID
				text   string
			}{
				{1, node.RegisterCall{}, epoch.ID{}, "not enrolled"},
				{2, node.RegisterCall{Claim: id(2, 2)}, epoch.ID{}, "not enrolled"},
				{1, node.RegisterCall{Raise: id(1, 1)}, id(1, 1), ""},
				{2, node.RegisterCall{}, id(1, 1), ""},
				{2, node.RegisterCall{Claim: id(2, 2)}, id(2, 2), ""},
				{2, node.RegisterCall{Claim: id(2, 2)}, id(2, 2), ""}, // again: the same
				{1, node.RegisterCall{Claim: id(2, 1)}, id(2, 2), ""}, // too late
				{1, node.RegisterCall{Raise: id(1, 1)}, id(2, 2), ""}, // below
				{1, node.RegisterCall{Raise: id(2, 1)}, id(2, 2), ""}, // somebody else's
				{1, node.RegisterCall{Raise: id(7, 1)}, id(7, 1), ""}, // forced return elsewhere
				{2, node.RegisterCall{Claim: id(3, 2)}, id(7, 1), ""},
				{2, node.RegisterCall{Claim: id(8, 2)}, id(8, 2), ""},
				{1, node.RegisterCall{Cluster: 5}, epoch.ID{}, "another cluster's"},
				{1, node.RegisterCall{Cluster: 5, Raise: id(1, 1)}, epoch.ID{}, "another cluster's"},
				{1, node.RegisterCall{}, id(8, 2), ""},
			} {
				tt.call.ID = uint64(i)
				a := ask(t, r[tt.server], tt.call)
				if a.Top != tt.top || (a.Text == "") != (tt.text == "") || !strings.Contains(a.Text, tt.text) {
					t.Errorf("call %d, server %d, %+v: got %+v, want %v, %q", i, tt.server, tt.call, a, tt.top, tt.text)
				}
			}
			if ok, text := r[1].State(); !ok {
				t.Error(text)
			}
			if info, err := Inspect(path); err != nil || info.Cluster != 1 || info.Top != id(8, 2) || info.Damaged != nil {
				t.Errorf("inspect: %v, %v", info, err)
			}
		})
	}
}

// Goal: of servers that claim one epoch at the same time exactly one gets it, and all
// are told the same. Method: four registers on one file, 30 epochs in a row.
func TestConcurrentClaims(t *testing.T) {
	path := prepared(t)
	var rs []*Register
	for s := 1; s <= 4; s++ {
		rs = append(rs, open(t, path, s))
	}
	ask(t, rs[0], node.RegisterCall{Raise: id(1, 1)})
	for n := uint64(2); n < 32; n++ {
		tops := make([]epoch.ID, len(rs))
		var wg sync.WaitGroup
		for i, r := range rs {
			wg.Go(func() { tops[i] = ask(t, r, node.RegisterCall{Claim: id(n, i+1)}).Top })
		}
		wg.Wait()
		for i, top := range tops {
			if top != tops[0] || top.Number != n {
				t.Fatalf("epoch %d: server %d is told %v, server 1 %v", n, i+1, top, tops[0])
			}
		}
	}
}

// Goal: a disk that is zeroed, put back to an older copy, or whose blocks are damaged
// never answers as if nothing had been; one damaged copy of a block does not matter.
func TestDamage(t *testing.T) {
	path := prepared(t)
	r := open(t, path, 1)
	ask(t, r, node.RegisterCall{Raise: id(1, 1)})
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, r, node.RegisterCall{Claim: id(2, 1)})
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
	}
	changed := func(change func(b []byte)) []byte {
		b := slices.Clone(good)
		change(b)
		return b
	}
	other := make([]byte, Size)
	blank(other, header{disk: ID{5}, sector: 512, blocks: 16})
	for _, tt := range []struct {
		name    string
		content []byte
		want    string // of the refusal or error; "": answered with epoch 2
	}{
		{"zeroed", make([]byte, Size), "not a CLUSTER partition"},
		{"an older copy", old, "has lost it, or is an older copy"},
		{"prepared anew", other, "not enrolled"},
		{"a block zeroed", changed(func(b []byte) { clear(b[slotOf(3):slotOf(4)]) }), "block of server 3: checksum is wrong"},
		{"blocks exchanged", changed(func(b []byte) { copy(b[slotOf(3):slotOf(4)], b[slotOf(4):slotOf(5)]) }), "block of server 4 is in the place of server 3"},
		{"a block of before", changed(func(b []byte) { copy(b[slotOf(2):slotOf(3)], other[slotOf(2):slotOf(3)]) }), "from before the last baton disk init"},
		{"one copy damaged", changed(func(b []byte) { b[slotOf(1)+40] ^= 1; b[slotOf(3)+copySize] ^= 1; b[0] ^= 1 }), ""},
		{"somebody else writes as server 1", changed(func(b []byte) {
			k, _, _ := decodeBlock(b[slotOf(1):])
			k.seq++
			k.encode(b[slotOf(1):slotOf(2)])
		}), "somebody else writes as server 1"},
		{"as it was", good, ""},
	} {
		put(tt.content)
		r := r
		if tt.name == "prepared anew" {
			r = open(t, path, 1) // of a later batond
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		a, err := r.Do(ctx, node.RegisterCall{Cluster: 1, Claim: id(2, 2)})
		cancel()
		text := a.Text
		if err != nil {
			text = err.Error()
		}
		if tt.want == "" && a.Top != id(2, 1) || !strings.Contains(text, tt.want) {
			t.Errorf("%s: got %+v, %v, want %q", tt.name, a, err, tt.want)
		}
		if ok, text := r.State(); ok != (tt.want == "") {
			t.Errorf("%s: state %v, %q", tt.name, ok, text)
		}
	}
}

// Goal: a wiped disk that was prepared again enrols the running cluster again.
func TestEnrolAfterInit(t *testing.T) {
	path := prepared(t)
	r := open(t, path, 1)
	ask(t, r, node.RegisterCall{Raise: id(4, 1)})
	if _, err := Init(path, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("prepared a partition in use: %v", err)
	}
	if _, err := Init(path, true); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, r, node.RegisterCall{Claim: id(5, 1)}); a.Text == "" {
		t.Errorf("claimed on a wiped disk: %+v", a)
	}
	if a := ask(t, r, node.RegisterCall{Raise: id(4, 1)}); a.Top != id(4, 1) {
		t.Errorf("got %+v", a)
	}
}

// slow is a disk in memory whose accesses wait until they are let go.
type slow struct {
	mu      sync.Mutex
	content []byte
	gate    chan struct{} // closed: nothing waits
	entered chan string   // told at each access
}

func (s *slow) readAt(b []byte, off int64) error {
	s.entered <- "read"
	<-s.gate
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(b, s.content[off:])
	return nil
}

func (s *slow) writeAt(b []byte, off int64) error {
	s.entered <- "write"
	<-s.gate
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(s.content[off:], b)
	return nil
}

func (s *slow) close() {}

// Goal: a disk that does not answer costs each caller its time limit and nothing
// more; its age is told; nothing piles up; when it comes back, what was given up is
// not carried out, and the next call is.
func TestHang(t *testing.T) {
	s := &slow{content: make([]byte, Size), gate: make(chan struct{}), entered: make(chan string, 100)}
	blank(s.content, header{disk: ID{1}, sector: 512, blocks: 16})
	r, err := newRegister(Config{Device: "slow", Self: 1, LockDir: t.TempDir(), Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r.open = func() (sectors, error) { return s, nil }
	go r.work()
	raise := node.RegisterCall{Cluster: 1, Raise: id(1, 1)}
	try := func(limit time.Duration) (node.RegisterAnswer, error) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return r.Do(ctx, raise)
	}
	before := runtime.NumGoroutine()
	for range 20 {
		if _, err := try(10 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "read slow: no end after") {
			t.Fatalf("got %v", err)
		}
	}
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("%d goroutines, before %d", now, before)
	}
	if ok, text := r.State(); ok || !strings.Contains(text, "read slow: no end after") {
		t.Errorf("state %v, %q", ok, text)
	}
	if err := r.Close(); err == nil {
		t.Error("closed while an access hangs")
	}
	// The lock is held as long as the access is under way.
	if f, err := lock(r.cfg.LockDir); err == nil {
		f.Close()
		t.Error("the lock was given up while an access hangs")
	}
	close(s.gate)
	<-r.ended
	if f, err := lock(r.cfg.LockDir); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	if n := len(s.entered); n != 1 {
		t.Errorf("%d accesses, want the first read only", n)
	}

	s.entered = make(chan string, 100)
	if r, err = newRegister(r.cfg); err != nil {
		t.Fatal(err)
	}
	r.open = func() (sectors, error) { return s, nil }
	go r.work()
	if a, err := try(time.Second); err != nil || a.Top != id(1, 1) {
		t.Errorf("got %+v, %v", a, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Goal: a disk that appears later is used then, and the lock of an earlier batond is
// respected.
func TestLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "later")
	dir := t.TempDir()
	r, err := Open(Config{Device: path, Self: 1, LockDir: dir, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	do := func(r *Register) error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := r.Do(ctx, node.RegisterCall{Cluster: 1, Raise: id(1, 1)})
		return err
	}
	if err := do(r); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if err := os.Rename(prepared(t), path); err != nil {
		t.Fatal(err)
	}
	if err := do(r); err != nil {
		t.Error(err)
	}
	second, err := Open(Config{Device: path, Self: 1, LockDir: dir, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := do(second); err == nil || !strings.Contains(err.Error(), "held by an earlier batond") {
		t.Errorf("got %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := do(second); err != nil {
		t.Error(err)
	}
}

// Goal: Init makes a partition of what is empty, and of nothing else. Method: a file
// with one thing in it at a time.
func TestInit(t *testing.T) {
	put := func(at int64, text string) func(*os.File) {
		return func(f *os.File) { _, _ = f.WriteAt([]byte(text), at) }
	}
	for _, tt := range []struct {
		name string
		size int64
		fill func(*os.File)
		want string // "": prepared
	}{
		{"empty", megabyte, nil, ""},
		{"empty, odd size", 5*megabyte + 12345, nil, ""},
		{"too small", megabyte - 1, nil, "less than the 1048576"},
		{"ext4", megabyte, put(1080, "\x53\xef"), "holds an ext2, ext3 or ext4 file system; if nothing of it is needed: wipefs"},
		{"LVM", megabyte, put(512, "LABELONE"), "an LVM physical volume"},
		{"partition table", megabyte, put(510, "\x55\xaa"), "a partition table"},
		{"FAT before its boot mark", megabyte, func(f *os.File) { put(82, "FAT32")(f); put(510, "\x55\xaa")(f) }, "a FAT file system"},
		{"btrfs", megabyte, put(65600, "_BHRfS_M"), "btrfs"},
		{"text", megabyte, put(300000, "x"), "something unknown (at byte 300000)"},
		{"end", 8 * megabyte, put(8*megabyte-512, "EFI PART"), "in its last MiB"},
		{"behind the first MiB", megabyte + 8192, put(megabyte+5000, "x"), "in its last MiB"},
		{"data where nobody looks", 8 * megabyte, put(3*megabyte, "x"), ""},
	} {
		path := sparse(t, tt.size)
		if tt.fill != nil {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			tt.fill(f)
			f.Close()
		}
		for _, force := range []bool{false, true} {
			disk, err := Init(path, force)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s, force %v: got %v, %v, want %q", tt.name, force, disk, err, tt.want)
			}
		}
	}
	if _, err := Init(t.TempDir(), false); err == nil {
		t.Error("prepared a directory")
	}
	if _, err := Init("/dev/null", false); err == nil {
		t.Error("prepared /dev/null")
	}
}

// BenchmarkClaim is a claim without rivals: two ballots' writes and the record.
func BenchmarkClaim(b *testing.B) {
	path := loop(b, megabyte)
	if _, err := Init(path, false); err != nil {
		b.Fatal(err)
	}
	r := open(b, path, 1)
	ask(b, r, node.RegisterCall{Raise: id(1, 1)})
	n := uint64(1)
	for b.Loop() {
		n++
		ask(b, r, node.RegisterCall{Claim: id(n, 1)})
	}
}

func BenchmarkRead(b *testing.B) {
	path := loop(b, megabyte)
	if _, err := Init(path, false); err != nil {
		b.Fatal(err)
	}
	r := open(b, path, 1)
	ask(b, r, node.RegisterCall{Raise: id(1, 1)})
	for b.Loop() {
		ask(b, r, node.RegisterCall{})
	}
}
