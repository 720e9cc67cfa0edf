package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"baton/conf"
	"baton/daemon/tiebreak/disk"
)

// TieHost is the machine that runs batond --witness, on every network, with this as
// the last byte of its addresses. Faults call it "witness".
const TieHost = 253

// tieDevice is the CLUSTER partition as each server sees it: a link of its own to the
// one file that all share, so that one of them can be without it.
const tieDevice = RunDir + "/cluster.disk"

// tieHost is the machine of the tie-breaker "witness". It keeps its state when it is off.
type tieHost struct {
	machine *machine
	addrs   []netip.Addr
	proc    *exec.Cmd // nil: off
}

// Tiebreaker sets tiebreaker.kind: witness, disk, ping (the gateway) or none.
func Tiebreaker(kind string) Option { return func(o *Options) { o.Tiebreaker = kind } }

// prepareTiebreaker makes what the tie-breaker needs, before the servers boot.
func (l *Lab) prepareTiebreaker() error {
	switch l.opts.Tiebreaker {
	case conf.TiebreakerDisk:
		dir := l.dir
		if l.diskDir != "" {
			dir = l.diskDir
		}
		l.clusterDisk = filepath.Join(dir, "cluster.disk")
		if err := os.WriteFile(l.clusterDisk, make([]byte, disk.Size), 0o600); err != nil {
			return err
		}
		_, err := disk.Init(l.clusterDisk, false)
		return err
	case conf.TiebreakerWitness:
		return l.addTieHost()
	}
	return nil
}

func (l *Lab) addTieHost() (err error) {
	h := &tieHost{}
	for i := range l.interconnects() {
		h.addrs = append(h.addrs, netip.AddrFrom4([4]byte{192, 168, byte(100 + i), TieHost}))
	}
	h.addrs = append(h.addrs, netip.AddrFrom4([4]byte{10, 0, 0, TieHost}))
	if h.machine, err = l.addMachine("witness", h.addrs[len(h.addrs)-1]); err != nil {
		return err
	}
	l.tie = h
	for i, n := range l.interconnects() {
		c := cable{network: n, port: "witness." + n, peer: h.machine.ns, nic: fmt.Sprintf("eth%d", i+1), addr: netip.PrefixFrom(h.addrs[i], 24)}
		if err := l.room.lay(c, h.machine.nl); err != nil {
			return err
		}
	}
	return nil
}

// tiebreakerText is the table [tiebreaker] of baton.toml.
func (l *Lab) tiebreakerText() string {
	q := strconv.Quote
	switch l.opts.Tiebreaker {
	case conf.TiebreakerDisk:
		return fmt.Sprintf("\n[tiebreaker]\nkind = \"disk\"\ndevice = %s\n", q(tieDevice))
	case conf.TiebreakerWitness:
		var list []string
		for _, a := range l.tie.addrs {
			list = append(list, q(a.String()))
		}
		return fmt.Sprintf("\n[tiebreaker]\nkind = \"witness\"\naddress = [%s]\n", strings.Join(list, ", "))
	case conf.TiebreakerPing:
		return fmt.Sprintf("\n[tiebreaker]\nkind = \"ping\"\naddress = [%s]\n", q(Gateway.String()))
	case "":
		return ""
	}
	return fmt.Sprintf("\n[tiebreaker]\nkind = %s\n", q(l.opts.Tiebreaker))
}

func (l *Lab) tieDir(name string) string { return filepath.Join(l.dir, "witness", name) }

