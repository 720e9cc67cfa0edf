package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
)

// againFor is how long a command that waits for an accepted operation looks for its
// daemon when that goes away: a restart takes less, and what was accepted goes on.
const againFor = 10 * time.Second

// waiting says how long a changing command stays.
type waiting struct {
	no      bool
	timeout time.Duration
}

func (w *waiting) flags(c *cobra.Command) {
	c.Flags().BoolVar(&w.no, "no-wait", false, "return as soon as the cluster has accepted it")
	c.Flags().DurationVar(&w.timeout, "timeout", 0, "stop waiting after so long, with exit code 4 (0: never); the operation goes on")
}

func (o *options) start() *cobra.Command {
	var w waiting
	var on string
	c := &cobra.Command{
		Use:   "start GROUP [SERVER]",
		Short: "Start a group: on SERVER, else where it ran last or by priority",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := oneServer(args, on, "--on")
			if err != nil {
				return err
			}
			return o.operate(c.Context(), cluster.VerbStart, args[0], server, w)
		},
	}
	c.Flags().StringVar(&on, "on", "", "the `SERVER` to start it on")
	w.flags(c)
	return c
}

func (o *options) move() *cobra.Command {
	var w waiting
	var to string
	c := &cobra.Command{
		Use:   "move GROUP [SERVER]",
		Short: "Move a group: to SERVER, else to the first other one by priority",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			server, err := oneServer(args, to, "--to")
			if err != nil {
				return err
			}
			return o.operate(c.Context(), cluster.VerbMove, args[0], server, w)
		},
	}
	c.Flags().StringVar(&to, "to", "", "the `SERVER` to move it to")
	w.flags(c)
	return c
}

func (o *options) stop() *cobra.Command {
	return o.plain(cluster.VerbStop, "stop GROUP", "Stop a group: it stays stopped until it is started or the cluster starts")
}

func (o *options) failover() *cobra.Command {
	return o.plain(cluster.VerbFailover, "failover GROUP", "Fail a group over, as if a fault had been found in it")
}

func (o *options) plain(v cluster.Verb, use, short string) *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.operate(c.Context(), v, args[0], "", w) },
	}
	w.flags(c)
	return c
}

// oneServer is the server named as an argument or by a flag, not both.
func oneServer(args []string, flag, name string) (string, error) {
	if len(args) < 2 {
		return flag, nil
	}
	if flag != "" && flag != args[1] {
		return "", usage("server given twice: %s and %s %s; leave one out", args[1], name, flag)
	}
	return args[1], nil
}

// operate asks for it and waits for the end.
func (o *options) operate(ctx context.Context, v cluster.Verb, group, server string, w waiting) error {
	if w.timeout < 0 {
		return usage("--timeout %s: must not be negative", w.timeout)
	}
	outer := ctx
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	client := o.dial()
	a, err := client.Operate(ctx, api.Operation{Verb: v, Group: group, Server: server, From: from(o.sys.getenv)})
	if err != nil {
		if ctx.Err() != nil && outer.Err() == nil {
			return &failure{exitTimeout, fmt.Errorf("%s %s: no answer within %s; `baton events` shows whether the cluster has it", v, group, w.timeout)}
		}
		return err
	}
	if w.no {
		fmt.Fprintf(o.sys.out, "%s %s: accepted (operation %s)\n", v, group, a.ID)
		return nil
	}
	op, err := await(ctx, client, a.ID)
	switch {
	case err != nil && outer.Err() != nil:
		return &failure{exitFailed, fmt.Errorf("%s %s: accepted (operation %s); it goes on without this command", v, group, a.ID)}
	case err != nil && ctx.Err() != nil:
		return &failure{exitTimeout, fmt.Errorf("%s %s: still under way after %s; it goes on (operation %s)", v, group, w.timeout, a.ID)}
	case err != nil:
		return fmt.Errorf("%s %s: accepted (operation %s), it goes on, but: %w", v, group, a.ID, err)
	}
	return o.ended(v, group, &op)
}

// await follows an operation, over restarts of the daemon.
func await(ctx context.Context, client *api.Client, id string) (cluster.Op, error) {
	var lostAt time.Time
	for {
		op, err := client.Wait(ctx, id)
		var refused *api.Error
		switch {
		case err == nil:
			return op, nil
		case ctx.Err() != nil:
			return op, err
		case errors.As(err, &refused) && refused.Code == api.CodeNotPermitted:
			return op, err
		case lostAt.IsZero():
			lostAt = time.Now()
		case time.Since(lostAt) > againFor:
			return op, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return op, ctx.Err()
		}
	}
}

// ended tells how it went.
func (o *options) ended(v cluster.Verb, group string, op *cluster.Op) error {
	text := cells.Clean(op.Text)
	if op.State == cluster.OpDone {
		line := fmt.Sprintf("%s %s: done", v, group)
		if op.Begun > 0 && op.Ended >= op.Begun {
			line += " in " + cells.Took(time.Duration(op.Ended-op.Begun)*time.Millisecond)
		}
		if text != "" {
			line += ": " + text
		}
		fmt.Fprintln(o.sys.out, line)
		return nil
	}
	if op.Hint != "" {
		text += " (" + cells.Clean(op.Hint) + ")"
	}
	return &failure{exitFailed, fmt.Errorf("%s %s: %s: %s", v, group, op.State, text)}
}
