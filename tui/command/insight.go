package command

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"baton/core/cluster"
	"baton/tui/cells"
)

// The commands that say why, and what would be.

func (o *options) why() *cobra.Command {
	return &cobra.Command{
		Use: "why GROUP", Short: "Say why a group is where it is, or is not, and what would bring it where it belongs", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), statusTime)
			defer cancel()
			why, err := o.dial().Why(ctx, args[0])
			if err != nil {
				return o.late(c.Context(), ctx, err)
			}
			_, err = fmt.Fprintf(o.sys.out, "%s: %s\n", cells.Clean(args[0]), cells.Clean(why))
			return err
		},
	}
}

func (o *options) log() *cobra.Command {
	var number int
	c := &cobra.Command{
		Use: "log GROUP", Short: "Show what a group's scripts have printed on this server, and how each run ended", Args: cobra.ExactArgs(1),
		Long: "Show the end of what a group's scripts have printed on the server where this is asked. Lines that begin with # are batond's: what ran, with which variables, and its exit code. The files are STATE_DIR/log/GROUP.log, and .1 to .3 of what was before.",
		RunE: func(c *cobra.Command, args []string) error {
			if number < 0 {
				return usage("-n %d: must not be negative", number)
			}
			ctx, cancel := context.WithTimeout(c.Context(), statusTime)
			defer cancel()
			l, err := o.dial().ScriptLog(ctx, args[0])
			if err != nil {
				return o.late(c.Context(), ctx, err)
			}
			if l.Text == "" {
				_, err = fmt.Fprintf(o.sys.out, "no script of %s has run on %s\n", cells.Clean(l.Group), cells.Clean(l.Server))
				return err
			}
			lines := strings.Split(strings.TrimRight(l.Text, "\n"), "\n")
			if number > 0 {
				lines = lines[max(0, len(lines)-number):]
			}
			for _, line := range lines {
				if _, err := fmt.Fprintln(o.sys.out, cells.Clean(line)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().IntVarP(&number, "lines", "n", 0, "only the newest `N` lines (0: the last 64 KiB)")
	return c
}

func (o *options) simulate() *cobra.Command {
	var asJSON bool
	var flags [3]bool
	c := &cobra.Command{
		Use:   "simulate 'WHAT'",
		Short: "Say what the cluster would do, without doing it: simulate 'server2 fails'",
		Long: "Say what the cluster would do, by its own rules on a copy of its state; nothing is done, and every step is taken to succeed.\n\n" +
			"WHAT is a failure or an operation: 'server2 fails', 'server1 and server2 fail', 'A fails',\n" +
			"'move A server2', 'stop A', 'disconnect server1', 'return server1', 'shutdown server1', 'shutdown --cluster'.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), statusTime)
			defer cancel()
			what := strings.Join(args, " ")
			for i, given := range flags {
				if given {
					what += " --" + supposedFlags[i]
				}
			}
			f, err := o.dial().Foresee(ctx, what)
			if err != nil {
				return o.late(c.Context(), ctx, err)
			}
			if asJSON {
				e := json.NewEncoder(o.sys.out)
				e.SetIndent("", "  ")
				if err := e.Encode(&f); err != nil {
					return err
				}
			} else if f.Refusal == nil {
				if _, err := fmt.Fprint(o.sys.out, forecast(what, &f)); err != nil {
					return err
				}
			}
			if f.Refusal != nil {
				return fmt.Errorf("would be refused: %w", f.Refusal)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print everything, as JSON")
	for i, name := range supposedFlags {
		c.Flags().BoolVar(&flags[i], name, false, "")
		_ = c.Flags().MarkHidden(name) // it fails for a flag that there is not
	}
	return c
}

// supposedFlags are those of an operation that is supposed without quotes around it:
// simulate shutdown --cluster.
var supposedFlags = [...]string{"cluster", "poweroff", "reboot"}

// forecast is what would happen: the steps, round by round, and then what has become of
// servers and groups.
func forecast(what string, f *cluster.Forecast) string {
	what = "if " + cells.Clean(what)
	if len(f.Runs)+len(f.Moves)+len(f.Servers) == 0 && f.Halt == "" {
		return what + ": nothing would change\n"
	}
	b := what + ":\n"
	for _, s := range []string{f.Halt, f.Provided} {
		if s != "" {
			b += wrapped(cells.Clean(s))
		}
	}
	var rows [][]string
	for i := range f.Runs {
		r := &f.Runs[i]
		round := ""
		if i == 0 || f.Runs[i-1].Round != r.Round {
			round = fmt.Sprint("round ", r.Round)
		}
		rows = append(rows, []string{" ", round, cells.Clean(r.Step.Group), string(r.Step.Kind), cells.Clean(r.Step.Server), runAs(&r.Step)})
	}
	b += aligned(rows)
	rows = nil
	for i := range f.Servers {
		s := &f.Servers[i]
		rows = append(rows, []string{" ", cells.Clean(s.Server), string(s.From) + " -> " + string(s.To), "", cells.Clean(s.Reason)})
	}
	for i := range f.Moves {
		m := &f.Moves[i]
		place := func(s string) string {
			if s == "" {
				return "-"
			}
			return cells.Clean(s)
		}
		rows = append(rows, []string{" ", cells.Clean(m.Group), place(m.From) + " -> " + place(m.To), string(m.State), cells.Clean(m.Reason)})
	}
	b += "then:\n" + aligned(rows)
	if len(f.Moves) == 0 {
		b += "   every group is where it was\n"
	}
	if f.Phase == cluster.PhaseForming {
		b += "   the cluster is down, and starts when its servers are there again\n"
	}
	return b
}

// wrapped is a sentence below a heading.
func wrapped(s string) string {
	return "   " + strings.Join(cells.Wrap(s, 75, 99, ""), "\n   ") + "\n"
}

// runAs is what the script would be told.
func runAs(st *cluster.Step) string {
	s := st.Env.Event
	if st.Kind == cluster.StepStop {
		s = st.Env.Factor
	}
	if st.Env.Priority > 0 && st.Kind != cluster.StepStop {
		s += fmt.Sprint(", priority ", st.Env.Priority)
	}
	return s
}