// StartTieWitness starts batond --witness. Its state is that of the last time.
func (l *Lab) StartTieWitness() error {
	if l.tie == nil {
		return errors.New("no witness in this lab: Tiebreaker(\"witness\")")
	}
	if l.tie.proc != nil {
		return errors.New("the witness is on already")
	}
	for _, d := range []string{"keys", "state"} {
		if err := os.MkdirAll(l.tieDir(d), 0o700); err != nil {
			return err
		}
	}
	key, err := os.ReadFile(filepath.Join(l.dir, "cluster.key"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.tieDir("keys"), "lab.key"), key, 0o600); err != nil {
		return err
	}
	l.note("the witness starts")
	log, err := os.OpenFile(l.TieLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(l.opts.Batond, "--witness", "--listen", ":22861", "--keys", l.tieDir("keys"), "--state-dir", l.tieDir("state"))
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, []string{pathEnv}
	// The child is in the network namespace of the thread that starts it.
	if err := within(l.tie.machine.ns, cmd.Start); err != nil {
		return fmt.Errorf("witness: %w", err)
	}
	l.tie.proc = cmd
	return nil
}

// TieLog is the path of the witness's log.
func (l *Lab) TieLog() string { return l.tieDir("log") }

// StopTieWitness takes the power from the witness. Its state stays.
func (l *Lab) StopTieWitness() error {
	if l.tie == nil || l.tie.proc == nil {
		return errors.New("no witness runs in this lab")
	}
	l.note("power cut of the witness")
	cmd := l.tie.proc
	l.tie.proc = nil
	err := cmd.Process.Kill()
	_ = cmd.Wait() // says that it was killed
	return err
}

// WipeTieWitness has the witness come back without its registers, as after the loss
// of its disk.
func (l *Lab) WipeTieWitness() error {
	if l.tie != nil && l.tie.proc != nil {
		if err := l.StopTieWitness(); err != nil {
			return err
		}
	}
	l.note("the witness loses its registers")
	if err := os.RemoveAll(l.tieDir("state")); err != nil {
		return err
	}
	return l.StartTieWitness()
}

func (l *Lab) closeTiebreaker() {
	if l.tie == nil {
		return
	}
	_ = l.StopTieWitness() // it may be off
	l.tie.machine.close()
	l.tie = nil
}

// showDisk gives the server its link to the CLUSTER partition, at boot and later.
func (s *Server) showDisk() error {
	if s.lab.clusterDisk == "" || s.diskLost {
		return nil
	}
	err := os.Symlink(s.lab.clusterDisk, s.Path(filepath.Base(tieDevice)))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	return err
}

// LoseDisk takes the CLUSTER partition from a server that has not opened it yet, or is
// off: what a batond has open, it keeps. It is gone until FindDisk.
func (s *Server) LoseDisk() error {
	if s.lab.clusterDisk == "" {
		return errors.New("no CLUSTER partition in this lab: Tiebreaker(\"disk\")")
	}
	s.diskLost = true
	err := os.Remove(s.Path(filepath.Base(tieDevice)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// FindDisk gives the CLUSTER partition back.
func (s *Server) FindDisk() error {
	s.diskLost = false
	return s.showDisk()
}

// LoseState removes batond's state directory, of a server whose batond does not run.
func (s *Server) LoseState() error {
	if s.Batond() != nil {
		return fmt.Errorf("state directory of %s: batond runs", s.Name)
	}
	return os.RemoveAll(s.StateDir())
}

// CutAll loses everything between every two of these machines, on the networks named
// or on all.
func (l *Lab) CutAll(machines []string, networks ...string) error {
	var err error
	for i, a := range machines {
		for _, b := range machines[i+1:] {
			err = errors.Join(err, l.Cut(a, b, networks...))
		}
	}
	return err
}

// CutOff loses everything between some machines and all other servers, the client,
// the gateway and the witness.
func (l *Lab) CutOff(machines ...string) error {
	others := []string{"client", "gateway"}
	if l.tie != nil {
		others = append(others, "witness")
	}
	for _, s := range l.Servers {
		others = append(others, s.Name)
	}
	var err error
	for _, a := range machines {
		for _, b := range others {
			if !slices.Contains(machines, b) {
				err = errors.Join(err, l.Cut(a, b))
			}
		}
	}
	return err
}

// WitnessOff takes the power from the witness, WitnessOn gives it back.
func (c *Cluster) WitnessOff() {
	c.tb.Helper()
	c.check("witness off", c.StopTieWitness())
}

// WitnessOn starts the witness again, with its registers.
func (c *Cluster) WitnessOn() {
	c.tb.Helper()
	c.check("witness on", c.StartTieWitness())
}

// WitnessWiped has the witness lose its registers.
func (c *Cluster) WitnessWiped() {
	c.tb.Helper()
	c.check("witness wiped", c.WipeTieWitness())
}

// ClusterDiskPath is the file that all servers have as CLUSTER partition.
func (l *Lab) ClusterDiskPath() string { return l.clusterDisk }
