package tiebreak

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"baton/core/epoch"
	"baton/core/node"
	"baton/daemon/tiebreak/disk"
	"baton/daemon/tiebreak/fence"
)

func config(t *testing.T, kind string) Config {
	return Config{
		Kind: kind, Self: 1, Servers: []string{"server1", "server2"}, Keys: [][]byte{make([]byte, 32)}, Timeout: time.Second,
		Boot: "boot", LockDir: t.TempDir(), Device: filepath.Join(t.TempDir(), "disk"),
		Witness: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, Ping: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Public: make([]netip.Addr, 2), Fence: map[int]fence.Agent{2: {Name: "/bin/false"}},
	}
}

// Goal: each kind opens without what it needs being there, says that it is not there
// within the caller's limit, promises something, and closes.
func TestOpen(t *testing.T) {
	for _, kind := range []string{None, Disk, Witness, Fence, Ping} {
		r, err := Open(config(t, kind))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		NoteQuorum(r)
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		begin := time.Now()
		a, err := r.Do(ctx, node.RegisterCall{ID: 5, Cluster: 1, Claim: epoch.ID{Number: 2, Founder: 257}, Missing: []int{2}})
		cancel()
		if a.Top != (epoch.ID{}) || err == nil && a.Text == "" || time.Since(begin) > 2*time.Second {
			t.Errorf("%s: got %+v, %v after %v", kind, a, err, time.Since(begin))
		}
		if ok, text := r.State(); text == "" || ok && kind != None && kind != Fence {
			t.Errorf("%s: state %v, %q", kind, ok, text)
		}
		if text := Promise(kind); !strings.HasPrefix(text, kind+": ") || strings.Contains(text, "\n") {
			t.Errorf("%s promises %q", kind, text)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// Goal: what is missing in the configuration is said at once.
func TestOpenRefuses(t *testing.T) {
	for kind, spoil := range map[string]func(*Config){
		"magic": func(*Config) {},
		Disk:    func(c *Config) { c.Device = "" },
		Witness: func(c *Config) { c.Witness = nil },
		Ping:    func(c *Config) { c.Ping = nil },
		Fence:   func(c *Config) { c.Boot = "" },
	} {
		cfg := config(t, kind)
		spoil(&cfg)
		if r, err := Open(cfg); err == nil || r != nil {
			t.Errorf("%s: opened %v", kind, r)
		}
	}
}

// Goal: the whole way for the kind that needs only a file.
func TestDisk(t *testing.T) {
	cfg := config(t, Disk)
	f, err := os.Create(cfg.Device)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(disk.Size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := disk.Init(cfg.Device, false); err != nil {
		t.Fatal(err)
	}
	r, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	one, two := epoch.ID{Number: 1, Founder: 257}, epoch.ID{Number: 2, Founder: 258}
	if a, err := r.Do(ctx, node.RegisterCall{Cluster: 7, Raise: one}); err != nil || a.Top != one {
		t.Errorf("got %+v, %v", a, err)
	}
	if a, err := r.Do(ctx, node.RegisterCall{Cluster: 7, Claim: two}); err != nil || a.Top != two {
		t.Errorf("got %+v, %v", a, err)
	}
	if ok, text := r.State(); !ok {
		t.Error(text)
	}
}
