package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"baton/core/node"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// roleEnv makes this test binary the process that a test kills or starves.
const roleEnv = "BATON_STORE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		os.Exit(m.Run())
	case "writer":
		writeForever(os.Args[1])
	case "starved":
		starve(os.Args[1])
	case "holder":
		hold(os.Args[1])
	}
}

func role(t *testing.T, name, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), roleEnv+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// open opens a store whose commits arrive on the channel.
func openTest(t *testing.T, dir string) (*Store, chan uint64) {
	t.Helper()
	done := make(chan uint64, 1000)
	s, err := Open(dir, Config{
		Done: func(id uint64) { done <- id },
		Fail: func(err error) { t.Errorf("unexpected: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, done
}

func wait(t *testing.T, done chan uint64, id uint64) {
	t.Helper()
	last := uint64(0)
	for last < id {
		select {
		case got := <-done:
			if got <= last {
				t.Fatalf("batch %d reported after %d", got, last)
			}
			last = got
		case <-time.After(10 * time.Second):
			t.Fatalf("batch %d is not reported, the last one is %d", id, last)
		}
	}
}

func kv(k, v string) node.KeyValue { return node.KeyValue{Key: []byte(k), Value: []byte(v)} }

// What was written is there after closing and opening again, in the order of keys.
func TestWriteAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "open")
	s, done := openTest(t, dir)
	if img, err := s.Load(); err != nil || len(img) != 0 {
		t.Fatalf("a new store holds %v, %v", img, err)
	}
	s.Write(node.Batch{ID: 1, Put: []node.KeyValue{kv("b", "1"), kv("a", "2"), kv("c", ""), kv("d", "x")}})
	s.Write(node.Batch{
		ID: 2, Delete: []node.KeyRange{{From: []byte("b"), To: []byte("d")}},
		Put: []node.KeyValue{kv("b2", "after the deletions")},
	})
	wait(t, done, 2)
	if age := s.OldestUnfinished(); age != 0 {
		t.Errorf("all is written, the oldest unfinished is %v old", age)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s, _ = openTest(t, dir)
	defer s.Close()
	got, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	want := node.Image{kv("a", "2"), kv("b2", "after the deletions"), kv("d", "x")}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, File): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v, want %v", name, info.Mode().Perm(), err, want)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("more than the store's file is left: %v", entries)
	}
}

// The store does what a sorted map does.
func TestModel(t *testing.T) {
	key := rapid.SliceOfN(rapid.ByteRange('a', 'c'), 1, 3)
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		s, done := openTest(t, dir)
		s.db.NoSync = true // the model is about contents; 100 runs need not wait for the disk
		model := map[string]string{}
		n := rapid.IntRange(1, 8).Draw(rt, "batches")
		for id := 1; id <= n; id++ {
			b := node.Batch{ID: uint64(id)}
			for range rapid.IntRange(0, 2).Draw(rt, "deletions") {
				r := node.KeyRange{From: key.Draw(rt, "from"), To: key.Draw(rt, "to")}
				b.Delete = append(b.Delete, r)
				for k := range model {
					if k >= string(r.From) && k < string(r.To) {
						delete(model, k)
					}
				}
			}
			for range rapid.IntRange(0, 6).Draw(rt, "puts") {
				k, v := key.Draw(rt, "key"), strconv.Itoa(id)
				b.Put = append(b.Put, kv(string(k), v))
				model[string(k)] = v
			}
			s.Write(b)
		}
		wait(t, done, uint64(n))
		got := map[string]string{}
		img, err := s.Load()
		for i, e := range img {
			got[string(e.Key)] = string(e.Value)
			if i > 0 && string(img[i-1].Key) >= string(e.Key) {
				rt.Fatalf("%q comes after %q", e.Key, img[i-1].Key)
			}
		}
		if d := cmp.Diff(model, got); d != "" || err != nil || s.Close() != nil {
			rt.Fatal(d, err)
		}
	})
}

