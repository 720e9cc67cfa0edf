package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
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
			return o.operate(c.Context(), api.Operation{Verb: cluster.VerbStart, Group: args[0], Server: server}, w)
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
			return o.operate(c.Context(), api.Operation{Verb: cluster.VerbMove, Group: args[0], Server: server}, w)
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

// restart is for scripts that have changed a group's scripts; it is not shown.
func (o *options) restart() *cobra.Command {
	c := o.plain(cluster.VerbRestart, "restart GROUP", "Run a group's stop script and then its start script, where it runs")
	c.Hidden = true
	return c
}

func (o *options) plain(v cluster.Verb, use, short string) *cobra.Command {
	var w waiting
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return o.operate(c.Context(), api.Operation{Verb: v, Group: args[0]}, w)
		},
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

// title names an operation as its command line does: the verb and what it is about.
func title(op *api.Operation) string {
	switch {
	case op.Group != "":
		return string(op.Verb) + " " + cells.Clean(op.Group)
	case op.Verb == cluster.VerbShutdownCluster:
		return "shutdown --cluster"
	case op.Verb == api.VerbForceReturn:
		return "return --force " + cells.Clean(op.Server)
	}
	return string(op.Verb) + " " + cells.Clean(op.Server)
}

// operate asks for it and waits for the end.
func (o *options) operate(ctx context.Context, op api.Operation, w waiting) error {
	if w.timeout < 0 {
		return usage("--timeout %s: must not be negative", w.timeout)
	}
	outer := ctx
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	client, name := o.dial(), title(&op)
	op.From = from(o.sys.getenv)
	silent := cmp.Or(o.sys.silent, silentFor)
	quiet := time.AfterFunc(silent, func() {
		fmt.Fprintf(o.sys.err, "%s: batond at %s has not answered for %s; waiting. If you give up, `baton events` shows later whether the cluster has it\n", name, o.path(), silent)
	})
	last := endsDaemon(ctx, client, &op)
	a, err := client.Operate(ctx, op)
	quiet.Stop()
	if err != nil {
		switch {
		case outer.Err() != nil:
			return &failure{exitFailed, fmt.Errorf("%s: given up before an answer; `baton events` shows whether the cluster has it", name)}
		case ctx.Err() != nil:
			return &failure{exitTimeout, fmt.Errorf("%s: no answer within %s; `baton events` shows whether the cluster has it", name, w.timeout)}
		}
		return err
	}
	accepted := "accepted"
	if a.ID != "" {
		accepted += " (operation " + a.ID + ")"
	}
	if w.no {
		fmt.Fprintf(o.sys.out, "%s: %s\n", name, accepted)
		return nil
	}
	defer o.narrate(ctx, client, &op, name)()
	var end cluster.Op
	if op.Verb == api.VerbForceReturn {
		end, err = alone(ctx, client)
	} else {
		end, err = await(ctx, client, a.ID, last)
	}
	switch {
	case err != nil && outer.Err() != nil:
		return &failure{exitFailed, fmt.Errorf("%s: %s; it goes on without this command", name, accepted)}
	case err != nil && ctx.Err() != nil:
		return &failure{exitTimeout, fmt.Errorf("%s: still under way after %s; it goes on: %s", name, w.timeout, accepted)}
	case err != nil:
		return fmt.Errorf("%s: %s, it goes on, but: %w", name, accepted, err)
	}
	return o.ended(name, &end)
}

// endsDaemon: the daemon that is asked is among those that will end.
func endsDaemon(ctx context.Context, client *api.Client, op *api.Operation) bool {
	if op.Verb == cluster.VerbShutdown {
		st, err := client.Status(ctx)
		return err == nil && st.Server == op.Server
	}
	return op.Verb == cluster.VerbShutdownCluster
}

// await follows an operation, over restarts of the daemon. With last, that the daemon
// ends in order is the end of the operation: it ends only after it has done its part.
func await(ctx context.Context, client *api.Client, id string, last bool) (cluster.Op, error) {
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
		case last && time.Since(lostAt) > goneFor && endedInOrder(client.Socket()):
			return cluster.Op{State: cluster.OpDone, Text: "batond has ended here"}, nil
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

// silentFor is how long a daemon may take to accept or refuse before that is said. It is
// more than the cluster needs to elect a leader, with the times that are usual.
const silentFor = 5 * time.Second

// quietFor is how long an operation may take before what is going on is told.
const quietFor = time.Second

// narrate says on standard error what an operation that takes its time is doing, until
// its result is called: each step of the groups it is about.
func (o *options) narrate(ctx context.Context, client *api.Client, op *api.Operation, name string) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-time.After(quietFor):
		case <-ctx.Done():
			return
		}
		told := map[string]string{}
		for ctx.Err() == nil {
			w, err := client.Watch(ctx)
			if err == nil {
				for err == nil {
					var st *api.Status
					if st, err = w.Next(ctx); err == nil {
						o.narrateSteps(st, op, name, told)
					}
				}
				w.Close()
			}
			select {
			case <-time.After(quietFor): // batond is being restarted, or gone; await says which
			case <-ctx.Done():
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// narrateSteps tells the steps that have not been told, and how far a server is that
// comes or goes.
func (o *options) narrateSteps(st *api.Status, op *api.Operation, name string, told map[string]string) {
	if s := picture.Server(st, op.Server); s != nil && op.Group == "" {
		switch cluster.ServerState(s.State) {
		case cluster.ServerReturning, cluster.ServerLeaving:
			line := fmt.Sprintf("%s: %s is %s: %s", name, cells.Clean(s.Name), s.State, cells.Clean(s.Reason))
			if told["server"] != line {
				told["server"] = line
				fmt.Fprintln(o.sys.err, line)
			}
		}
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		if g.Step == nil || op.Group != "" && g.Name != op.Group {
			continue
		}
		line := fmt.Sprintf("%s: %s of %s on %s", name, g.Step.Kind, cells.Clean(g.Name), cells.Clean(g.Step.Server))
		if told["group "+g.Name] != line {
			told["group "+g.Name] = line
			fmt.Fprintf(o.sys.err, "%s, under way since %s\n", line, time.UnixMilli(g.Step.Since).Format("15:04:05"))
		}
	}
}

// goneFor is how long a socket must be missing before its daemon counts as ended: one
// that executes a new binary takes it away for less.
const goneFor = 500 * time.Millisecond

// endedInOrder: a daemon that ends takes its socket away, one that crashes does not.
func endedInOrder(socket string) bool {
	_, err := os.Lstat(socket)
	return errors.Is(err, fs.ErrNotExist)
}

// alone waits until a forced return has given this server a quorum of its own. It is
// no operation that could be followed.
func alone(ctx context.Context, client *api.Client) (cluster.Op, error) {
	var lostAt time.Time
	for {
		st, err := client.Status(ctx)
		switch {
		case err == nil && st.Quorum:
			return cluster.Op{State: cluster.OpDone, Text: st.Server + " goes on alone"}, nil
		case err == nil:
			lostAt = time.Time{}
		case ctx.Err() != nil || !errors.Is(err, api.ErrNoDaemon):
			return cluster.Op{}, err
		case lostAt.IsZero():
			lostAt = time.Now()
		case time.Since(lostAt) > againFor:
			return cluster.Op{}, err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return cluster.Op{}, ctx.Err()
		}
	}
}

// ended tells how it went.
func (o *options) ended(name string, op *cluster.Op) error {
	text := cells.Clean(op.Text)
	if op.State == cluster.OpDone {
		line := name + ": done"
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
	return &failure{exitFailed, fmt.Errorf("%s: %s: %s", name, op.State, text)}
}
