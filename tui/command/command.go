// Package command is the command line of baton: the console, and everything the
// console can do, for scripts. All of it goes through daemon/api. It holds no rules
// about the cluster: what may be done the daemon says.
//
// Run is called once by main and returns the exit code.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/console"
	"baton/tui/words"
)

// Exit codes, the same for every command.
const (
	exitDone     = 0
	exitFailed   = 1 // refused or failed
	exitUsage    = 2
	exitNoDaemon = 3
	exitTimeout  = 4
)

// failure is an error with an exit code of its own.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usage(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

// system is what a command may touch of the world; tests have their own.
type system struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	environ  []string
	version  string
	silent   time.Duration // 0: silentFor
}

// Run carries out a command line without its first word.
func Run(version string, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, &system{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, environ: os.Environ(), version: version}, args)
}

func run(ctx context.Context, sys *system, args []string) int {
	root := newRoot(sys)
	root.SetArgs(args)
	root.SetIn(sys.in)
	root.SetOut(sys.out)
	root.SetErr(sys.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var f *failure
	switch {
	case errors.As(err, &f):
		if f.err != nil && f.Error() != "" {
			fmt.Fprintln(sys.err, "baton:", f.Error())
		}
		return f.code
	case errors.Is(err, api.ErrNoDaemon):
		fmt.Fprintln(sys.err, "baton:", err)
		return exitNoDaemon
	case errors.Is(err, context.Canceled):
		return exitFailed
	}
	fmt.Fprintln(sys.err, "baton:", err)
	return exitFailed
}

// options of every command.
type options struct {
	sys    *system
	socket string
	ascii  bool
	view   bool
}

// path of the daemon's socket.
func (o *options) path() string {
	if o.socket != "" {
		return o.socket
	}
	if s := o.sys.getenv("BATON_SOCKET"); s != "" {
		return s
	}
	return api.DefaultSocket
}

func (o *options) dial() *api.Client { return api.Dial(o.path()) }

func (o *options) locale() words.Locale { return words.FromEnv(o.sys.getenv) }

// Root is baton's command tree, for its manual pages; it is not to be executed.
func Root() *cobra.Command {
	return newRoot(&system{getenv: func(string) string { return "" }})
}

func newRoot(sys *system) *cobra.Command {
	o := &options{sys: sys}
	root := &cobra.Command{
		Use:   "baton",
		Short: "Console and commands of the baton failover cluster",
		Long: "Without a command: the console, in this terminal.\n\n" +
			"Exit codes: 0 done, 1 refused or failed, 2 usage, 3 no daemon, 4 timed out.",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return o.console(c.Context()) },
	}
	root.PersistentFlags().StringVar(&o.socket, "socket", "", "batond's `PATH` (default: $BATON_SOCKET, else "+api.DefaultSocket+")")
	root.PersistentFlags().BoolVar(&o.ascii, "ascii", false, "signs and lines in ASCII only")
	root.Flags().BoolVar(&o.view, "view", false, "look only: no operations")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage("%w; see: %s --help", err, c.CommandPath()) })
	root.AddCommand(
		o.status(), o.events(),
		o.why(), o.log(), o.simulate(), explainCommand(sys),
		o.start(), o.stop(), o.move(), o.failover(), o.restart(),
		o.returning(), o.disconnect(), o.shutdown(),
		checkCommand(sys), keygenCommand(sys), diskCommand(sys), versionCommand(sys),
	)
	sayUsage(root)
	return root
}

// sayUsage has a command and those below it refuse wrong arguments in our words, with the
// exit code for that.
func sayUsage(c *cobra.Command) {
	if args := c.Args; args != nil {
		c.Args = func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return misused(c, a, err)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		sayUsage(sub)
	}
}

// misused says how a command is called, and of an unknown one what may have been meant.
func misused(c *cobra.Command, args []string, err error) error {
	var own *failure
	switch {
	case errors.As(err, &own):
		return usage("%w; see: %s --help", err, c.CommandPath())
	case c.HasParent():
		return usage("%s takes %s, and %s given; see: %s --help", c.CommandPath(), takes(c), given(args), c.CommandPath())
	}
	meant := ""
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		meant = "; did you mean: " + c.CommandPath() + " " + near[0]
	}
	return usage("there is no command %q%s; see: %s --help", cells.Clean(args[0]), meant, c.CommandPath())
}

// takes is the part of a command's usage behind its name.
func takes(c *cobra.Command) string {
	if _, what, ok := strings.Cut(c.Use, " "); ok {
		return what
	}
	return "no arguments"
}

func given(args []string) string {
	switch len(args) {
	case 0:
		return "none is"
	case 1:
		return fmt.Sprintf("%q is", cells.Clean(args[0]))
	}
	return fmt.Sprint(len(args), " are")
}

// isTerminal says whether an input or output is one.
func isTerminal(f any) bool {
	t, ok := f.(term.File)
	return ok && term.IsTerminal(t.Fd())
}

// readLine reads up to the end of a line, byte by byte so that nothing behind it is taken.
func readLine(r io.Reader) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) < 1024 {
		n, err := r.Read(b)
		if n > 0 && b[0] == '\n' {
			break
		}
		line = append(line, b[:n]...)
		if err != nil {
			return string(line), err
		}
	}
	return string(line), nil
}

// console opens the screen, or says the state where there is no terminal for one.
func (o *options) console(ctx context.Context) error {
	in, _ := o.sys.in.(term.File)
	out, _ := o.sys.out.(term.File)
	if !isTerminal(in) || !isTerminal(out) || o.sys.getenv("TERM") == "dumb" || o.sys.getenv("TERM") == "" {
		return o.printStatus(ctx, false)
	}
	loc := o.locale()
	client := o.dial()
	err := console.Run(ctx, console.Options{
		Client: client, Text: loc.Text, ViewOnly: o.view,
		ASCII: o.ascii || !loc.UTF8 || o.sys.getenv("TERM") == "linux",
		From:  from(o.sys.getenv), In: in, Out: out, Env: o.sys.environ,
	})
	if errors.Is(err, context.Canceled) {
		return nil // told to end
	}
	return err
}

// from is where the operator sits, for the record: his SSH client, else his terminal.
func from(getenv func(string) string) string {
	if c := strings.Fields(getenv("SSH_CONNECTION")); len(c) > 0 {
		return "ssh " + c[0]
	}
	for _, fd := range []string{"0", "2"} {
		if t, err := os.Readlink("/proc/self/fd/" + fd); err == nil && (strings.HasPrefix(t, "/dev/tty") || strings.HasPrefix(t, "/dev/pts/")) {
			return t
		}
	}
	return ""
}
