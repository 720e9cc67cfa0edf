package lab

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Server is one virtual server. It is on or off; what it keeps while it is off is its
// disk and its cables.
type Server struct {
	Name string
	// Number counts from 1. Server 2 has the addresses 192.168.100.2 and 10.0.0.12.
	Number int
	lab    *Lab
	cables []cable
	dir    string // outside: holds run/, boot_id, disk (a link or directory) and log/
	disk   string

	mu      sync.Mutex
	life    *life           // nil: off
	batond  *daemon         // nil: never started in this life
	pulled  map[string]bool // by network
	stalled bool
	stalls  []window // when it stood still, and the time after it in which it cleans up

	reboots int // by the server itself
	// poweredOff counts how often programs on the server have switched it off.
	poweredOff atomic.Int64

	diskLost bool // no link to the CLUSTER partition; changed by the lab's one user alone
}

// life is a server from power on to power off.
type life struct {
	init *exec.Cmd
	link *initLink
	ns   netns.NsHandle
	nl   *netlink.Handle
	done chan struct{} // closed when init is gone
}

// Disk is the server's directory that survives power cuts. It has the same path on
// the server and outside.
func (s *Server) Disk() string { return s.disk }

// Path says where a file below RunDir is found from outside of the server.
func (s *Server) Path(name string) string { return filepath.Join(s.dir, "run", name) }

// Socket is the path of batond's socket from outside of the server.
func (s *Server) Socket() string { return s.Path(filepath.Base(SocketPath)) }

// LogPath is where the output of a program goes; it survives reboots.
func (s *Server) LogPath(name string) string { return filepath.Join(s.dir, "log", name+".log") }

// On reports whether the server has power and its init runs.
func (s *Server) On() bool { return s.initPID() != 0 }

func (s *Server) alive() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

func (s *Server) initPID() int {
	l := s.alive()
	if l == nil {
		return 0
	}
	select {
	case <-l.done:
		return 0
	default:
		return l.init.Process.Pid
	}
}

func (s *Server) off(what string) error {
	return fmt.Errorf("%s on %s: it is off, boot it first", what, s.Name)
}

// Boot switches the server on: a new boot id, an empty RunDir, cables as they were.
// Nothing runs on it but init; see Start.
func (s *Server) Boot() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.life; l != nil {
		select {
		case <-l.done:
			s.cut(l) // it has just gone off by itself, and wentOff has not come to it yet
		default:
			return fmt.Errorf("boot %s: it is on already", s.Name)
		}
	}
	run, boot := filepath.Join(s.dir, "run"), filepath.Join(s.dir, "boot_id")
	if err := os.RemoveAll(run); err != nil {
		return err
	}
	for _, d := range []string{run, s.lab.scripts(), s.disk, filepath.Join(s.dir, "log")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := s.showDisk(); err != nil {
		return err
	}
	if err := os.WriteFile(boot, []byte(newUUID()+"\n"), 0o444); err != nil {
		return err
	}
	etc, err := s.etc()
	if err != nil {
		return err
	}
	b := birth{Name: s.Name, Run: run, Scripts: s.lab.scripts(), Boot: boot, Cgroup: s.lab.cgroup(s.Name), Clock: newClock(), Etc: etc}
	if err := os.WriteFile(s.Path(clockFile), fmt.Appendln(nil, b.Clock), 0o444); err != nil {
		return err
	}
	spec, err := json.Marshal(b)
	if err != nil {
		return err
	}
	link, theirs, err := newInitLink()
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"init of " + s.Name, roleArg, "init", string(spec)}
	cmd.Env = []string{pathEnv}
	if log, err := os.OpenFile(s.LogPath("init"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644); err == nil {
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Setsid:     true,
	}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		link.close()
		return fmt.Errorf("boot %s: %w", s.Name, err)
	}
	l := &life{init: cmd, link: link, ns: netns.None(), done: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		sig := endOf(err)
		if sig == unix.SIGINT {
			s.poweredOff.Add(1)
		}
		close(l.done)
		link.close()
		s.wentOff(l, sig)
	}()
	if err := s.wire(l); err != nil {
		s.kill(l)
		return fmt.Errorf("boot %s: %w", s.Name, err)
	}
	s.life, s.batond, s.pulled, s.stalled = l, nil, map[string]bool{}, false
	s.lab.note("%s boots, its clock %d s ahead", s.Name, b.Clock)
	s.lab.holders.add(s.Name, l.ns)
	return nil
}

