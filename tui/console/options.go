// Package console is the screen: a live picture of the cluster in a terminal, with
// the operations an operator may ask for behind dialogs that cannot be confirmed by
// accident. It shows what a Client says and what package picture makes of it; it
// decides nothing about the cluster and paints no state in advance of the cluster's
// own word. Other programs may run it in their terminal with keys of their own
// (Options.Extra).
//
// Run blocks until the operator quits. The model belongs to Bubble Tea's event loop;
// the feed has a goroutine of its own and hands over batches.
package console

import (
	"context"
	"fmt"
	"io"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/words"
)

// Client is what the console asks; *api.Client is one.
type Client interface {
	Watch(ctx context.Context) (*api.Watcher, error)
	Follow(ctx context.Context, after uint64) (*api.Follower, error)
	Operate(ctx context.Context, op api.Operation) (api.Accepted, error)
	Wait(ctx context.Context, id string) (cluster.Op, error)
	Why(ctx context.Context, group string) (string, error)
	ScriptLog(ctx context.Context, group string) (api.ScriptLog, error)
	Foresee(ctx context.Context, what string) (cluster.Forecast, error)
}

// Options say what to show and to whom.
type Options struct {
	// Client is asked if Dial is nil.
	Client Client
	// Dial gives a client, and the name of what it reaches, at the start and again
	// whenever contact was lost: it may give another server's each time.
	Dial func(ctx context.Context) (Client, string, error)

	Text     words.Text
	ASCII    bool   // no characters beyond ASCII in signs and lines
	ViewOnly bool   // actions off
	User     string // shown in the header; "" means who runs this
	From     string // the operator's terminal or SSH client, for the record

	// Extra are keys of the program that embeds the console.
	Extra []ExtraAction
	// Hint is a line above the footer, asked for four times a second: it must be
	// quick. Nil takes no line away.
	Hint func() string

	// In, Out and Env are standard input, standard output and the environment where
	// they are nil.
	In  io.Reader
	Out io.Writer
	Env []string

	now func() time.Time // tests
}

// ExtraAction is a key of the embedding program.
type ExtraAction struct {
	Key   string // as Bubble Tea names it: "c", "ctrl+x"
	Label string // one or two words, in the footer
	Help  string // a sentence, in the help and over the choices
	// Choices, where not nil, is asked when the key is pressed; the operator picks
	// one. None left: the key says that it is not possible.
	Choices func() []Choice
	// Run does it, in a goroutine of its own. What it returns is shown.
	Run func(ctx context.Context, choice string) error
}

// Choice is one of several.
type Choice struct {
	Value string
	Label string // "" means Value
}

func (o *Options) check() error {
	if o.Client == nil && o.Dial == nil {
		return fmt.Errorf("console: neither Client nor Dial is set")
	}
	taken := map[string]bool{}
	for _, c := range commands() {
		for _, k := range c.b.Keys() {
			taken[k] = true
		}
	}
	for _, e := range o.Extra {
		if e.Key == "" || e.Run == nil {
			return fmt.Errorf("console: extra action %q has no key or nothing to run", e.Label)
		}
		if taken[e.Key] {
			return fmt.Errorf("console: extra action %q: key %q is taken already", e.Label, e.Key)
		}
		taken[e.Key] = true
	}
	return nil
}
