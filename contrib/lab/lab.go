package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"baton/conf"
)

// Addresses on the public LAN beside the servers'.
var (
	Client  = netip.MustParseAddr("10.0.0.200")
	Gateway = netip.MustParseAddr("10.0.0.254")
)

// Limits of a lab.
const (
	// MaxServers is SPEC's; server16.public is also as long as a port's name may be.
	MaxServers       = 16
	MaxInterconnects = 2
)

// Options describe a lab. The zero value is three servers, one interconnect, a
// heartbeat every 100 ms, and a timeout of 1 s.
type Options struct {
	Servers       int
	Interconnects int           // 0 means 1; -1 none: heartbeats go over the public LAN only
	Interval      time.Duration // heartbeat.interval
	Timeout       time.Duration // heartbeat.timeout
	StartupWait   time.Duration // startup.wait; 0 means 30s
	// Groups to configure; nil means A, B and C, on the servers in turn, with scripts.
	Groups []Group
	// OnDisk puts the servers' disks on the machine's own file system below TMPDIR,
	// where fsync costs what it costs, instead of in memory.
	OnDisk bool
	// Batond is the path of the daemon; "" builds ./daemon.
	Batond string
	// Config is added to the end of baton.toml.
	Config string
	// ReturnAuto sets recovery.return = "auto".
	ReturnAuto bool
	// Tiebreaker is tiebreaker.kind: "witness", "disk", "ping", "fence" or "none"; ""
	// leaves it out.
	Tiebreaker string
	// FenceDelay is how long the others wait before they power server1 off.
	FenceDelay time.Duration
	// Mounts: every group with scripts also mounts a file system, see mounts.go.
	Mounts bool
	// Faults, where not "", has batond built with the tag "faults" and is its BATON_FAULTS
	// (daemon/faults.go): rules left out, a wall clock that can be set.
	Faults string
	// IOFaults: the I/O of batond's files can be made to fail or hang, see iogate.go.
	IOFaults bool
	// DiskSize gives each server a disk of its own, of so many bytes, which can be full;
	// 0: as much as the machine has.
	DiskSize int
	// Restart starts a batond that has ended with code 1 again, as the service manager does
	// (contrib/systemd); without it such an end is a complaint.
	Restart bool
	// Etc are files that every server has below /etc instead of the machine's own, such
	// as passwd and group, by name. The machine must have files of these names.
	Etc map[string]string
	// Bare starts the servers without batond.
	Bare bool
}

