package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"baton/core/cluster"
	"baton/daemon/api"
)

// CommandHelp lists what Command understands.
const CommandHelp = `  status                        servers and groups, as the cluster says
  cut SERVER                    power cut          boot SERVER           power on again
  pull SERVER NETWORK           pull a cable       plug SERVER NETWORK   plug it in (lan1, lan2, public)
  stall SERVER                  stop all programs  resume SERVER         let them go on
  kill SERVER                   SIGKILL to batond  stop SERVER           stop batond in order
  start SERVER                  start batond       exec SERVER COMMAND   by /bin/sh
  drop FROM TO [NETWORK...]     lose one direction (servers, client)     heal   lose nothing any more
  move GROUP [SERVER]           also: group-start, group-stop, failover, return SERVER, disconnect SERVER
  wait GROUP [SERVER]           until the group runs and answers         ask GROUP   who answers a client
  holders GROUP                 whose card has the address               journal     every run of a script
  verify                        what was against the rules               sleep DURATION`

// commandLimit is how long a command may wait for the cluster.
const commandLimit = 30 * time.Second

// Command carries out one line of text: a fault, an operation, a question. It is what
// the lab command and the demo's scripts are made of. The answer may be "".
func (l *Lab) Command(ctx context.Context, line string) (string, error) {
	f := strings.Fields(line)
	if len(f) == 0 || strings.HasPrefix(f[0], "#") {
		return "", nil
	}
	verb, args := f[0], f[1:]
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	if do, ok := serverCommands[verb]; ok {
		if len(args) < do.args {
			return "", fmt.Errorf("%s: needs %d words after it, try help", verb, do.args)
		}
		s := l.Server(args[0])
		if s == nil {
			return "", fmt.Errorf("%s: no server %q: server1 to server%d", verb, args[0], len(l.Servers))
		}
		return do.run(ctx, s, args[1:])
	}
	if op, ok := operations[verb]; ok {
		return l.operation(ctx, op, args)
	}
	switch verb {
	case "status":
		status, err := l.Status(ctx)
		if err != nil {
			return "", err
		}
		return strings.TrimRight(describe(status, nil), "\n"), nil
	case "drop":
		if len(args) < 2 {
			return "", errors.New("drop: FROM and TO, try help")
		}
		return "", l.DropOneWay(args[0], args[1], args[2:]...)
	case "heal":
		return "", l.Heal()
	case "journal":
		runs, err := l.Journal()
		var b strings.Builder
		for _, r := range runs {
			fmt.Fprintf(&b, "  %s-%s %s, exit code %d\n", r.Begin, r.End, r, r.Code)
		}
		return strings.TrimRight(b.String(), "\n"), err
	case "verify":
		return "", l.Verify()
	case "help":
		return CommandHelp, nil
	}
	if len(args) == 0 {
		return "", fmt.Errorf("%s: not known, or something is missing after it; try help", verb)
	}
	switch verb {
	case "sleep":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return "", err
		}
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return "", ctx.Err()
	case "wait":
		on := strings.Join(args[1:], "")
		s, err := l.Await(ctx, args[0]+" is online "+on, func(s *api.Status) bool { return l.IsOnline(s, args[0], on) })
		if err != nil {
			return "", err
		}
		return args[0] + " is online on " + GroupOf(s, args[0]).Server, nil
	case "ask", "holders":
		ip, err := l.Address(args[0])
		if err != nil {
			return "", err
		}
		if verb == "holders" {
			return strings.Join(l.Holders(ip), " "), nil
		}
		if who := l.Ask(ip, 500*time.Millisecond); who != "" {
			return who, nil
		}
		return "", fmt.Errorf("%s does not answer", ip)
	}
	return "", fmt.Errorf("%s: not known, try help", verb)
}

type serverCommand struct {
	args int // words after the verb, at least
	run  func(ctx context.Context, s *Server, args []string) (string, error)
}

func plain(f func(*Server) error) serverCommand {
	return serverCommand{1, func(_ context.Context, s *Server, _ []string) (string, error) { return "", f(s) }}
}

func onNetwork(f func(*Server, string) error) serverCommand {
	return serverCommand{2, func(_ context.Context, s *Server, args []string) (string, error) { return "", f(s, args[0]) }}
}

func ending(sig unix.Signal) serverCommand {
	return serverCommand{1, func(ctx context.Context, s *Server, _ []string) (string, error) {
		if sig == unix.SIGTERM {
			defer s.lab.handOver()()
		}
		return "", s.EndBatond(ctx, sig)
	}}
}

var serverCommands = map[string]serverCommand{
	"cut":    plain((*Server).PowerCut),
	"boot":   plain((*Server).PowerOn),
	"stall":  plain((*Server).Stall),
	"resume": plain((*Server).Resume),
	"start":  plain((*Server).StartBatond),
	"pull":   onNetwork((*Server).Pull),
	"plug":   onNetwork((*Server).Plug),
	"kill":   ending(unix.SIGKILL),
	"stop":   ending(unix.SIGTERM),
	"exec":   {2, execute},
}

// execute runs a shell command to its end and returns what it has written.
func execute(ctx context.Context, s *Server, args []string) (string, error) {
	name := fmt.Sprintf("exec-%d", time.Now().UnixNano())
	defer os.Remove(s.LogPath(name))
	p, err := s.Start(Spec{Args: []string{"/bin/sh", "-c", strings.Join(args, " ")}, Log: name})
	if err != nil {
		return "", err
	}
	code, err := p.Wait(ctx)
	text, _ := os.ReadFile(s.LogPath(name))
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d", code)
	}
	return strings.TrimRight(string(text), "\n"), err
}

// operations of the cluster by their words here; true: on a server, not on a group.
var operations = map[string]struct {
	verb   cluster.Verb
	server bool
}{
	"move":        {cluster.VerbMove, false},
	"group-start": {cluster.VerbStart, false},
	"group-stop":  {cluster.VerbStop, false},
	"failover":    {cluster.VerbFailover, false},
	"return":      {cluster.VerbReturn, true},
	"disconnect":  {cluster.VerbDisconnect, true},
}

func (l *Lab) operation(ctx context.Context, op struct {
	verb   cluster.Verb
	server bool
}, args []string,
) (string, error) {
	if len(args) == 0 {
		return "", fmt.Errorf("%s: what? try help", op.verb)
	}
	o := api.Operation{Verb: op.verb, From: "lab"}
	if op.server {
		o.Server = args[0]
	} else {
		o.Group, o.Server = args[0], strings.Join(args[1:], "")
	}
	done, err := l.Operate(ctx, o)
	if err == nil && done.State != cluster.OpDone {
		err = fmt.Errorf("%s: %s", done.State, done.Text)
	}
	return done.Text, err
}

// Names lists the servers for which ok holds.
func (l *Lab) Names(ok func(*Server) bool) []string {
	var names []string
	for _, s := range l.Servers {
		if ok(s) {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}