// Closing writes what is waiting.
func TestCloseDrains(t *testing.T) {
	dir := t.TempDir()
	s, done := openTest(t, dir)
	const n = 50
	for id := uint64(1); id <= n; id++ {
		s.Write(node.Batch{ID: id, Put: []node.KeyValue{kv(fmt.Sprintf("%03d", id), "v")}})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.Write(node.Batch{ID: n + 1, Put: []node.KeyValue{kv("late", "v")}})
	wait(t, done, n)
	s, _ = openTest(t, dir)
	defer s.Close()
	if img, err := s.Load(); len(img) != n || err != nil {
		t.Errorf("%d keys, %v, want %d", len(img), err, n)
	}
}

// A disk that hangs stops neither Write nor time; what was handed in meanwhile is
// written in order, together, when the disk goes on. The hanging disk is a foreign
// write transaction, which bbolt waits for.
func TestHangingDisk(t *testing.T) {
	s, done := openTest(t, t.TempDir())
	defer s.Close()
	hang, err := s.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for id := uint64(1); id <= 100; id++ {
		s.Write(node.Batch{ID: id, Put: []node.KeyValue{kv("last", strconv.FormatUint(id, 10))}})
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("writing took %v", took)
	}
	for s.OldestUnfinished() < 50*time.Millisecond {
		time.Sleep(5 * time.Millisecond)
	}
	if age := s.OldestUnfinished(); age > time.Since(begun) {
		t.Errorf("oldest unfinished: %v, but all began %v ago", age, time.Since(begun))
	}
	if len(done) != 0 {
		t.Fatalf("batch %d reported while the disk hangs", <-done)
	}
	if err := hang.Rollback(); err != nil {
		t.Fatal(err)
	}
	wait(t, done, 100)
	if img, err := s.Load(); err != nil || len(img) != 1 || string(img[0].Value) != "100" {
		t.Errorf("%q, %v", img, err)
	}
}

// Killed at any instant, the store holds a prefix of the batches: everything that
// was reported as done, and no batch by halves. The same file is killed over and
// over. What this cannot show is a loss of power: the kernel lives on and keeps what
// was not synced.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		cmd := role(t, "writer", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acked := uint64(0)
		r := bufio.NewReader(out)
		for kill := false; ; {
			line, err := r.ReadString('\n')
			if err != nil {
				break // killed; a last line without its end is no acknowledgement
			}
			if acked, err = strconv.ParseUint(strings.TrimSpace(line), 10, 64); err != nil {
				t.Fatalf("the writer says %q", line)
			}
			if !kill {
				kill = true
				time.AfterFunc(time.Duration(5+round*11)*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
		}
		_ = cmd.Wait()

		s, _ := openTest(t, dir)
		img, err := s.Load()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		last := binary.BigEndian.Uint64(img[len(img)-1].Value) // key "n"
		if acked == 0 || last < acked {
			t.Fatalf("round %d: batch %d was reported, the store ends with %d", round, acked, last)
		}
		if d := cmp.Diff(expected(last), img); d != "" {
			t.Fatalf("round %d: not what %d batches make: %s", round, last, d)
		}
	}
}

// depth is how many batches the writer's keys live.
const depth = 20

// batch is the writer's batch number id: it goes over several pages, and deletes
// what is depth batches old.
func batch(id uint64) node.Batch {
	b := node.Batch{ID: id}
	if id > depth {
		b.Delete = []node.KeyRange{{From: key(0, 0), To: key(id-depth+1, 0)}}
	}
	for part := range uint64(8) {
		b.Put = append(b.Put, node.KeyValue{Key: key(id, part), Value: value(id, part)})
	}
	n := binary.BigEndian.AppendUint64(nil, id)
	b.Put = append(b.Put, node.KeyValue{Key: []byte("n"), Value: n})
	return b
}

func key(id, part uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("k"), id), byte(part))
}

func value(id, part uint64) []byte {
	v := make([]byte, 900)
	for i := range v {
		v[i] = byte(id + part*31)
	}
	return v
}

// expected is the store after batches 1 to last.
func expected(last uint64) node.Image {
	var img node.Image
	first := uint64(1)
	if last > depth {
		first = last - depth + 1
	}
	for id := first; id <= last; id++ {
		b := batch(id)
		img = append(img, b.Put[:len(b.Put)-1]...)
	}
	return append(img, batch(last).Put[8])
}

// writeForever is the process that TestKill kills.
func writeForever(dir string) {
	next := uint64(1)
	pace := make(chan struct{}, 3) // some batches under way at once, so that some are committed together
	s, err := Open(dir, Config{
		Done: func(id uint64) {
			fmt.Println(id)
			for len(pace) > 0 {
				<-pace
			}
		},
		Fail: func(err error) { panic(err) },
	})
	if err != nil {
		panic(err)
	}
	img, err := s.Load()
	if err != nil {
		panic(err)
	}
	if len(img) > 0 {
		next = binary.BigEndian.Uint64(img[len(img)-1].Value) + 1
	}
	for ; ; next++ {
		pace <- struct{}{}
		s.Write(batch(next))
	}
}

// A write error is told once, nothing is reported as done after it, and the age of
// the oldest unfinished write goes on growing. The error is real: the process may
// not make files of more than 256 KiB.
func TestWriteError(t *testing.T) {
	out, err := role(t, "starved", t.TempDir()).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := string(out); !strings.HasPrefix(got, "failed: store ") || !strings.Contains(got, "file too large") {
		t.Errorf("got %q", got)
	}
}

