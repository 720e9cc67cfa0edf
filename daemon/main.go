// Package main is batond, the daemon of one server: the hands of package core. It
// wires the edges (heartbeat, peer, store, guard, runner, api) to the event loop that
// owns the node (loop.go), and decides nothing by itself.
//
// batond is started by init or the service manager and stays in the foreground. The
// same program is its own helper, by hidden sub-commands: "guard" (package guard) and
// "step" (package runner).
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"baton/conf"
	"baton/core/cluster"
	"baton/daemon/guard"
	"baton/daemon/power"
	"baton/daemon/runner"

	"golang.org/x/sys/unix"
)

// Exit codes: 1 is what a restart may cure, 2 what it does not (the service manager
// does not restart after it, contrib/systemd/batond.service).
const (
	exitOK      = 0
	exitFailed  = 1
	exitMistake = 2
)

func main() {
	power.Arm()
	if len(os.Args) > 1 {
		// First of all: these must start within milliseconds and know nothing of
		// batond's options.
		switch os.Args[1] {
		case "guard":
			os.Exit(guard.Main(os.Args[2:]))
		case "step":
			usualScore()
			os.Exit(runner.Main(os.Args[2:]))
		case witnessFlag, "-witness":
			os.Exit(runWitness(os.Args[2:]))
		}
	}
	os.Exit(run(os.Args[1:]))
}

// run is batond from its command line to its exit code.
func run(args []string) int {
	o, err := parseOptions(args, os.Stdout)
	if errors.Is(err, errPrinted) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "batond:", err)
		return exitMistake
	}
	lines := newLateWriter(os.Stderr)
	defer lines.Close()
	log, err := newLogger(lines, o.logFormat, o.logLevel)
	if err != nil {
		fmt.Fprintln(lines, "batond:", err)
		return exitMistake
	}
	slog.SetDefault(log)
	unix.Umask(0o022)
	if o.cleanup {
		return cleanUp(o, log)
	}
	reapInherited()

	c, id, keys, err := prepare(o)
	if err != nil {
		fmt.Fprintln(lines, err) // may be many lines, each with its place
		return exitMistake
	}
	for _, w := range slices.Concat(c.Warnings(), c.MachineWarnings(id.name)) {
		log.Warn(w.Error())
	}
	executable, err := os.Executable() // now: after an upgrade the link names a deleted file
	if err != nil {
		log.Error("batond does not know its own program file, reload is not possible", "error", err)
	}
	switch err := serve(o, c, id, keys, log); {
	case err == nil:
		log.Info("ended")
		return exitOK
	case errors.As(err, new(lastAct)):
		return endMachine(err.(lastAct), log)
	case errors.Is(err, errReload):
		err = unix.Exec(executable, os.Args, os.Environ())
		log.Error("cannot execute the program file anew; the groups run until their lease ends, unless batond is started before", "file", executable, "error", err)
		return exitFailed
	default:
		log.Error("batond ends", "error", err)
		return exitFailed
	}
}

// endMachine is batond's last act where an operator wants the machine off as well. If
// that cannot be, batond has ended in order all the same: the service manager must not
// start it again.
func endMachine(then lastAct, log *slog.Logger) int {
	log.Info("ended; the machine follows, as an operator has asked", "then", string(then))
	if err := power.InOrder(cluster.Then(then)); err != nil {
		log.Error("the machine stays on; switch it off by hand", "error", err)
	}
	return exitOK
}

// prepare reads everything that an operator may have got wrong.
func prepare(o options) (*conf.Config, identity, []conf.Key, error) {
	var id identity
	c, err := conf.Load(o.config)
	if err != nil {
		return nil, id, nil, err
	}
	if id.name, err = o.serverName(c); err != nil {
		return nil, id, nil, err
	}
	id.self, id.socket = c.Index(id.name)+1, o.socket
	if id.stateDir = o.stateDir; id.stateDir == "" {
		id.stateDir = c.Cluster.StateDir
	}
	if id.boot, err = bootID(); err != nil {
		return nil, id, nil, err
	}
	keys, err := conf.LoadKeys(c.Cluster.KeyFile)
	return c, id, keys, err
}

// usualScore takes back, for scripts and what they start, the protection from the
// OOM killer that the service manager gave batond (proc_pid_oom_score_adj(5)). To give
// up what one has needs no privilege.
func usualScore() {
	const file = "/proc/self/oom_score_adj"
	if b, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(b), "-") {
		_ = os.WriteFile(file, []byte("0"), 0) // a script that is protected too is no fault
	}
}
