package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"

	"baton/conf"
	"baton/daemon/tiebreak"
	"baton/daemon/tiebreak/fence"
	"baton/daemon/tiebreak/witness"

	"golang.org/x/sys/unix"
)

// tiebreakConfig is what the tie-breaker must know.
func tiebreakConfig(c *conf.Config, id identity, keys []conf.Key) tiebreak.Config {
	out := tiebreak.Config{
		Kind: c.Tiebreaker.Kind, Self: id.self, Servers: serverNames(c), Timeout: c.Heartbeat.Timeout.D(), Boot: id.boot,
		LockDir: id.stateDir, Device: c.Tiebreaker.Device, Witness: c.Tiebreaker.Witness, Ping: c.Tiebreaker.Ping,
		Fence: map[int]fence.Agent{},
	}
	for _, k := range keys {
		out.Keys = append(out.Keys, k.Bytes())
	}
	for i, s := range c.Servers {
		out.Public = append(out.Public, s.Public)
		if s.Fence.Agent != "" {
			out.Fence[i+1] = fence.Agent{Name: s.Fence.Agent, Options: s.Fence.Options, Delay: s.Fence.Delay.D()}
		}
	}
	return out
}

// hasTiebreaker says whether somebody decides for exactly half of the servers.
func hasTiebreaker(c *conf.Config) bool {
	return c.Tiebreaker.Kind != "" && c.Tiebreaker.Kind != conf.TiebreakerNone
}

// isWeak says whether the tie-breaker keeps no record of what it has decided (T3).
func isWeak(c *conf.Config) bool {
	return c.Tiebreaker.Kind == conf.TiebreakerPing || c.Tiebreaker.Kind == conf.TiebreakerFence
}

// openTie opens the tie-breaker and says what it promises. It need not answer yet.
func (m *machine) openTie(c *conf.Config, id identity, keys []conf.Key, log *slog.Logger, tidy *cleanup) error {
	if text := tiebreak.Promise(c.Tiebreaker.Kind); text != "" {
		log.Info("tie-breaker " + text)
	}
	if !hasTiebreaker(c) {
		return nil
	}
	r, err := tiebreak.Open(tiebreakConfig(c, id, keys))
	if err != nil {
		return err
	}
	m.tie = newArbiter(r, c.Heartbeat.Timeout.D(), m.loop.put, log)
	m.desk.tie = m.tie
	tidy.add("tie-breaker", r.Close)
	return nil
}

// noteQuorum tells a tie-breaker that needs it that this server has a quorum.
func (m *machine) noteQuorum() {
	if m.tie != nil {
		tiebreak.NoteQuorum(m.tie.register)
	}
}

// witnessFlag makes batond a witness for other clusters.
const witnessFlag = "--witness"

const witnessUsage = `batond --witness keeps the register of clusters whose servers are two, or may become
two, on a host that is none of them. It runs no groups.

usage: batond --witness [--listen ADDRESS] [--keys DIR] [--state-dir DIR]

`

// runWitness is batond --witness from its command line to its exit code.
func runWitness(args []string) int {
	f := flag.NewFlagSet("batond --witness", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	listen := f.String("listen", ":22861", "UDP `ADDRESS` and port to listen on")
	keyDir := f.String("keys", "/etc/baton/witness", "`DIR` with the key of each cluster, as NAME.key, mode 0600")
	stateDir := f.String("state-dir", "/var/lib/baton-witness", "`DIR` for the registers; who loses it must boot no half")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Print(witnessUsage)
			f.SetOutput(os.Stdout)
			f.PrintDefaults()
			return exitOK
		}
		fmt.Fprintln(os.Stderr, "batond:", err)
		return exitMistake
	}
	addr, err := listenAddress(*listen)
	if err != nil || f.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "batond:", errors.Join(err, extra(f.Args())))
		return exitMistake
	}
	log, err := newLogger(os.Stderr, "text", "info")
	if err != nil {
		fmt.Fprintln(os.Stderr, "batond:", err)
		return exitMistake
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	s, err := witness.Listen(witness.ServerConfig{Listen: addr, StateDir: *stateDir, Keys: func() ([]witness.Key, error) { return witnessKeys(*keyDir) }, Log: log})
	if err != nil {
		log.Error("witness", "error", err)
		return exitFailed
	}
	log.Info("the witness runs", "listen", addr, "keys", *keyDir, "state", *stateDir)
	notify("READY=1")
	if err := s.Serve(ctx); err != nil && ctx.Err() == nil {
		log.Error("witness", "error", err)
		return exitFailed
	}
	return exitOK
}

func extra(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%q: batond --witness takes options only", args[0])
}

// listenAddress reads ADDRESS:PORT; without an address it is every one of the host.
func listenAddress(text string) (netip.AddrPort, error) {
	if len(text) > 0 && text[0] == ':' {
		text = "[::]" + text
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return addr, fmt.Errorf("--listen %s: %w; write e.g. 10.0.0.9:22861", text, err)
	}
	return addr, nil
}

// witnessKeys are the keys of all clusters, the first of each file first.
func witnessKeys(dir string) ([]witness.Key, error) {
	all, err := conf.LoadKeyDir(dir)
	var out []witness.Key
	for name, keys := range all {
		for _, k := range keys {
			out = append(out, witness.Key{Owner: filepath.Base(name), Secret: k.Bytes()})
		}
	}
	if len(out) > 0 {
		return out, nil // those that can be used; conf has said what is wrong with others
	}
	return nil, err
}