// etc writes the files that the server has instead of the machine's.
func (s *Server) etc() (map[string]string, error) {
	out := map[string]string{}
	for name, text := range s.lab.opts.Etc {
		out[name] = filepath.Join(s.dir, "etc-"+name)
		if err := os.WriteFile(out[name], []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// wire waits for init to settle and connects the cables.
func (s *Server) wire(l *life) error {
	if err := l.link.settled(); err != nil {
		return err
	}
	var err error
	if l.ns, err = netns.GetFromPath("/proc/" + strconv.Itoa(l.init.Process.Pid) + "/ns/net"); err != nil {
		return err
	}
	if l.nl, err = netlink.NewHandleAt(l.ns); err != nil {
		return err
	}
	for i := range s.cables {
		c := s.cables[i]
		c.peer = l.ns
		if err := s.lab.room.lay(c, l.nl); err != nil {
			return err
		}
	}
	return l.nl.RouteAdd(&netlink.Route{Gw: Gateway.AsSlice()})
}

// kill ends init, and with it every process of the server, and frees what the lab
// holds of it. It returns when the last process is gone.
func (s *Server) kill(l *life) {
	_ = l.init.Process.Kill()
	<-l.done
	if l.nl != nil {
		l.nl.Close()
	}
	if l.ns.IsOpen() {
		l.ns.Close()
	}
	for _, c := range s.cables {
		// With the port goes the card, and with it the addresses, even while the kernel
		// is still busy with taking the namespace down.
		if err := s.lab.room.remove(c.port); err != nil {
			s.lab.complain(err)
		}
	}
}

// PowerCut takes the power away: first no packet leaves or reaches the server any
// more, then every process is gone at once.
func (s *Server) PowerCut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.life
	if l == nil {
		return s.off("power cut")
	}
	s.cut(l)
	return nil
}

// cut is PowerCut for a life that goes on until now. s.mu is held.
func (s *Server) cut(l *life) {
	s.life, s.batond = nil, nil
	s.lab.note("power cut of %s", s.Name)
	s.endStall(time.Now())
	for _, c := range s.cables {
		if err := s.lab.room.setPort(c, false, nil); err != nil {
			s.lab.complain(err)
		}
	}
	s.lab.holders.remove(s.Name)
	s.kill(l)
}

// wentOff takes note that init has ended by itself. Where that was by reboot(2), called by
// a program on the server, the machine powers off, or boots again: the kernel then ends
// the first process of a PID namespace by SIGINT, or by SIGHUP (pid_namespaces(7)),
// signals that it cannot die of otherwise.
func (s *Server) wentOff(l *life, sig unix.Signal) {
	if !s.lab.begin() {
		return
	}
	defer s.lab.underWay.Done()
	s.mu.Lock()
	if s.life != l {
		s.mu.Unlock()
		return // its power was cut, or it has never come up
	}
	s.cut(l) // at once: what its kernel holds goes with it
	if sig == unix.SIGHUP {
		s.reboots++
	}
	s.mu.Unlock()
	switch sig {
	case unix.SIGINT:
		s.lab.note("%s powers itself off", s.Name)
	case unix.SIGHUP:
		time.Sleep(rebootTime)
		if s.On() {
			return // switched off and on again meanwhile
		}
		if err := s.PowerOn(); err != nil {
			s.lab.complain(fmt.Errorf("%s has rebooted and does not come up: %w", s.Name, err))
		}
	default:
		s.lab.complain(fmt.Errorf("init of %s has ended by itself (signal %d)", s.Name, sig))
	}
}

// Reboots is how often the server has rebooted itself.
func (s *Server) Reboots() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reboots
}

// rebootTime is how long a server is gone that has rebooted itself: what a machine takes
// for its firmware and kernel.
const rebootTime = 300 * time.Millisecond

// endedByItself waits for the end of a life and says whether it was reboot(2).
func (l *life) endedByItself() bool {
	<-l.done
	ws, ok := l.init.ProcessState.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && (ws.Signal() == unix.SIGHUP || ws.Signal() == unix.SIGINT)
}

// endOf is the signal that ended a process; 0: none did.
func endOf(err error) unix.Signal {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 0
	}
	ws, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() {
		return 0
	}
	return ws.Signal()
}

