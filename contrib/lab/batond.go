package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"baton/core/cluster"
	"baton/daemon/api"
)

// daemon is a batond that the lab has started. wanted goes false when its end is
// asked for; an end that nobody asked for is a complaint.
type daemon struct {
	proc   *Process
	wanted bool
}

// startCluster writes the configuration and starts batond everywhere.
func (l *Lab) startCluster() error {
	if l.opts.Batond == "" {
		tags := ""
		if l.opts.Faults != "" {
			tags = "faults"
		}
		path, err := BuildWith("baton/daemon", tags)
		if err != nil {
			return err
		}
		l.opts.Batond = path
	}
	if err := l.configure(); err != nil {
		return err
	}
	if l.tie != nil {
		if err := l.StartTieWitness(); err != nil {
			return err
		}
	}
	for _, s := range l.Servers {
		if err := s.startPrograms(); err != nil {
			return err
		}
	}
	return nil
}

// PowerOn boots a server and starts on it what runs on every server: the echo
// service and, unless the lab is bare, batond.
func (s *Server) PowerOn() error {
	if err := s.Boot(); err != nil {
		return err
	}
	return s.startPrograms()
}

func (s *Server) startPrograms() error {
	if _, err := s.StartRole("echo"); err != nil {
		return err
	}
	if s.lab.opts.Bare {
		return nil
	}
	return s.StartBatond()
}

// StateDir is batond's state directory.
func (s *Server) StateDir() string { return filepath.Join(s.disk, "baton") }

// StartBatond starts batond. Its log is LogPath("batond").
func (s *Server) StartBatond() error {
	if p := s.Batond(); p != nil {
		return fmt.Errorf("start batond on %s: it runs already", s.Name)
	}
	if err := os.MkdirAll(s.StateDir(), 0o755); err != nil {
		return err
	}
	var env []string
	if s.lab.opts.Faults != "" {
		env = []string{"BATON_FAULTS=" + s.lab.opts.Faults}
	}
	s.lab.note("batond starts on %s", s.Name)
	args := []string{s.lab.opts.Batond, "--config", s.lab.ConfigPath(), "--server", s.Name, "--state-dir", s.StateDir(), "--socket", SocketPath}
	if s.lab.gate != nil {
		args = append([]string{"/proc/self/exe", roleArg, "gated", s.lab.gateSocket(), s.Name}, args...)
	}
	p, err := s.Start(Spec{Env: env, Args: args, Log: "batond"})
	if err != nil {
		return err
	}
	d := &daemon{proc: p, wanted: true}
	s.mu.Lock()
	s.batond = d
	l := s.life
	s.mu.Unlock()
	go func() { // ends with the process, at the latest when the server goes
		code := p.Code()
		if p.link.isClosed() && l != nil && l.endedByItself() {
			return // with the whole server
		}
		s.mu.Lock()
		unasked := d.wanted && s.batond == d
		s.mu.Unlock()
		switch {
		case unasked && code == 1 && s.lab.opts.Restart:
			s.lab.note("batond on %s has ended with code 1", s.Name)
			time.Sleep(restartPause)
			if s.isLast(d) {
				// A server that is being switched off meanwhile starts nothing any more.
				_ = s.StartBatond()
			}
		case unasked:
			s.lab.complain(fmt.Errorf("batond on %s has ended with code %d and nobody asked for it:\n%s", s.Name, code, tail(s.LogPath("batond"), 12)))
		}
	}()
	return nil
}

// restartPause is RestartSec of contrib/systemd/batond.service.
const restartPause = 100 * time.Millisecond

// isLast: no other batond has been started since, and the server has not been switched off.
func (s *Server) isLast(d *daemon) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batond == d && s.life != nil
}

// Batond is the running batond; nil where there is none.
func (s *Server) Batond() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.batond == nil {
		return nil
	}
	select {
	case <-s.batond.proc.Done():
		return nil
	default:
		return s.batond.proc
	}
}

// SignalBatond sends a signal to batond alone, not to its children. Its end is
// expected from then on.
func (s *Server) SignalBatond(sig unix.Signal) error {
	p := s.Batond()
	if p == nil {
		return fmt.Errorf("%s to batond on %s: it does not run", sig, s.Name)
	}
	s.mu.Lock()
	s.batond.wanted = false
	s.mu.Unlock()
	s.lab.note("%s to batond on %s", unix.SignalName(sig), s.Name)
	return p.Signal(sig)
}

// EndBatond sends a signal to batond and waits for its end.
func (s *Server) EndBatond(ctx context.Context, sig unix.Signal) error {
	p := s.Batond()
	if err := s.SignalBatond(sig); err != nil {
		return err
	}
	if _, err := p.Wait(ctx); err != nil {
		return fmt.Errorf("batond on %s after %s: %w", s.Name, sig, err)
	}
	return nil
}

// Client talks to the server's batond.
func (s *Server) Client() *api.Client { return api.Dial(s.Socket()) }

