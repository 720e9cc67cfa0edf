package console

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/picture"
	"baton/tui/words"
)

// dialog covers the middle of the screen and takes all keys.
type dialog interface {
	// draw gives lines of at most w cells; those of foot are never left out.
	draw(m *model, w int) (title string, body, foot []string)
	key(m *model, k tea.KeyPressMsg) tea.Cmd
}

// armAfter is how long a confirming key is dead after the dialog opened, or after the
// key was pressed too early: long enough that neither a second press meant for the
// screen below nor a key that is held down confirms anything.
const armAfter = 400 * time.Millisecond

// confirm asks before an operation: by `y`, and by typing the name of what it is about
// where that would not come back by itself. Enter confirms only what has been typed.
type confirm struct {
	verb    cluster.Verb
	group   string
	server  string   // of an operation on a server; it and group are "" for the cluster's
	targets []string // "" leaves the choice to the cluster
	pick    int
	arm     time.Time
	seen    string // what the operator has been looking at
	changed bool
	typed   *lineInput
	outlook outlook      // of an operation on a server or the cluster
	then    cluster.Then // of a shutdown: what becomes of the machine
}

var verbTitles = map[cluster.Verb]words.Key{
	cluster.VerbStart: words.VerbStart, cluster.VerbStop: words.VerbStop,
	cluster.VerbMove: words.VerbMove, cluster.VerbFailover: words.VerbFailover,
	cluster.VerbReturn: words.VerbReturn, cluster.VerbDisconnect: words.VerbDisconnect,
	cluster.VerbShutdown: words.VerbShutdown, cluster.VerbShutdownCluster: words.VerbShutdownCluster,
	api.VerbForceReturn: words.VerbForce,
}

// verbWords are what the confirming key does.
var verbWords = map[cluster.Verb]words.Key{
	cluster.VerbStart: words.DoStart, cluster.VerbStop: words.DoStop,
	cluster.VerbMove: words.DoMove, cluster.VerbFailover: words.DoFailover,
	cluster.VerbReturn: words.DoReturn, cluster.VerbDisconnect: words.DoDisconnect,
	cluster.VerbShutdown: words.DoShutdown, cluster.VerbShutdownCluster: words.DoShutdown,
	api.VerbForceReturn: words.DoForce,
}

// confirm opens the question.
func (m *model) confirm(v cluster.Verb) tea.Cmd {
	g := m.selected()
	c := &confirm{verb: v, group: g.Name}
	switch v {
	case cluster.VerbStart:
		c.targets = append([]string{""}, g.Policy...)
	case cluster.VerbMove:
		best := picture.FirstOnline(m.st, g, g.Server)
		for _, s := range g.Policy {
			if s == g.Server {
				continue
			}
			if s == best {
				c.pick = len(c.targets)
			}
			c.targets = append(c.targets, s)
		}
	case cluster.VerbStop:
		c.typed = &lineInput{max: 255}
	}
	c.seen = c.sight(m)
	m.dialog = c
	return c.rearm(m)
}

// rearm starts the dead time, and sees to it that its end is painted.
func (c *confirm) rearm(m *model) tea.Cmd {
	c.arm = m.now().Add(armAfter)
	return tea.Tick(armAfter+20*time.Millisecond, func(time.Time) tea.Msg { return armMsg{} })
}

func (c *confirm) target() string {
	if len(c.targets) == 0 {
		return ""
	}
	return c.targets[c.pick]
}

// sight is what matters for the question; if it changes, the operator has not yet
// seen what he would confirm.
func (c *confirm) sight(m *model) string {
	if !c.ofGroup() {
		return serverSight(m.st)
	}
	g := picture.Group(m.st, c.group)
	if g == nil {
		return "gone"
	}
	s := fmt.Sprint(g.State, " ", g.Server, " ", g.Step != nil, " ", g.Wanted, " ", m.st.Quorum)
	if t := picture.Server(m.st, c.target()); t != nil {
		s += " " + t.State
	}
	return s
}

// look compares with a new picture.
func (c *confirm) look(m *model) tea.Cmd {
	now := c.sight(m)
	if now == c.seen {
		return nil
	}
	c.seen, c.changed = now, true
	c.arm = m.now().Add(armAfter)
	if c.ofGroup() {
		return nil
	}
	return c.foresee(m)
}

// why says why it cannot be done as it stands, "" if it can.
func (c *confirm) why(m *model) string {
	if !c.ofGroup() {
		return c.whyServer(m)
	}
	if why := m.stillNot(c.verb, c.group); why != "" {
		return why
	}
	if t := picture.Server(m.st, c.target()); t != nil && t.State != string(cluster.ServerOnline) {
		return m.s(words.WhyTargetState, cells.Clean(t.Name), m.s(picture.OfServer(m.st, t).Word))
	}
	return ""
}

