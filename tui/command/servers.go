package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// The operations on servers. Those that a slip must not bring about want a name typed
// at a terminal, or --yes.

func (o *options) returning() *cobra.Command {
	var w waiting
	var force, yes bool
	c := &cobra.Command{
		Use:   "return SERVER",
		Short: "Take a detached server back in; with --force let a server that is alone go on",
		Long: "Take a detached server back in: for each group that ran on it when it failed its start script is run there with RECOVER, then it is online.\n\n" +
			"With --force, asked on SERVER itself, which has no quorum: it goes on without the others, on your word that they are off.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			op := api.Operation{Verb: cluster.VerbReturn, Server: args[0]}
			if force {
				op.Verb = api.VerbForceReturn
				if err := o.vouch(c.Context(), args[0], yes); err != nil {
					return err
				}
			}
			return o.operate(c.Context(), op, w)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "SERVER is alone and shall go on: you vouch that the other servers are off")
	c.Flags().BoolVar(&yes, "yes", false, "with --force: do not ask for the server's name")
	w.flags(c)
	return c
}

func (o *options) disconnect() *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use: "disconnect SERVER", Short: "Take a server out of the cluster: its groups leave it, and it stays out over reboots until it is returned",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.operate(c.Context(), api.Operation{Verb: cluster.VerbDisconnect, Server: args[0]}, w)
		},
	}
	w.flags(c)
	return c
}

func (o *options) shutdown() *cobra.Command {
	var w waiting
	var all, yes, off, reboot bool
	c := &cobra.Command{
		Use:   "shutdown SERVER|--cluster",
		Short: "Shut a server down, or the whole cluster: groups leave in order, then batond ends",
		Long: "Shut a server down, or with --cluster all of them: its groups stop there and start elsewhere, then its batond ends.\n" +
			"The machine goes on running, unless --poweroff or --reboot is given: then its init is asked for that as the last act of its batond.",
		Args: func(_ *cobra.Command, args []string) error {
			if all != (len(args) == 0) || len(args) > 1 {
				return usage("name one server, or say --cluster")
			}
			if off && reboot {
				return usage("--poweroff and --reboot exclude each other")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			op := api.Operation{Verb: cluster.VerbShutdownCluster}
			if !all {
				op = api.Operation{Verb: cluster.VerbShutdown, Server: args[0]}
			}
			switch {
			case off:
				op.Then = cluster.ThenPowerOff
			case reboot:
				op.Then = cluster.ThenReboot
			}
			if err := o.mean(c.Context(), &op, yes); err != nil {
				return err
			}
			return o.operate(c.Context(), op, w)
		},
	}
	c.Flags().BoolVar(&all, "cluster", false, "every server")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask for the name")
	c.Flags().BoolVar(&off, "poweroff", false, "power the machine off after that, or every machine")
	c.Flags().BoolVar(&reboot, "reboot", false, "reboot the machine after that, or every machine")
	w.flags(c)
	return c
}

// lastAct continues the sentence that batond ends.
func lastAct(then cluster.Then) string {
	switch then {
	case cluster.ThenPowerOff:
		return ", and the machine POWERS OFF"
	case cluster.ThenReboot:
		return ", and the machine REBOOTS"
	}
	return ""
}

// vouch has the operator say that the other servers are off.
func (o *options) vouch(ctx context.Context, server string, yes bool) error {
	if yes {
		return nil
	}
	if err := o.askable("return --force " + server); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	st, err := o.dial().Status(limited)
	switch {
	case err != nil:
		return o.late(ctx, limited, err)
	case st.Server != server:
		return &api.Error{Message: fmt.Sprintf("this is %s: %s must be asked itself", st.Server, server), Hint: "log in there"}
	case st.Quorum:
		return &api.Error{Message: fmt.Sprintf("%s is not alone: its leader is %s", server, st.Leader), Hint: "baton return " + server}
	}
	t := words.English
	lines := []string{t.S(words.ForceIs, server)}
	if st.Waiting != "" {
		lines = append(lines, t.S(words.WaitsFor, cells.Clean(st.Waiting)))
	}
	lines = append(lines, t.S(words.ForceVouch))
	for _, s := range picture.Vouched(t, st) {
		lines = append(lines, "  "+s)
	}
	return o.typed(ctx, append(lines, cells.Wrap(t.S(words.ForceRisk), 76, 4, "…")...), "server", server)
}

// mean shows what a shutdown would lead to and has the name typed.
func (o *options) mean(ctx context.Context, op *api.Operation, yes bool) error {
	if yes {
		return nil
	}
	if err := o.askable(title(op)); err != nil {
		return err
	}
	client := o.dial()
	limited, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	f, err := client.Foresee(limited, title(op))
	switch {
	case err != nil:
		return o.late(ctx, limited, err)
	case f.Refusal != nil:
		return f.Refusal
	}
	what, name := "server", op.Server
	lines := []string{"Shuts " + op.Server + " down: its groups leave it, then its batond ends" + lastAct(op.Then) + "."}
	if op.Verb == cluster.VerbShutdownCluster {
		st, err := client.Status(limited)
		if err != nil {
			return o.late(ctx, limited, err)
		}
		what, name = "cluster", st.Cluster
		lines = []string{"Shuts cluster " + st.Cluster + " down: every group stops, then batond ends on every server" + lastAct(op.Then) + "."}
	}
	for _, s := range picture.Effects(o.locale().Text, &f) {
		lines = append(lines, "  "+s)
	}
	return o.typed(ctx, lines, what, name)
}

// askable says what to do where nobody can be asked.
func (o *options) askable(name string) error {
	if !isTerminal(o.sys.in) {
		return usage("%s: standard input is no terminal to ask at; say --yes if you mean it", cells.Clean(name))
	}
	return nil
}

// typed goes on only if the operator types the name.
func (o *options) typed(ctx context.Context, lines []string, what, name string) error {
	for _, l := range lines {
		fmt.Fprintln(o.sys.err, cells.Clean(l))
	}
	fmt.Fprintf(o.sys.err, "Type the %s's name to go on: ", what)
	type answer struct {
		text string
		err  error
	}
	read := make(chan answer, 1)
	go func() { // a read of a terminal cannot be given up; the process ends with it
		text, err := readLine(o.sys.in)
		read <- answer{text, err}
	}()
	var a answer
	select {
	case a = <-read:
	case <-ctx.Done():
		a.err = ctx.Err()
	}
	switch text := strings.TrimSpace(a.text); {
	case a.err != nil:
		fmt.Fprintln(o.sys.err)
		return &failure{exitFailed, fmt.Errorf("not confirmed: nothing was done")}
	case text != name && cells.Clean(text) != cells.Clean(name):
		return &failure{exitFailed, fmt.Errorf("%q is not %q: nothing was done", cells.Clean(text), cells.Clean(name))}
	}
	return nil
}
