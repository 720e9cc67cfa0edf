package disk

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/core/node"

	"golang.org/x/sys/unix"
)

// ioctls of linux/fs.h: writes to the file system wait until it is thawed.
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

// Goal: a write that really hangs in the kernel (state D, where no signal reaches it)
// costs callers their time limit only, is told, keeps the lock, and lands when the
// disk comes back; the calls after that are answered. Method: the partition is a file
// on an ext4 of a loop device, which is frozen.
func TestKernelHang(t *testing.T) {
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("no mkfs.ext4 here to make a file system that can be frozen")
	}
	device := loop(t, 16*megabyte)
	if out, err := exec.Command(mkfs, "-q", "-O", "^has_journal", device).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v: %s", err, out)
	}
	dir := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(device, dir, "ext4", 0, ""); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "disk")
	if err := os.WriteFile(path, make([]byte, Size), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(path, false); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Device: path, Self: 1, LockDir: t.TempDir(), Timeout: 100 * time.Millisecond}
	r, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, r, node.RegisterCall{Raise: id(1, 1)})

	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := unix.IoctlSetInt(int(root.Fd()), fiFreeze, 0); err != nil {
		t.Fatalf("freeze: %v", err)
	}
	thaw := func() { _ = unix.IoctlSetInt(int(root.Fd()), fiThaw, 0) }
	defer thaw()
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		begin := time.Now()
		a, err := r.Do(ctx, node.RegisterCall{Cluster: 1, Claim: id(2, 1)})
		cancel()
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > time.Second {
			t.Errorf("got %+v, %v after %v", a, err, took)
		}
	}
	if ok, text := r.State(); ok || !strings.Contains(text, "write "+path+": no end after") {
		t.Errorf("state %v, %q", ok, text)
	}
	if err := r.Close(); err == nil {
		t.Error("closed while a write hangs")
	}
	second, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a, err := second.Do(ctx, node.RegisterCall{Cluster: 1}); err == nil || !strings.Contains(err.Error(), "held by an earlier batond") {
		t.Errorf("a later batond, while the write of the earlier one hangs: %+v, %v", a, err)
	}
	thaw()
	<-r.ended
	if a := ask(t, second, node.RegisterCall{Claim: id(2, 9)}); a.Top != id(2, 9) {
		t.Errorf("got %+v", a)
	}
}