// stillNot is whyNot for a group that need not be the selected one any more.
func (m *model) stillNot(v cluster.Verb, group string) string {
	if m.freshness() == lost {
		return m.s(words.WhyLost)
	}
	if m.asking {
		return m.s(words.WhyOpPending)
	}
	return picture.WhyNot(m.t, m.st, v, picture.Group(m.st, group))
}

func (c *confirm) key(m *model, k tea.KeyPressMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		m.dialog = nil
		return nil
	case "ctrl+r":
		return m.reconnect()
	case "left", "right":
		if n := len(c.targets); n > 1 {
			d := 1
			if k.String() == "left" {
				d = n - 1
			}
			c.pick = (c.pick + d) % n
			c.seen = c.sight(m)
			return c.rearm(m)
		}
		if c.ofMachine() {
			c.then = map[cluster.Then]cluster.Then{"": cluster.ThenPowerOff}[c.then]
			return c.rearm(m)
		}
		return nil
	}
	if c.typed != nil {
		if k.String() == "enter" {
			if c.matches(m) && c.read() && c.why(m) == "" {
				return c.send(m)
			}
			return nil
		}
		c.typed.edit(k)
		return nil
	}
	if k.String() != "y" {
		return nil
	}
	if k.IsRepeat || m.now().Before(c.arm) || !c.read() {
		return c.rearm(m)
	}
	if c.why(m) != "" {
		return nil
	}
	return c.send(m)
}

// ofMachine: the operation may power machines off.
func (c *confirm) ofMachine() bool {
	return c.verb == cluster.VerbShutdown || c.verb == cluster.VerbShutdownCluster
}

// ofGroup: the operation is one on a group.
func (c *confirm) ofGroup() bool { return c.group != "" }

// name is what the operation is about, as it is shown and typed.
func (c *confirm) name(m *model) string {
	switch {
	case c.ofGroup():
		return cells.Clean(c.group)
	case c.verb == cluster.VerbShutdownCluster:
		return cells.Clean(m.st.Cluster)
	}
	return cells.Clean(c.server)
}

func (c *confirm) matches(m *model) bool { return c.typed.text == c.name(m) }

func (c *confirm) send(m *model) tea.Cmd {
	m.dialog = nil
	return m.ask(api.Operation{Verb: c.verb, Group: c.group, Server: c.object(), Then: c.then, Revision: m.st.Revision, From: m.opt.From})
}

// object is the operation's server: its target, or what it is about.
func (c *confirm) object() string {
	if c.ofGroup() {
		return c.target()
	}
	return c.server
}

func (c *confirm) draw(m *model, w int) (title string, body, foot []string) {
	title = bold(m.s(verbTitles[c.verb], c.name(m)))
	why := c.why(m)
	if c.ofGroup() {
		body = c.aboutGroup(m, w)
	} else {
		body = c.aboutServer(m, w)
	}
	if c.changed {
		body = append(body, m.cautious(m.s(words.ChangedMeanwhile), w, 2)...)
	}
	if why != "" {
		for _, l := range cells.Wrap(picture.Failed.Glyph(m.th.ascii)+" "+m.s(words.NotAvailable)+": "+why, w-1, 4, m.th.tail()) {
			foot = append(foot, m.th.kind(picture.Failed, l))
		}
		if m.freshness() == lost {
			return title, body, append(foot, m.s(words.EscClose)+"     "+m.s(words.ReconnectNow))
		}
		return title, body, append(foot, m.s(words.EscClose))
	}
	same := picture.CommandLine(c.verb, cells.Clean(c.group), cells.Clean(c.object()))
	if c.then == cluster.ThenPowerOff {
		same += " --poweroff"
	}
	body = append(body, dim(m.th.cut(m.s(words.SameAs, same), w-1)))
	name := m.s(verbWords[c.verb])
	if c.typed != nil {
		enter := m.s(words.EnterStops, name)
		if !c.matches(m) || !c.read() {
			enter = dim(enter)
		}
		foot = append(foot, m.th.cut(m.s(c.typeWhat(), bold(c.typed.text+"_")), w-1))
		if both := enter + "   " + m.s(words.EscCancels); cells.Width(both) < w {
			foot = append(foot, both)
		} else {
			foot = append(foot, enter, m.s(words.EscCancels))
		}
	} else {
		y := bold(m.s(words.YDoes, name))
		state := m.s(words.Armed)
		if m.now().Before(c.arm) || !c.read() {
			y, state = dim(m.s(words.YDoes, name)), m.s(words.ArmedIn)
		}
		foot = append(foot, y+"   "+m.s(words.EscCancels)+"   "+m.s(words.EnterNothing), dim(state+"   "+m.s(words.CheckedRev, m.st.Revision)))
		return title, body, foot
	}
	return title, body, append(foot, dim(m.s(words.CheckedRev, m.st.Revision)))
}

