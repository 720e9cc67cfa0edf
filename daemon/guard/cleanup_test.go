package guard

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"baton/daemon/nettest"
)

func (b *bench) cleanup() (string, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	return Cleanup(ctx, b.config)
}

// Goal: the stop hook clears where batond and guard are both gone, or the guard stands
// still, and touches nothing where either of them is there.
func TestCleanup(t *testing.T) {
	eachPlace(t, func(t *testing.T, b *bench) {
		cmd := b.startOwner(long)
		nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
		b.process()
		if said, err := b.cleanup(); err != nil || !strings.Contains(said, "batond runs") || !b.has(floating) || !b.left() {
			t.Fatalf("with batond: %q, %v; address %t, processes %t", said, err, b.has(floating), b.left())
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if said, err := b.cleanup(); err != nil || !strings.Contains(said, "is there and sees to") || !b.has(floating) || !b.left() {
			t.Fatalf("with a guard: %q, %v; address %t, processes %t", said, err, b.has(floating), b.left())
		}
		b.killGuard()
		// The configuration of today no longer names the address: the spec that was left does.
		b.config.Spec.Addresses = nil
		if said, err := b.cleanup(); err != nil || !strings.Contains(said, "it is cleared") {
			t.Errorf("with neither: %q, %v", said, err)
		}
		if b.has(floating) || b.left() || !b.has(network.Addr()) {
			t.Errorf("address left %t, processes left %t, network's own %t", b.has(floating), b.left(), b.has(network.Addr()))
		}
		if said, err := b.cleanup(); err != nil || said != "nothing of the groups was left" {
			t.Errorf("once more: %q, %v", said, err)
		}
		// A new batond begins as after any other end.
		g := b.open()
		if _, _, ok := g.Adopted(); ok || g.Extend(5, in(long)) || !g.Extend(6, in(long)) || !g.Disarm() {
			t.Error("session 5 must be over and 6 begin")
		}
	})
}

// A guard that stands still does not count as one.
func TestCleanupKillsStoppedGuard(t *testing.T) {
	b := newBench(t, true)
	cmd := b.startOwner(long)
	nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
	b.process()
	guard := b.page().Guard()
	_ = unix.Kill(guard, unix.SIGSTOP)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	time.Sleep(stale(timeout) + 2*turn)
	if said, err := b.cleanup(); err != nil || !strings.Contains(said, "it is cleared") {
		t.Errorf("cleanup: %q, %v", said, err)
	}
	if b.alive(guard) || b.has(floating) || b.left() {
		t.Errorf("guard alive %t, address %t, processes %t", b.alive(guard), b.has(floating), b.left())
	}
}

// Nothing was ever here: no page, no spec, no fault.
func TestCleanupOfNothing(t *testing.T) {
	b := newBench(t, true)
	if said, err := b.cleanup(); err != nil || said != "nothing of the groups was left" {
		t.Errorf("cleanup: %q, %v", said, err)
	}
}

// A cleanup that is cut short has lost nothing: the session stays over, and the next
// batond's guard clears. Meanwhile no batond and no second cleanup comes in between.
func TestCleanupCutShort(t *testing.T) {
	b := newBench(t, true)
	point := b.mount()
	cmd := b.startOwner(long)
	nettest.Add(t, "here", netip.PrefixFrom(floating, 32), 0)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	b.killGuard()
	hang := filepath.Join(b.config.RunDir, "hang")
	if err := os.WriteFile(hang, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Cleanup(ctx, b.config)
		ended <- err
	}()
	p := b.page()
	b.eventually("begun", func() bool { return p.Load().Fired })
	if said, _ := b.cleanup(); !strings.Contains(said, "batond runs") {
		t.Errorf("a second one: %q", said)
	}
	if _, err := Open(b.config); err == nil {
		t.Error("a batond started in the middle of it")
	}
	cancel()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "does not come back") {
		t.Errorf("cut short: %v", err)
	}
	_ = os.Remove(hang)
	g := b.open()
	b.eventually("finished", func() bool { s, ok := g.Finished(); return ok && s == 5 })
	if isMounted(point) || b.has(floating) {
		t.Error("something is left")
	}
}