// Status is the picture of a server that has a quorum, or of any if none has one.
func (l *Lab) Status(ctx context.Context) (*api.Status, error) {
	var last *api.Status
	err := errors.New("no batond runs")
	for _, s := range l.Servers {
		if s.Batond() == nil {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, statusTimeout)
		status, e := s.Client().Status(ask)
		cancel()
		switch {
		case e != nil:
			err = e
		case status.Quorum:
			return status, nil
		default:
			last = status
		}
	}
	if last != nil {
		return last, nil
	}
	return nil, err
}

// statusTimeout is how long one batond may take to answer: a stalled one never does.
const statusTimeout = 200 * time.Millisecond

// Await asks for the status until ok holds.
func (l *Lab) Await(ctx context.Context, what string, ok func(*api.Status) bool) (*api.Status, error) {
	var last *api.Status
	var lastErr error
	for {
		status, err := l.Status(ctx)
		if err == nil {
			if ok(status) {
				return status, nil
			}
			last = status
		} else {
			lastErr = err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(append(l.Complaints(),
				fmt.Errorf("waiting until %s: %w\n%s", what, context.Cause(ctx), describe(last, lastErr)))...)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// describe says in a few lines how the cluster is, for a message about a wait in vain.
func describe(s *api.Status, err error) string {
	if s == nil {
		return fmt.Sprintf("  no status: %v", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  by %s: phase %s, quorum %t, leader %q, term %d, %s\n", s.Server, s.Phase, s.Quorum, s.Leader, s.Term, s.Waiting)
	for _, v := range s.Servers {
		fmt.Fprintf(&b, "  %s %s: %s\n", v.Name, v.State, v.Reason)
	}
	for _, g := range s.Groups {
		fmt.Fprintf(&b, "  %s %s on %q: %s %s\n", g.Name, g.State, g.Server, g.Reason, g.Warning)
	}
	return b.String()
}

// GroupOf finds a group in a status; nil where there is none.
func GroupOf(s *api.Status, name string) *api.Group {
	for i := range s.Groups {
		if s.Groups[i].Name == name {
			return &s.Groups[i]
		}
	}
	return nil
}

// Address is a group's floating IP.
func (l *Lab) Address(group string) (netip.Addr, error) {
	for _, g := range l.opts.Groups {
		if g.Name == group {
			return netip.ParseAddr(g.Address)
		}
	}
	return netip.Addr{}, fmt.Errorf("no group %q in this lab", group)
}

// IsOnline reports whether the group runs: on that server, or on any for "". The
// cluster's word is not enough, it is late after a fault: batond must run on that
// server, and a client must get an answer from it through the floating IP.
func (l *Lab) IsOnline(s *api.Status, group, server string) bool {
	g := GroupOf(s, group)
	if !s.Quorum || g == nil || g.State != string(cluster.GroupOnline) || server != "" && g.Server != server {
		return false
	}
	if on := l.Server(g.Server); on == nil || on.Batond() == nil {
		return false
	}
	ip, err := l.Address(group)
	return err == nil && l.Ask(ip, 100*time.Millisecond) == g.Server
}

// Elsewhere is for Await: the group runs, and not on that server.
func Elsewhere(l *Lab, group, than string) func(*api.Status) bool {
	return func(s *api.Status) bool {
		g := GroupOf(s, group)
		return g != nil && g.Server != than && l.IsOnline(s, group, "")
	}
}

// Ask asks the echo service behind an address once, from the client, and says which
// server answered, "" none.
func (l *Lab) Ask(ip netip.Addr, wait time.Duration) string {
	var fd int
	err := l.ClientDo(func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	tv := unix.NsecToTimeval(int64(wait))
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
	if unix.Sendto(fd, []byte("askwhose"), 0, &unix.SockaddrInet4{Port: EchoPort, Addr: ip.As4()}) != nil {
		return ""
	}
	buf := make([]byte, 1500)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil || n < 8 {
		return ""
	}
	return string(buf[8:n])
}

// Operate has a server with a quorum carry out an operation and waits for its end.
// Changes of hands meanwhile count as asked for.
func (l *Lab) Operate(ctx context.Context, op api.Operation) (cluster.Op, error) {
	done := l.handOver()
	defer done()
	status, err := l.Await(ctx, "there is a quorum", func(s *api.Status) bool { return s.Quorum })
	if err != nil {
		return cluster.Op{}, err
	}
	c := l.Server(status.Server).Client()
	accepted, err := c.Operate(ctx, op)
	if err != nil {
		return cluster.Op{}, err
	}
	return c.Wait(ctx, accepted.ID)
}

// handOver marks the time until its result is called as one in which an operator has
// asked for groups to change hands.
func (l *Lab) handOver() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := len(l.handovers)
	l.handovers = append(l.handovers, window{from: time.Now()})
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.handovers[i].until = time.Now()
	}
}

// window is a stretch of time; until zero: it goes on.
type window struct{ from, until time.Time }

func (w window) touches(from, until time.Time) bool {
	return !until.Before(w.from) && (w.until.IsZero() || !from.After(w.until))
}

// tail is the end of a text file.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "    " + strings.Join(all[max(0, len(all)-lines):], "\n    ")
}
