package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

func (o *options) status() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "status", Short: "Show servers, groups and heartbeat paths", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.printStatus(c.Context(), asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print everything, as JSON")
	return c
}

// statusTime bounds how long a daemon may take to say what it sees.
const statusTime = 10 * time.Second

func (o *options) printStatus(ctx context.Context, asJSON bool) error {
	limited, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	st, err := o.dial().Status(limited)
	if err != nil {
		return o.late(ctx, limited, err)
	}
	if asJSON {
		e := json.NewEncoder(o.sys.out)
		e.SetIndent("", "  ")
		return e.Encode(st)
	}
	loc := o.locale()
	_, err = io.WriteString(o.sys.out, Report(st, loc.Text, o.ascii || !loc.UTF8))
	return err
}

// late says so where the daemon took too long.
func (o *options) late(outer, limited context.Context, err error) error {
	if limited.Err() != nil && outer.Err() == nil {
		return &failure{exitTimeout, fmt.Errorf("batond at %s does not answer within %s; is it stopped (SIGSTOP) or its disk stuck?", o.path(), statusTime)}
	}
	return err
}

// Report is the picture as plain text: aligned columns, one thing a line.
func Report(st *api.Status, t words.Text, ascii bool) string {
	now := st.Time
	glyph := func(s picture.Sign) string { return s.Kind.Glyph(ascii) + " " + t.S(s.Word) }
	age := func(ms int64) string {
		if ms <= 0 {
			return "-"
		}
		return cells.Age(time.Duration(now-ms) * time.Millisecond)
	}
	var b strings.Builder
	worst, n := picture.Worst(st)
	word := t.S(worst.Word)
	if n > 0 {
		word = fmt.Sprint(n, " ", word)
	}
	leader := ""
	switch {
	case st.Quorum:
		leader = "  " + t.S(words.LeaderIs, st.Leader)
	case worst.Word != words.NoQuorum:
		leader = "  " + t.S(words.NoQuorum)
	}
	fmt.Fprintf(&b, "%s  %s %s  %s%s  %s  (%s)\n", cells.Clean(st.Cluster), worst.Kind.Glyph(ascii), word,
		t.S(words.ServersCount, picture.Online(st), len(st.Servers)), cells.Clean(leader), t.S(words.Rev, st.Revision), t.S(words.At, cells.Clean(st.Server)))
	if st.Waiting != "" {
		fmt.Fprintln(&b, t.S(words.WaitsFor, cells.Clean(st.Waiting)))
	}
	rows := [][]string{{t.S(words.ColServer), t.S(words.ColState), t.S(words.ColSince), t.S(words.ColWhy)}}
	for i := range st.Servers {
		s := &st.Servers[i]
		name := cells.Clean(s.Name)
		if s.Name == st.Server {
			name += " " + t.S(words.Here)
		}
		rows = append(rows, []string{name, glyph(picture.OfServer(st, s)), age(s.Since), cells.Clean(s.Reason)})
	}
	b.WriteString("\n" + aligned(rows))
	rows = [][]string{{t.S(words.ColGroup), t.S(words.ColState), t.S(words.ColServer), t.S(words.ColSince), t.S(words.ColWhy)}}
	for i := range st.Groups {
		g := &st.Groups[i]
		server := cells.Clean(g.Server)
		if server == "" {
			server = "-"
		}
		why := g.Reason
		if doubt := picture.Doubt(t, st, g); doubt != "" {
			why = doubt + "; " + why
		}
		if g.Warning != "" {
			why += "; " + g.Warning
		}
		rows = append(rows, []string{cells.Clean(g.Name), glyph(picture.OfGroup(st, g)), server, age(g.Since), cells.Clean(why)})
	}
	b.WriteString("\n" + aligned(rows))
	rows = [][]string{}
	for _, p := range picture.Pairs(st) {
		row := []string{cells.Clean(p.A) + " - " + cells.Clean(p.B)}
		for i := range p.Links {
			l := &p.Links[i]
			state := t.S(l.Sign.Word)
			if l.Sign.Word == words.OneWay {
				state = t.S(l.Sign.Word, l.From, l.To)
			}
			row = append(row, cells.Clean(l.Name)+" "+l.Sign.Kind.Glyph(ascii)+" "+cells.Clean(state))
		}
		rows = append(rows, row)
	}
	if len(rows) > 0 {
		b.WriteString("\n" + aligned(rows))
	}
	return b.String()
}

// aligned makes columns, measured in cells of a terminal.
func aligned(rows [][]string) string {
	var width []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], cells.Width(c))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		line := ""
		for i, c := range r {
			line += c + cells.Space(width[i]-cells.Width(c)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func (o *options) events() *cobra.Command {
	var follow, asJSON bool
	var number int
	c := &cobra.Command{
		Use: "events", Short: "Show the cluster's event log", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if number < 0 || number > 4096 {
				return usage("-n %d: must be 0 to 4096", number)
			}
			return o.printEvents(c.Context(), number, follow, asJSON)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with each new event")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	c.Flags().IntVarP(&number, "lines", "n", 0, "only the newest `N` (0: all that the cluster remembers)")
	return c
}

func (o *options) printEvents(ctx context.Context, n int, follow, asJSON bool) error {
	client := o.dial()
	print := func(e *cluster.Event) error {
		if asJSON {
			return json.NewEncoder(o.sys.out).Encode(e)
		}
		_, err := fmt.Fprintln(o.sys.out, eventLine(e))
		return err
	}
	limited, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	events, err := client.Events(limited, 0, n)
	if err != nil {
		return o.late(ctx, limited, err)
	}
	last := uint64(0)
	for i := range events {
		last = events[i].ID
		if err := print(&events[i]); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	said := false
	for {
		err := followEvents(ctx, client, &last, func(e *cluster.Event) error { said = false; return print(e) })
		if ctx.Err() != nil {
			return nil // told to end
		}
		var broken *brokenOutput
		if isBroken(err, &broken) {
			return broken.err
		}
		if err != nil && !said {
			said = true
			fmt.Fprintln(o.sys.err, "baton:", err, "- trying again")
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// brokenOutput says that nobody reads what is printed.
type brokenOutput struct{ err error }

func (b *brokenOutput) Error() string { return b.err.Error() }

func isBroken(err error, b **brokenOutput) bool {
	x, ok := err.(*brokenOutput)
	*b = x
	return ok
}

// followEvents prints what comes on one stream.
func followEvents(ctx context.Context, client *api.Client, last *uint64, print func(*cluster.Event) error) error {
	s, err := client.Follow(ctx, *last)
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return err
		}
		if e.ID <= *last {
			continue
		}
		*last = e.ID
		if err := print(e); err != nil {
			return &brokenOutput{err}
		}
	}
}

// column is a name in a column of its own. One that is longer is not cut: the line is for
// grep as well as for the eye.
func column(name string) string {
	name = cells.Clean(name)
	return name + cells.Space(10-cells.Width(name))
}

func eventLine(e *cluster.Event) string {
	line := time.UnixMilli(e.At).Format("2006-01-02 15:04:05.000") + " " + strings.ToUpper(fmt.Sprintf("%-5s", e.Severity))
	about := e.Group
	if about == "" {
		about = "-"
	}
	server := e.Server
	if server == "" {
		server = "-"
	}
	line += " " + column(server) + " " + column(about) + " " + cells.Clean(e.Text)
	if e.Who != "" && !strings.Contains(e.Text, e.Who) {
		line += " (" + cells.Clean(e.Who) + ")"
	}
	return line
}