// aboutGroup says what an operation on a group does.
func (c *confirm) aboutGroup(m *model, w int) (body []string) {
	g := picture.Group(m.st, c.group)
	if g == nil {
		return nil
	}
	body = c.places(m, g)
	for _, s := range c.effects(m, g) {
		body = append(body, cells.Wrap(s, w-1, 4, m.th.tail())...)
	}
	for _, s := range c.warnings(m, g) {
		body = append(body, m.cautious(s, w, 3)...)
	}
	return body
}

// cautious is a warning in at most n lines of w cells.
func (m *model) cautious(s string, w, n int) (out []string) {
	for _, l := range cells.Wrap(picture.Caution.Glyph(m.th.ascii)+" "+s, w-1, n, m.th.tail()) {
		out = append(out, m.th.kind(picture.Caution, l))
	}
	return out
}

// places says from where to where.
func (c *confirm) places(m *model, g *api.Group) []string {
	sign := picture.OfGroup(m.st, g)
	now := m.s(words.NowLine) + "  " + m.th.sign(sign.Kind, m.s(sign.Word))
	if g.Server != "" && g.State != string(cluster.GroupStopped) {
		now = m.s(words.From) + "  " + m.serverSign(g.Server)
		if c.verb == cluster.VerbStop {
			now = m.s(words.NowLine) + "  " + m.th.sign(sign.Kind, m.s(sign.Word)) + " " + cells.Clean(g.Server)
		}
	}
	if len(c.targets) == 0 {
		return []string{now}
	}
	l := m.th.lines()
	to := m.s(words.AutoTarget)
	if t := c.target(); t != "" {
		to = m.serverSign(t)
	}
	out := []string{now, m.s(words.To) + "  " + bold(l.left) + " " + to + " " + bold(l.right)}
	if n := len(c.targets); n > 1 {
		out[1] += " " + dim(m.s(words.TargetHint, c.pick+1, n))
	}
	return out
}

func (m *model) serverSign(name string) string {
	s := picture.Server(m.st, name)
	if s == nil {
		return cells.Clean(name)
	}
	sign := picture.OfServer(m.st, s)
	return cells.Clean(name) + " " + m.th.sign(sign.Kind, m.s(sign.Word))
}

// effects spell out what will happen.
func (c *confirm) effects(m *model, g *api.Group) []string {
	lasted := func(ms int64) string {
		if ms <= 0 {
			return ""
		}
		return m.s(words.TookLast, took(ms))
	}
	n, from, to := picture.CountResources(g), cells.Clean(g.Server), cells.Clean(c.target())
	var out []string
	switch c.verb {
	case cluster.VerbStart:
		if to == "" {
			return []string{m.s(words.StartsAuto, n, lasted(g.LastStartMS))}
		}
		return []string{m.s(words.StartsOn, n, to, lasted(g.LastStartMS))}
	case cluster.VerbStop:
		if from != "" {
			out = append(out, m.s(words.StopsOn, n, from, lasted(g.LastStopMS)))
		}
		out = append(out, m.s(words.StaysStopped))
	case cluster.VerbMove:
		out = append(out, m.s(words.StopsStarts, n, from, lasted(g.LastStopMS), to, lasted(g.LastStartMS)))
	case cluster.VerbFailover:
		out = append(out, m.s(words.FailoverIs, from))
		if next := picture.FirstOnline(m.st, g, g.Server); next != "" {
			out = append(out, m.s(words.NextIs, cells.Clean(next)))
		}
	}
	if ips := picture.Addresses(g); len(ips) > 0 && g.State == string(cluster.GroupOnline) {
		out = append(out, m.s(words.Clients, cells.Clean(strings.Join(ips, ", "))))
	}
	return out
}

// warnings are what speaks against the target.
func (c *confirm) warnings(m *model, g *api.Group) []string {
	name := c.target()
	if c.verb == cluster.VerbFailover {
		name = picture.FirstOnline(m.st, g, g.Server)
	}
	s := picture.Server(m.st, name)
	if s == nil {
		return nil
	}
	var out []string
	if !s.SameRules && s.Name != m.st.Server {
		out = append(out, m.s(words.WarnRules, cells.Clean(name)))
	}
	for _, w := range s.FailedWith {
		if w == g.Name {
			out = append(out, m.s(words.WarnFailedThere, cells.Clean(name)))
		}
	}
	pairs := picture.Pairs(m.st)
	for i := range pairs {
		p := &pairs[i]
		// Who is down is not heard by anybody; that says nothing against the target.
		if p.A != name && p.B != name || !picture.Present(m.st, p.A) || !picture.Present(m.st, p.B) {
			continue
		}
		var lost []string
		for k := range p.Links {
			if p.Links[k].Sign.Kind == picture.Failed {
				lost = append(lost, cells.Clean(p.Links[k].Name))
			}
		}
		if len(lost) > 0 {
			out = append(out, m.s(words.WarnPath, cells.Clean(p.A)+"-"+cells.Clean(p.B), strings.Join(lost, ", ")))
		}
	}
	return out
}