func starve(dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	done := make(chan uint64, 1000)
	failed := make(chan error, 10)
	s, err := Open(dir, Config{Done: func(id uint64) { done <- id }, Fail: func(err error) { failed <- err }})
	if err != nil {
		panic(err)
	}
	limit := unix.Rlimit{Cur: 256 << 10, Max: 256 << 10}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		panic(err)
	}
	s.Write(node.Batch{ID: 1, Put: []node.KeyValue{kv("small", "v")}})
	if id := <-done; id != 1 {
		panic(id)
	}
	s.Write(node.Batch{ID: 2, Put: []node.KeyValue{{Key: []byte("big"), Value: make([]byte, 1<<20)}}})
	err = <-failed
	s.Write(node.Batch{ID: 3, Put: []node.KeyValue{kv("small", "after the failure")}})
	time.Sleep(50 * time.Millisecond)
	if len(done) != 0 || len(failed) != 0 {
		panic("something was reported after the failure")
	}
	if age := s.OldestUnfinished(); age < 50*time.Millisecond {
		panic(age)
	}
	if img, err := s.Load(); err != nil || len(img) != 1 || string(img[0].Value) != "v" {
		panic(fmt.Sprint(img, err))
	}
	if err := s.Close(); err != nil {
		panic(err)
	}
	fmt.Println("failed:", err)
}

// A second process is told who has the store.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	cmd := role(t, "holder", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, Config{Done: func(uint64) {}, Fail: func(error) {}})
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid)) // as the test binary is called today
	want := fmt.Sprintf("in use by process %d (%s); stop that one first", cmd.Process.Pid, strings.TrimSpace(string(comm)))
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	s, _ := openTest(t, dir)
	s.Close()
}

func hold(dir string) {
	if _, err := Open(dir, Config{Done: func(uint64) {}, Fail: func(error) {}}); err != nil {
		panic(err)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// Each place that cannot hold a store is refused with what to do about it, and a
// damaged file never ends the process.
func TestRefusals(t *testing.T) {
	fill := func(t *testing.T, dir string) string {
		s, done := openTest(t, dir)
		for id := uint64(1); id <= 30; id++ {
			s.Write(batch(id))
		}
		wait(t, done, 30)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, File)
	}
	for name, c := range map[string]struct {
		prepare func(t *testing.T, dir string) error
		want    string
	}{
		"writable by all": {func(t *testing.T, dir string) error { return os.Chmod(dir, 0o777) }, "everybody may write in it (mode 0777); chmod 0700 it"},
		"not a directory": {func(t *testing.T, dir string) error {
			return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600))
		}, "not a directory; name another state_dir"},
		"no database": {func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, File), make([]byte, 1<<16), 0o600)
		}, "invalid database; if its disk is sound, move the file away"},
		"too short": {func(t *testing.T, dir string) error {
			return os.WriteFile(filepath.Join(dir, File), []byte("x"), 0o600)
		}, "move the file away"},
		"cut off": {func(t *testing.T, dir string) error {
			return os.Truncate(fill(t, dir), 4*int64(os.Getpagesize()))
		}, "damaged, or its disk cannot be read"},
		"zeroed behind the meta pages": {func(t *testing.T, dir string) error {
			f, err := os.OpenFile(fill(t, dir), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt(make([]byte, 1<<20), 2*int64(os.Getpagesize()))
			return err
		}, "damaged, or its disk cannot be read"},
		"another bbolt file": {func(t *testing.T, dir string) error {
			db, err := bolt.Open(filepath.Join(dir, File), 0o600, nil)
			return errors.Join(err, db.Close())
		}, "not a store of this version of baton"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := c.prepare(t, dir); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir, Config{Done: func(uint64) {}, Fail: func(error) {}})
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// BenchmarkBatch is one batch of a raft entry's size, written, synced and reported.
func BenchmarkBatch(b *testing.B) {
	done := make(chan uint64, 1)
	s, err := Open(b.TempDir(), Config{Done: func(id uint64) { done <- id }, Fail: func(err error) { b.Error(err) }})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	id := uint64(0)
	for b.Loop() {
		id++
		batch := node.Batch{ID: id, Put: []node.KeyValue{
			{Key: key(id, 0), Value: make([]byte, 300)},
			kv("hard state", strconv.FormatUint(id, 10)),
		}}
		if id > 1000 {
			batch.Delete = []node.KeyRange{{From: key(0, 0), To: key(id-1000, 0)}}
		}
		s.Write(batch)
		<-done
	}
}
