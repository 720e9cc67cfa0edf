package console

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// The questions before operations on servers. What they lead to the cluster itself is
// asked when one is opened, and again whenever the picture changes in what matters.

// outlook is what the cluster says would happen.
type outlook struct {
	asked int // questions so far
	known bool
	f     cluster.Forecast
	err   string // why it is not known
}

// shownEffects bounds the groups that are named, also by the height that the rest of the
// dialog leaves; those that are not named are counted.
const (
	shownEffects       = 7
	linesBesideEffects = 13
	linesBesideVouched = 19
)

// confirmServer opens the question; server is "" for the cluster.
func (m *model) confirmServer(v cluster.Verb, server string) tea.Cmd {
	c := &confirm{verb: v, server: server}
	if v != cluster.VerbReturn {
		c.typed = &lineInput{max: 255}
	}
	c.seen = c.sight(m)
	m.dialog = c
	return tea.Batch(c.rearm(m), c.foresee(m))
}

// serverSight is what matters for an operation on a server: where every group is, and
// where it could go.
func serverSight(st *api.Status) string {
	var b strings.Builder
	fmt.Fprint(&b, st.Quorum, st.Phase)
	for i := range st.Servers {
		s := &st.Servers[i]
		fmt.Fprint(&b, " ", s.Name, " ", s.State)
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		fmt.Fprint(&b, " ", g.Name, " ", g.State, " ", g.Server, " ", g.Wanted)
	}
	return b.String()
}

// foresee asks what would happen.
func (c *confirm) foresee(m *model) tea.Cmd {
	o := &c.outlook
	*o = outlook{asked: o.asked + 1}
	if c.verb == api.VerbForceReturn {
		o.known = true // nobody can say: this server does not know what the others do
		return nil
	}
	client := m.client
	if client == nil {
		o.known, o.err = true, m.trouble()
		return nil
	}
	ctx, what, asked := m.ctx, picture.Supposed(c.verb, c.server), o.asked
	return func() tea.Msg {
		ctx, cancel := bounded(ctx)
		defer cancel()
		f, err := client.Foresee(ctx, what)
		return foreseenMsg{of: c, asked: asked, f: f, err: err}
	}
}

// foreseen takes the answer. It is something new to read, so the dead time begins.
func (c *confirm) foreseen(m *model, msg *foreseenMsg) tea.Cmd {
	if msg.asked != c.outlook.asked {
		return nil // another question has been asked since
	}
	c.outlook.known, c.outlook.f = true, msg.f
	if msg.err != nil {
		c.outlook.err = cells.Clean(msg.err.Error())
	}
	return c.rearm(m)
}

// read: all there is to read before confirming is on the screen.
func (c *confirm) read() bool { return c.ofGroup() || c.outlook.known }

// whyServer says why it cannot be done: by the picture, or by the cluster's own word.
func (c *confirm) whyServer(m *model) string {
	if m.freshness() == lost {
		return m.s(words.WhyLost)
	}
	if why := m.whyNotServer(c.verb, c.server); why != "" {
		return why
	}
	if r := c.outlook.f.Refusal; r != nil {
		return cells.Clean(r.Error())
	}
	return ""
}

func (c *confirm) typeWhat() words.Key {
	switch {
	case c.ofGroup():
		return words.TypeName
	case c.verb == cluster.VerbShutdownCluster:
		return words.TypeCluster
	}
	return words.TypeServer
}

// aboutForce says what a forced return is, and what the operator vouches for.
func (c *confirm) aboutForce(m *model, w int) (body []string) {
	say := func(s string, n int) { body = append(body, cells.Wrap(s, w-1, n, m.th.tail())...) }
	say(m.s(words.ForceIs, c.name(m)), 2)
	if m.st.Waiting != "" && m.h > linesBesideVouched+3 {
		say(m.s(words.WaitsFor, cells.Clean(m.st.Waiting)), 2)
	}
	body = append(body, m.cautious(m.s(words.ForceVouch), w, 3)...)
	others := picture.Vouched(m.t, m.st)
	shown := min(len(others), max(m.h-linesBesideVouched, 2))
	for _, s := range others[:shown] {
		body = append(body, m.th.cut("  "+s, w-1))
	}
	if n := len(others) - shown; n > 0 {
		body = append(body, dim("  "+m.s(words.MoreBelow, n)))
	}
	say(m.s(words.ForceRisk), 4)
	return body
}

// aboutServer says what an operation on a server, or on the cluster, does.
func (c *confirm) aboutServer(m *model, w int) (body []string) {
	name := c.name(m)
	say := func(s string) { body = append(body, cells.Wrap(s, w-1, 3, m.th.tail())...) }
	if c.server != "" {
		body = append(body, m.s(words.NowLine)+"  "+m.serverSign(c.server))
	}
	switch c.verb {
	case cluster.VerbReturn:
		say(m.s(words.ReturnIs, name))
	case cluster.VerbDisconnect:
		say(m.s(words.DisconnectIs, name))
	case api.VerbForceReturn:
		return append(body, c.aboutForce(m, w)...)
	case cluster.VerbShutdown:
		say(m.s(words.ShutdownIs, name))
	case cluster.VerbShutdownCluster:
		say(m.s(words.ShutdownClusterIs, len(m.st.Servers)))
	}
	if c.ofMachine() {
		l := m.th.lines()
		fate, nth := m.s(words.MachineStays), 1
		if c.then == cluster.ThenPowerOff {
			nth = 2
			fate = m.th.kind(picture.Caution, m.s(words.MachineOff))
		}
		body = append(body, m.s(words.MachineLine)+"  "+bold(l.left)+" "+fate+" "+bold(l.right)+" "+dim(m.s(words.TargetHint, nth, 2)))
	}
	o := &c.outlook
	switch {
	case !o.known:
		return append(body, dim(m.th.cut(m.s(words.Foreseeing), w-1)))
	case o.err != "":
		return append(body, m.cautious(m.s(words.NotForeseen, o.err), w, 3)...)
	case o.f.Refusal != nil:
		return body
	}
	effects := picture.Effects(m.t, &o.f)
	shown := min(len(effects), shownEffects, max(m.h-linesBesideEffects, 1))
	for _, s := range effects[:shown] {
		body = append(body, m.th.cut("  "+s, w-1))
	}
	if n := len(effects) - shown; n > 0 {
		body = append(body, dim("  "+m.s(words.MoreBelow, n)))
	}
	return body
}
