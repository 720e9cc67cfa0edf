package lab_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"baton/contrib/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// bare makes a lab without batond.
func bare(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	if err := lab.Err(); err != nil {
		t.Skip(err)
	}
	o.Bare = true
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		for _, err := range l.Complaints() {
			t.Error(err)
		}
	})
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs a shell command on a server and returns its output.
func run(t *testing.T, s *lab.Server, script string) string {
	t.Helper()
	log := fmt.Sprintf("run-%d", time.Now().UnixNano())
	p, err := s.Start(lab.Spec{Args: []string{"/bin/sh", "-c", script}, Log: log})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	code, err := p.Wait(ctx)
	must(t, err)
	text, err := os.ReadFile(s.LogPath(log))
	must(t, err)
	if code != 0 {
		t.Fatalf("%s: %q: exit code %d\n%s", s.Name, script, code, text)
	}
	return strings.TrimSpace(string(text))
}

// A server is a machine of its own: name, boot id, processes, run directory, cards,
// addresses, and a cgroup of its own where there are cgroups.
func TestServerIsAMachine(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{Interconnects: 2})
	ids := map[string]bool{}
	for i, s := range l.Servers {
		want := fmt.Sprintf("server%d", i+1)
		if got := run(t, s, "read name </proc/sys/kernel/hostname; echo $name"); got != want {
			t.Errorf("hostname %q, want %q", got, want)
		}
		id := run(t, s, "read id </proc/sys/kernel/random/boot_id; echo $id")
		if id != s.BootID() || ids[id] || len(id) != 36 {
			t.Errorf("%s: boot id %q, want %q and another one on each server", s.Name, id, s.BootID())
		}
		ids[id] = true
		if got := run(t, s, "cd /proc; echo [0-9]*"); len(strings.Fields(got)) != 2 {
			t.Errorf("%s: processes %q, want init and the shell", s.Name, got)
		}
		run(t, s, "echo hello >/run/baton/file")
		if text, err := os.ReadFile(s.Path("file")); err != nil || string(text) != "hello\n" {
			t.Errorf("%s: file in the run directory: %q, %v", s.Name, text, err)
		}
		addrs, err := s.Addresses()
		must(t, err)
		for _, want := range []string{
			fmt.Sprintf("192.168.100.%d/24", i+1), fmt.Sprintf("192.168.101.%d/24", i+1), fmt.Sprintf("10.0.0.%d/24", 11+i),
		} {
			if !slices.Contains(addrs, netip.MustParsePrefix(want)) {
				t.Errorf("%s: addresses %v, want %s among them", s.Name, addrs, want)
			}
		}
		if got := run(t, s, "cat /proc/self/cgroup | grep ^0:"); got != "0::/" {
			t.Errorf("%s: cgroup %q, want the root of its own namespace", s.Name, got)
		}
	}
	if os.Geteuid() == 0 && run(t, l.Servers[0], "wc -l </proc/self/uid_map; cat /proc/self/uid_map") != "" {
		if _, err := os.Stat("/sys/fs/cgroup"); err == nil && !inUserNamespace(t) {
			run(t, l.Servers[0], "mkdir /sys/fs/cgroup/g && rmdir /sys/fs/cgroup/g")
		}
	}
}

func inUserNamespace(t *testing.T) bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	must(t, err)
	f := strings.Fields(string(text))
	return len(f) < 3 || f[2] == "1"
}

// arrives says whether packets of one server reach another; lost, whether none does.
// The former is patient: the kernel asks for a neighbour that did not answer (because
// a cable was pulled, say) only once a second.
func arrives(t *testing.T, from, to *lab.Server, network string) bool {
	return talk(t, from, to, network, 3*time.Second)
}

func lost(t *testing.T, from, to *lab.Server, network string) bool {
	return !talk(t, from, to, network, 120*time.Millisecond)
}

func talk(t *testing.T, from, to *lab.Server, network string, patience time.Duration) bool {
	t.Helper()
	var a, b net.PacketConn
	must(t, to.Do(func() (err error) {
		b, err = net.ListenPacket("udp4", netip.AddrPortFrom(to.Addr(network), 0).String())
		return err
	}))
	defer b.Close()
	must(t, from.Do(func() (err error) {
		a, err = net.ListenPacket("udp4", netip.AddrPortFrom(from.Addr(network), 0).String())
		return err
	}))
	defer a.Close()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		_, _ = a.WriteTo([]byte("x"), b.LocalAddr())
		_ = b.SetReadDeadline(time.Now().Add(40 * time.Millisecond))
		if _, _, err := b.ReadFrom(make([]byte, 10)); err == nil {
			return true
		}
	}
	return false
}