// PoweredOff is how often the server has powered itself off.
func (s *Server) PoweredOff() int { return int(s.poweredOff.Load()) }

// Stall stops every process and thread on the server (SIGSTOP) and returns when the
// last one has stopped. The kernel goes on: it answers ARP and ping, and ends address
// lifetimes.
func (s *Server) Stall() error { return s.signalAll(unix.SIGSTOP) }

// Resume lets a stalled server go on.
func (s *Server) Resume() error { return s.signalAll(unix.SIGCONT) }

func (s *Server) signalAll(sig unix.Signal) error {
	l := s.alive()
	if l == nil {
		return s.off(sig.String())
	}
	s.lab.note("%s to everything on %s", unix.SignalName(sig), s.Name)
	began := time.Now()
	if _, err := l.link.call(ask{Signal: int(sig), Pid: -1}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.stalled = sig == unix.SIGSTOP; {
	case !s.stalled:
		s.endStall(time.Now().Add(s.lab.opts.Timeout / 4)) // E, to clean up in
	case len(s.stalls) == 0 || !s.stalls[len(s.stalls)-1].until.IsZero():
		s.stalls = append(s.stalls, window{from: began})
	}
	return nil
}

// endStall ends the last stall, if one is on. Called with s.mu.
func (s *Server) endStall(at time.Time) {
	if n := len(s.stalls); n > 0 && s.stalls[n-1].until.IsZero() {
		s.stalls[n-1].until = at
	}
}

// Stalled reports whether the server stands still.
func (s *Server) Stalled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stalled
}

// BootID is what the server's programs read as theirs.
func (s *Server) BootID() string {
	id, _ := os.ReadFile(filepath.Join(s.dir, "boot_id"))
	return string(id[:max(0, len(id)-1)])
}

// Start runs a program on the server.
func (s *Server) Start(spec Spec) (*Process, error) {
	l := s.alive()
	if l == nil {
		return nil, s.off("start " + spec.Args[0])
	}
	if spec.Log == "" {
		spec.Log = filepath.Base(spec.Args[0])
	}
	if spec.Dir == "" {
		spec.Dir = "/"
	}
	t, err := l.link.call(ask{Args: spec.Args, Env: append([]string{pathEnv}, spec.Env...), Dir: spec.Dir, Log: s.LogPath(spec.Log), As: spec.As})
	if err != nil {
		return nil, fmt.Errorf("start on %s: %w", s.Name, err)
	}
	return t.proc, nil
}

// StartRole runs one of the lab's own programs on the server.
func (s *Server) StartRole(role string, args ...string) (*Process, error) {
	return s.Start(Spec{Args: append([]string{"/proc/self/exe", roleArg, role}, args...), Log: role})
}

// newUUID is a version 4 UUID (RFC 9562).
func newUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// bootTimeout is how long an init may take to settle and to answer: it is a matter of
// milliseconds, of seconds on a machine that is out of breath.
const bootTimeout = 20 * time.Second
