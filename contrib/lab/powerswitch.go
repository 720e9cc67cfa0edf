package lab

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"baton/conf"
)

// powerSwitch is what the fence agent of the lab's servers talks to: it really takes a
// server's power. Like a switch that hangs on a network of its own, it is reached
// whatever has been cut; Break makes it fail.
type powerSwitch struct {
	lab    *Lab
	socket *net.UnixListener
	wg     sync.WaitGroup

	mu     sync.Mutex
	broken bool
	shots  []string
}

// Exit codes of a fence agent (ClusterLabs, FenceAgentAPI.md).
const (
	fenceOK   = 0
	fenceFail = 1
	fenceOff  = 2 // of status: no power
)

func (l *Lab) switchSocket() string { return filepath.Join(l.dir, "power.sock") }

// agentPath is the agent's, the same on every server.
func (l *Lab) agentPath() string { return filepath.Join(l.dir, "fence_lab") }

func newPowerSwitch(l *Lab) (*powerSwitch, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	agent := fmt.Sprintf("#!/bin/sh\nexec '%s' %s fence '%s'\n", exe, roleArg, l.switchSocket())
	if err := os.WriteFile(l.agentPath(), []byte(agent), 0o755); err != nil {
		return nil, err
	}
	s, err := net.ListenUnix("unix", &net.UnixAddr{Name: l.switchSocket(), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("power switch: %w", err)
	}
	p := &powerSwitch{lab: l, socket: s}
	p.wg.Go(func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() {
				defer c.Close()
				in := bufio.NewScanner(c)
				if in.Scan() {
					code, text := p.do(in.Text())
					// Whoever has asked may have lost its power meanwhile.
					_, _ = fmt.Fprintf(c, "%d %s\n", code, text)
				}
			})
		}
	})
	return p, nil
}

// do carries out "ACTION SERVER".
func (p *powerSwitch) do(line string) (code int, text string) {
	what, name, _ := strings.Cut(line, " ")
	s := p.lab.Server(name)
	p.mu.Lock()
	broken := p.broken
	p.mu.Unlock()
	switch {
	case s == nil:
		return fenceFail, "no plug " + name
	case broken:
		return fenceFail, "the power switch is broken"
	case what == "status" && !s.On():
		return fenceOff, "Status: OFF"
	case what == "status":
		return fenceOK, "Status: ON"
	case what != "off":
		return fenceFail, "no action " + what
	}
	p.lab.note("the power switch switches %s off", name)
	p.mu.Lock()
	p.shots = append(p.shots, name)
	p.mu.Unlock()
	if err := s.PowerCut(); err != nil && s.On() {
		return fenceFail, err.Error()
	}
	return fenceOK, "Success: Powered OFF"
}

func (p *powerSwitch) close() {
	p.socket.Close()
	p.wg.Wait()
}

// BreakPowerSwitch makes every fence agent fail, or work again.
func (l *Lab) BreakPowerSwitch(broken bool) {
	l.power.mu.Lock()
	defer l.power.mu.Unlock()
	l.power.broken = broken
}

// Shots are the servers that have been powered off by fencing, the first one first; one
// that had no power any more counts too.
func (l *Lab) Shots() []string {
	l.power.mu.Lock()
	defer l.power.mu.Unlock()
	return append([]string(nil), l.power.shots...)
}

// fenceText is the table [server.fence] of a server.
func (l *Lab) fenceText(s *Server) string {
	if l.opts.Tiebreaker != conf.TiebreakerFence {
		return ""
	}
	q := strconv.Quote
	text := fmt.Sprintf("[server.fence]\nagent = %s\noptions = { plug = %s }\n", q(l.agentPath()), q(s.Name))
	if s.Number == 1 && l.opts.FenceDelay > 0 {
		text += fmt.Sprintf("delay = %s\n", q(l.opts.FenceDelay.String()))
	}
	return text
}

// fenceAgent is the agent: it reads its options from standard input, asks the switch,
// and says by its exit code how that went. args: the switch's socket.
func fenceAgent(args []string) int {
	options := map[string]string{}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return fenceFail
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		options[name] = value
	}
	c, err := net.Dial("unix", args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return fenceFail
	}
	defer c.Close()
	fmt.Fprintf(c, "%s %s\n", options["action"], options["plug"])
	answer, _ := bufio.NewReader(c).ReadString('\n')
	code, rest, _ := strings.Cut(strings.TrimSpace(answer), " ")
	fmt.Println(rest)
	n, err := strconv.Atoi(code)
	if err != nil {
		return fenceFail
	}
	return n
}