// Every pair talks on every network as soon as the lab is up.
func TestNetworksConnect(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{Interconnects: 2})
	for _, n := range []string{lab.LAN1, lab.LAN2, lab.Public} {
		for _, a := range l.Servers {
			for _, b := range l.Servers {
				if a != b && !arrives(t, a, b, n) {
					t.Errorf("%s to %s on %s: nothing arrives", a.Name, b.Name, n)
				}
			}
		}
	}
}

func carrier(t *testing.T, s *lab.Server, network string) bool {
	t.Helper()
	up, err := s.HasCarrier(network)
	must(t, err)
	return up
}

// A pulled cable is NO-CARRIER on the server, and on that network and server only.
func TestPull(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{})
	a, b := l.Servers[0], l.Servers[1]
	must(t, a.Pull(lab.Public))
	if carrier(t, a, lab.Public) {
		t.Error("carrier with the cable pulled")
	}
	if !carrier(t, a, lab.LAN1) || !carrier(t, b, lab.Public) {
		t.Error("a cable that was not pulled has lost its carrier")
	}
	if !lost(t, a, b, lab.Public) || !lost(t, b, a, lab.Public) {
		t.Error("packets through a pulled cable")
	}
	if !arrives(t, a, b, lab.LAN1) {
		t.Error("the other network is gone too")
	}
	must(t, a.Plug(lab.Public))
	if !carrier(t, a, lab.Public) || !arrives(t, a, b, lab.Public) {
		t.Error("the cable is plugged in again, but nothing goes through")
	}
	must(t, a.SetNIC(lab.Public, false))
	if !lost(t, b, a, lab.Public) {
		t.Error("packets through a card that is down")
	}
	must(t, a.SetNIC(lab.Public, true))
	if !arrives(t, b, a, lab.Public) {
		t.Error("the card is up again, but nothing goes through")
	}
	if err := a.Pull(lab.LAN2); err == nil {
		t.Error("a cable that does not exist was pulled")
	}
}

// One direction is lost, on the networks named, ARP included; the other one is not.
func TestDropOneWay(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{})
	a, b, c := l.Servers[0], l.Servers[1], l.Servers[2]
	// Neighbours are known before, or ARP, which needs both directions, would fail too.
	if !arrives(t, a, b, lab.LAN1) || !arrives(t, b, a, lab.LAN1) || !arrives(t, a, b, lab.Public) {
		t.Fatal("no connection before the fault")
	}
	must(t, l.DropOneWay(a.Name, b.Name, lab.LAN1))
	if !lost(t, a, b, lab.LAN1) {
		t.Error("server1 to server2 arrives")
	}
	if !arrives(t, b, a, lab.LAN1) {
		t.Error("server2 to server1 is lost")
	}
	if !arrives(t, a, b, lab.Public) || !arrives(t, a, c, lab.LAN1) {
		t.Error("another network or server is hit too")
	}
	must(t, l.DropOneWay(a.Name, b.Name))
	if !lost(t, a, b, lab.Public) {
		t.Error("server1 to server2 arrives on the public LAN")
	}
	must(t, l.Heal())
	if !arrives(t, a, b, lab.LAN1) || !arrives(t, a, b, lab.Public) {
		t.Error("still lost after Heal")
	}
	must(t, l.Cut(a.Name, "client"))
	if err := l.DropOneWay(a.Name, "client", lab.LAN1); err == nil {
		t.Error("the client is not on lan1, and nobody said so")
	}
}

// Half of the packets: neither all nor none of 400 arrive.
func TestLoss(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{Servers: 2})
	a, b := l.Servers[0], l.Servers[1]
	arrives(t, a, b, lab.LAN1)
	must(t, l.Loss(50, a.Name, b.Name))
	var from, to net.PacketConn
	must(t, b.Do(func() (err error) { to, err = net.ListenPacket("udp4", "192.168.100.2:0"); return err }))
	defer to.Close()
	must(t, a.Do(func() (err error) { from, err = net.ListenPacket("udp4", "192.168.100.1:0"); return err }))
	defer from.Close()
	for range 400 {
		_, err := from.WriteTo([]byte("x"), to.LocalAddr())
		must(t, err)
	}
	got := 0
	for {
		_ = to.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, _, err := to.ReadFrom(make([]byte, 10)); err != nil {
			break
		}
		got++
	}
	if got < 120 || got > 280 { // 8 standard deviations
		t.Errorf("%d of 400 packets arrived at a loss of 50 %%", got)
	}
}