func (o *Options) fill() error {
	if o.Servers == 0 {
		o.Servers = 3
	}
	switch o.Interconnects {
	case 0:
		o.Interconnects = 1
	case -1:
		o.Interconnects = 0
	}
	if o.Interval == 0 {
		o.Interval = 100 * time.Millisecond
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.StartupWait == 0 {
		o.StartupWait = 30 * time.Second
	}
	if o.Servers < 1 || o.Servers > MaxServers {
		return fmt.Errorf("%d servers: 1 to %d", o.Servers, MaxServers)
	}
	if o.Interconnects < 0 || o.Interconnects > MaxInterconnects {
		return fmt.Errorf("%d interconnects: 0 to %d", o.Interconnects, MaxInterconnects)
	}
	if o.Groups == nil {
		o.Groups = DefaultGroups(o.Servers)
	}
	for i := range o.Groups {
		o.Groups[i].fill(i, o.Servers)
	}
	return nil
}

// Lab is a switch room, a client, a gateway and servers.
type Lab struct {
	Servers []*Server

	opts    Options
	dir     string // in memory, "" after Close
	diskDir string // on disk, "" without OnDisk
	room    *switchRoom
	client  *machine
	gateway *machine
	holders *holderWatch
	pauses  pauses
	tie     *tieHost // nil: the tie-breaker is no witness
	// clusterDisk is the file of the tie-breaker "disk", "" for other kinds.
	clusterDisk string
	mounts      *mountWatch  // nil without Mounts
	gate        *ioGate      // nil without IOFaults
	power       *powerSwitch // nil unless the tie-breaker is fence
	// began is when the lab did, on two clocks.
	began     time.Time
	beganBoot time.Duration

	underWay   sync.WaitGroup // what the lab does by itself
	mu         sync.Mutex
	closed     bool
	complaints []error
	closers    []func()
	handovers  []window // when an operator asked for groups to change hands
	witness    *Witness // nil in a bare lab
	happenings []happening
}

// machine is a network namespace with one card and no processes.
type machine struct {
	ns netns.NsHandle
	nl *netlink.Handle
}

// New makes a lab: all cables laid, all servers on and, unless it is bare, the witness
// watching and batond started everywhere.
func New(o Options) (*Lab, error) {
	if err := Err(); err != nil {
		return nil, err
	}
	if err := o.fill(); err != nil {
		return nil, err
	}
	l := &Lab{opts: o, began: time.Now(), beganBoot: bootClock()}
	l.pauses.watch()
	if err := l.build(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Lab) build() error {
	var err error
	if l.dir, err = os.MkdirTemp(filepath.Join(world.dir, "mem"), "lab"); err != nil {
		return err
	}
	if err := os.Chmod(l.dir, 0o755); err != nil {
		return err
	}
	if l.opts.OnDisk {
		if l.diskDir, err = os.MkdirTemp(filepath.Join(world.dir, "disk"), "lab"); err != nil {
			return err
		}
	}
	networks := append(l.interconnects(), Public)
	if l.room, err = newSwitchRoom(networks); err != nil {
		return err
	}
	if l.client, err = l.addMachine("client", Client); err != nil {
		return err
	}
	if l.gateway, err = l.addMachine("gateway", Gateway); err != nil {
		return err
	}
	if err := l.prepareTiebreaker(); err != nil {
		return fmt.Errorf("tie-breaker: %w", err)
	}
	if l.opts.Mounts {
		if l.mounts, err = newMountWatch(l); err != nil {
			return err
		}
	}
	if l.opts.Tiebreaker == conf.TiebreakerFence {
		if l.power, err = newPowerSwitch(l); err != nil {
			return err
		}
	}
	if l.opts.IOFaults {
		if l.gate, err = newIOGate(l); err != nil {
			return err
		}
	}
	l.holders = newHolderWatch(l.complain)
	for _, g := range l.opts.Groups {
		l.holders.want(netip.MustParseAddr(g.Address))
	}
	// Servers boot side by side, as after a power failure of the whole room.
	errs := make(chan error, l.opts.Servers)
	for i := range l.opts.Servers {
		s := l.newServer(i+1, networks)
		l.Servers = append(l.Servers, s)
		if err := s.makeDisk(); err != nil {
			return err
		}
	}
	for _, s := range l.Servers {
		go func() { errs <- s.Boot() }()
	}
	for range l.Servers {
		err = errors.Join(err, <-errs)
	}
	if err != nil || l.opts.Bare {
		return err
	}
	var ips []netip.Addr
	for _, g := range l.opts.Groups {
		ips = append(ips, netip.MustParseAddr(g.Address))
	}
	if l.witness, err = l.NewWitness(ips...); err != nil {
		return err
	}
	return l.startCluster()
}

func (l *Lab) interconnects() []string {
	return []string{LAN1, LAN2}[:l.opts.Interconnects:l.opts.Interconnects]
}

func (l *Lab) newServer(number int, networks []string) *Server {
	name := fmt.Sprintf("server%d", number)
	s := &Server{Name: name, Number: number, lab: l, dir: filepath.Join(l.dir, name)}
	s.disk = filepath.Join(s.dir, "disk")
	if l.diskDir != "" {
		s.disk = filepath.Join(l.diskDir, name)
	}
	for i, n := range networks {
		c := cable{network: n, port: name + "." + n, nic: fmt.Sprintf("eth%d", i)}
		a := [4]byte{192, 168, byte(100 + i), byte(number)}
		if n == Public {
			c.nic, a = "ethP", [4]byte{10, 0, 0, byte(10 + number)}
		}
		c.addr = netip.PrefixFrom(netip.AddrFrom4(a), 24)
		s.cables = append(s.cables, c)
	}
	return s
}

// addMachine puts a machine on the public LAN that answers ARP and ping and does
// nothing else.
func (l *Lab) addMachine(name string, addr netip.Addr) (*machine, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	m := &machine{ns: ns}
	if m.nl, err = netlink.NewHandleAt(ns); err == nil {
		err = within(ns, func() error { setSysctls(sysctls); return loopbackUp() })
	}
	if err == nil {
		err = l.room.lay(cable{network: Public, port: name + "." + Public, peer: ns, nic: "eth0", addr: netip.PrefixFrom(addr, 24)}, m.nl)
	}
	if err != nil {
		m.close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func (m *machine) close() {
	if m.nl != nil {
		m.nl.Close()
	}
	m.ns.Close()
}

// Dir is the lab's directory, the same on every server and outside.
func (l *Lab) Dir() string { return l.dir }

// Options are the options with the defaults filled in.
func (l *Lab) Options() Options { return l.opts }

// Server finds a server by name; nil where there is none.
func (l *Lab) Server(name string) *Server {
	for _, s := range l.Servers {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// ClientDo runs f on a thread inside the client's network namespace.
func (l *Lab) ClientDo(f func() error) error { return within(l.client.ns, f) }

// DropOneWay loses what goes from one machine to another, and nothing of the other
// direction. Machines are server names, "client" and "gateway"; without networks: on
// all that both are on. "witness" is the tie-breaker's, if it is one. Loss with a percentage loses that many packets, 0 none.
func (l *Lab) DropOneWay(from, to string, networks ...string) error {
	return l.Loss(100, from, to, networks...)
}

// Loss is DropOneWay for a share of the packets.
func (l *Lab) Loss(percent int, from, to string, networks ...string) error {
	if percent < 0 || percent > 100 {
		return fmt.Errorf("loss of %d %%: 0 to 100", percent)
	}
	if len(networks) == 0 {
		networks = append(l.interconnects(), Public)
	}
	done := 0
	for _, n := range networks {
		if !l.isOn(from, n) || !l.isOn(to, n) {
			continue
		}
		done++
		if err := l.room.setDrop(drop{in: from + "." + n, out: to + "." + n, percent: percent}); err != nil {
			return err
		}
	}
	if done == 0 {
		return fmt.Errorf("%q and %q share none of the networks %s", from, to, strings.Join(networks, ", "))
	}
	l.note("%d %% loss from %s to %s on %s", percent, from, to, strings.Join(networks, " "))
	return nil
}

// Cut loses everything between two machines, both ways.
func (l *Lab) Cut(a, b string, networks ...string) error {
	return errors.Join(l.DropOneWay(a, b, networks...), l.DropOneWay(b, a, networks...))
}

// Heal ends every loss; pulled cables stay pulled.
func (l *Lab) Heal() error {
	l.note("healed")
	return l.room.clearDrops()
}

func (l *Lab) isOn(name, network string) bool {
	switch {
	case name == "client" || name == "gateway":
		return network == Public
	case name == "witness":
		return l.tie != nil
	}
	s := l.Server(name)
	return s != nil && s.Addr(network).IsValid()
}

// cgroup makes the directory for a server's processes; "" where the world has none.
func (l *Lab) cgroup(server string) string {
	dir := filepath.Join(world.dir, "cgroup", filepath.Base(world.dir), filepath.Base(l.dir), server)
	if os.MkdirAll(dir, 0o755) != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
		_ = os.RemoveAll(dir)
		return ""
	}
	return dir
}

// complain keeps what went wrong out of a caller's sight; Verify reports it.
func (l *Lab) complain(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.complaints = append(l.complaints, err)
}

// Complaints are what went wrong out of a caller's sight, oldest first.
func (l *Lab) Complaints() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.complaints)
}

// begin says whether the lab may begin something by itself; its end is told to
// underWay, for which Close waits.
func (l *Lab) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.underWay.Add(1)
	}
	return !l.closed
}

// onClose has f called by Close, last one first, before the servers go.
func (l *Lab) onClose(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closers = append(l.closers, f)
}

// Close takes everything down. The lab's directory goes as well.
func (l *Lab) Close() {
	l.mu.Lock()
	closers := l.closers
	l.closers, l.closed = nil, true
	l.mu.Unlock()
	l.underWay.Wait()
	for _, f := range slices.Backward(closers) {
		f()
	}
	var wg sync.WaitGroup
	for _, s := range l.Servers {
		wg.Go(func() { _ = s.PowerCut() })
	}
	wg.Wait()
	if l.holders != nil {
		l.holders.close()
	}
	l.pauses.close()
	if l.gate != nil {
		l.gate.close()
	}
	if l.power != nil {
		l.power.close()
	}
	if l.mounts != nil {
		l.mounts.close()
	}
	for _, s := range l.Servers {
		s.removeDisk()
	}
	l.closeTiebreaker()
	for _, m := range []*machine{l.client, l.gateway} {
		if m != nil {
			m.close()
		}
	}
	if l.room != nil {
		l.room.close()
	}
	if l.dir != "" {
		removeTree(filepath.Join(world.dir, "cgroup", filepath.Base(world.dir), filepath.Base(l.dir)))
		_ = os.RemoveAll(l.dir)
	}
	if l.diskDir != "" {
		_ = os.RemoveAll(l.diskDir)
	}
	l.Servers, l.client, l.gateway, l.room, l.holders = nil, nil, nil, nil, nil
}