// Power off: every process is gone, nothing answers. Power on: the disk is as it was,
// the run directory empty, the boot id new, and nothing runs.
func TestPowerCutAndBoot(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{})
	a, b := l.Servers[0], l.Servers[1]
	old := a.BootID()
	run(t, a, "echo kept >"+filepath.Join(a.Disk(), "file")+"; echo lost >/run/baton/file")
	p, err := a.Start(lab.Spec{Args: []string{"/bin/sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000"}})
	must(t, err)
	procs, err := a.Processes()
	must(t, err)
	if len(procs) < 2 {
		t.Fatalf("processes %v, want init and the shell", procs)
	}
	began := time.Now()
	must(t, a.PowerCut())
	t.Logf("power cut took %s", time.Since(began))
	select {
	case <-p.Done():
		if p.Code() != 128+9 {
			t.Errorf("code %d, want that of SIGKILL", p.Code())
		}
	case <-time.After(5 * time.Second):
		t.Error("the lab was not told that the process ended")
	}
	for _, p := range procs {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", p.PID)); err == nil {
			t.Errorf("%v is still there", p)
		}
	}
	if a.On() {
		t.Error("on without power")
	}
	if err := a.PowerCut(); err == nil {
		t.Error("power was cut twice")
	}
	if _, err := a.Start(lab.Spec{Args: []string{"/bin/true"}}); err == nil {
		t.Error("a program was started without power")
	}
	began = time.Now()
	must(t, a.Boot())
	t.Logf("boot took %s", time.Since(began))
	if a.BootID() == old {
		t.Error("the boot id is the old one")
	}
	if got := run(t, a, "cat "+filepath.Join(a.Disk(), "file")+"; ls /run/baton"); got != "kept" {
		t.Errorf("disk and run directory hold %q, want only what was on the disk", got)
	}
	if !arrives(t, a, b, lab.Public) || !arrives(t, b, a, lab.LAN1) {
		t.Error("no connection after the boot")
	}
}

// A stalled server's processes stand still, children and all, and go on afterwards.
func TestStall(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{Servers: 1})
	s := l.Servers[0]
	file := filepath.Join(s.Disk(), "count")
	_, err := s.Start(lab.Spec{Args: []string{"/bin/sh", "-c", "while :; do echo >>" + file + "; /bin/true; done"}})
	must(t, err)
	_, err = s.StartRole("echo") // a program with many threads
	must(t, err)
	size := func() int64 {
		info, err := os.Stat(file)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	grow := func() bool {
		before := size()
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if size() > before {
				return true
			}
		}
		return false
	}
	if !grow() {
		t.Fatal("the program does nothing")
	}
	must(t, s.Stall())
	before := size()
	time.Sleep(50 * time.Millisecond) // long for a loop that takes a millisecond
	if got := size(); got != before {
		t.Errorf("a stalled program has written %d bytes", got-before)
	}
	procs, err := s.Processes()
	must(t, err)
	for _, p := range procs {
		if p.Inner != 1 && !strings.ContainsRune("TZD", rune(p.State)) {
			t.Errorf("%v has state %c, want T", p.Args, p.State)
		}
	}
	must(t, s.Resume())
	if !grow() {
		t.Error("the program has not gone on")
	}
}

// Each server's CLOCK_BOOTTIME is another one, and a new one after a boot.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	l := bare(t, lab.Options{Servers: 2})
	if _, err := os.Stat("/proc/self/timens_offsets"); err != nil {
		t.Skip("no time namespaces (Linux 5.6): the servers have the machine's clock")
	}
	up := func(s *lab.Server) float64 {
		seconds, err := strconv.ParseFloat(strings.Fields(run(t, s, "cat /proc/uptime"))[0], 64)
		must(t, err)
		return seconds
	}
	apart := func(a, b float64) bool { return a-b > 2 || b-a > 2 }
	s := l.Servers[0]
	first := up(s)
	if other := up(l.Servers[1]); !apart(first, other) {
		t.Errorf("server1 is up for %.0f s, server2 for %.0f s: want clocks that cannot be compared", first, other)
	}
	must(t, s.PowerCut())
	must(t, s.Boot())
	if again := up(s); !apart(first, again) {
		t.Errorf("up for %.0f s before the boot, for %.0f s after it", first, again)
	}
}
