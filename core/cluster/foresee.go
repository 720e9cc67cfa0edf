package cluster

import (
	"fmt"
	"slices"
	"strings"
)

// This file answers "what would happen if": the same rules, applied to a copy.

// Forecast is what the cluster would do.
type Forecast struct {
	Refusal *Refusal `json:"refusal,omitempty"` // it would be refused; nothing would happen
	// Runs are the steps in the order in which they would be carried out. Those of
	// one Round run at the same time.
	Runs []ForeseenRun `json:"runs"`
	// Moves are the groups that would be elsewhere, or in another state, afterwards.
	Moves []ForeseenMove `json:"moves"`
	// Servers are those that would be in another state afterwards.
	Servers []ForeseenServer `json:"servers"`
	// Phase is the cluster's afterwards, "" where it is the one of now.
	Phase Phase `json:"phase,omitempty"`
	// Provided is what all this depends on beside the rules; "" nothing. Halt says why
	// nobody could decide anything any more: then there are no runs, and every group
	// stops. Both are filled in by who knows of votes (package node).
	Provided string `json:"provided,omitempty"`
	Halt     string `json:"halt,omitempty"`
}

// ForeseenServer is what becomes of one server.
type ForeseenServer struct {
	Server string      `json:"server"`
	From   ServerState `json:"from"`
	To     ServerState `json:"to"`
	Reason string      `json:"reason"` // why, and what would bring it back
}

// ForeseenRun is one step of a forecast.
type ForeseenRun struct {
	Round int  `json:"round"` // 1 is first
	Step  Step `json:"step"`
}

// ForeseenMove is what becomes of one group.
type ForeseenMove struct {
	Group  string     `json:"group"`
	From   string     `json:"from"` // server, "" none
	To     string     `json:"to"`
	State  GroupState `json:"state"`
	Reason string     `json:"reason"`
}

// maxRounds bounds a forecast: each round ends a step of every group, and no plan is
// longer than a few.
const maxRounds = 64

// Suppose reads what is to be supposed: "SERVER fails", "SERVER and SERVER fail",
// "GROUP fails", or an operation as the command line has it ("move A server2",
// "stop A", "shutdown server1", "disconnect server1", "return server1").
func (s *State) Suppose(text string) (Command, error) {
	words := strings.Fields(text)
	usage := fmt.Errorf(`%q is nothing that can be supposed; say "server1 fails", "server1 and server2 fail", "A fails", or an operation such as "move A server2"`, text)
	if len(words) < 2 {
		return Command{}, usage
	}
	if last := words[len(words)-1]; last == "fails" || last == "fail" {
		return s.supposeFailure(words[:len(words)-1])
	}
	op := Op{ID: "supposed", Verb: Verb(words[0]), Who: Who{User: "you"}}
	rest := words[1:]
	if op.Verb == VerbShutdown && len(rest) == 2 {
		switch rest[1] {
		case "--poweroff":
			op.Then, rest = ThenPowerOff, rest[:1]
		case "--reboot":
			op.Then, rest = ThenReboot, rest[:1]
		}
	}
	switch {
	case op.Verb == VerbShutdown && rest[0] == "--cluster" && len(rest) == 1:
		op.Verb = VerbShutdownCluster
	case op.Verb.isOfGroup() && len(rest) <= 2:
		op.Group = rest[0]
		if len(rest) == 2 {
			op.Server = rest[1]
		}
	case (op.Verb == VerbShutdown || op.Verb == VerbDisconnect || op.Verb == VerbReturn) && len(rest) == 1:
		op.Server = rest[0]
	default:
		return Command{}, usage
	}
	return Command{Kind: KindOperate, Op: &op}, nil
}

// supposeFailure is the loss of servers, or the anomaly of one group.
func (s *State) supposeFailure(names []string) (Command, error) {
	if g := s.Group(names[0]); g != nil && len(names) == 1 && s.Server(names[0]) == nil {
		sv := s.Server(g.Server)
		if g.State != GroupOnline || sv == nil {
			return Command{}, fmt.Errorf("%s is %s: only a group that is online can fail", g.Name, g.State)
		}
		return Command{Kind: KindAnomaly, Group: g.Name, Server: sv.Name, Session: sv.Session, Text: "an anomaly"}, nil
	}
	c := Command{Kind: KindLost}
	for _, name := range names {
		name = strings.TrimSuffix(name, ",")
		if name == "and" || name == "" {
			continue
		}
		sv := s.Server(name)
		switch {
		case sv == nil:
			return Command{}, fmt.Errorf("there is no server or group %q", name)
		case !sv.Present:
			return Command{}, fmt.Errorf("%s is %s already", name, sv.State)
		case slices.ContainsFunc(c.Lost, func(l Loss) bool { return l.Server == name }):
			return Command{}, fmt.Errorf("%s is named twice", name)
		}
		c.Lost = append(c.Lost, Loss{Server: name, Session: sv.Session, Reason: "supposed to fail"})
	}
	if len(c.Lost) == 0 {
		return Command{}, fmt.Errorf("name the server or group that fails")
	}
	return c, nil
}

// Foresee says what a command would lead to, if every step did what it should. The
// state is not touched.
func (s *State) Foresee(c Command) Forecast {
	if c.Kind == KindOperate {
		if r := s.Check(*c.Op); r != nil {
			return Forecast{Refusal: r}
		}
	}
	after, index := s.Clone(), s.Index
	apply := func(c Command) {
		index++
		after.Apply(index, c)
	}
	apply(c)
	f := newForecast()
	for round := 1; round <= maxRounds; round++ {
		var due []Step
		for i := range after.Servers {
			due = append(due, after.Steps(after.Servers[i].Name)...)
		}
		if len(due) == 0 {
			break
		}
		for _, st := range due {
			f.Runs = append(f.Runs, ForeseenRun{round, st})
		}
		for _, st := range due {
			apply(Command{
				Kind: KindResult, Server: st.Server, Session: st.Session, Token: st.Token,
				Outcome: &Outcome{OK: true, Ran: true, Disk: DiskSuccess},
			})
		}
	}
	for i := range after.Groups {
		was, is := s.Group(after.Groups[i].Name), &after.Groups[i]
		if was == nil || was.Server != is.Server || was.State != is.State {
			m := ForeseenMove{Group: is.Name, To: is.Server, State: is.State, Reason: is.Reason}
			if was != nil {
				m.From = was.Server
			}
			f.Moves = append(f.Moves, m)
		}
	}
	for i := range after.Servers {
		was, is := s.Server(after.Servers[i].Name), &after.Servers[i]
		if was == nil || was.State != is.State {
			fs := ForeseenServer{Server: is.Name, To: is.State, Reason: after.fate(is)}
			if was != nil {
				fs.From = was.State
			}
			f.Servers = append(f.Servers, fs)
		}
	}
	if after.Phase != s.Phase {
		f.Phase = after.Phase
	}
	return f
}

func newForecast() Forecast {
	return Forecast{Runs: []ForeseenRun{}, Moves: []ForeseenMove{}, Servers: []ForeseenServer{}}
}

// fate is why a server of a forecast is what it is then, and what brings it back.
func (s *State) fate(sv *Server) string {
	out := sv.Reason
	switch sv.State {
	case ServerDown:
		if s.Phase == PhaseRunning {
			out += "; when it has booted again: " + s.howItReturns(sv.Name)
		}
	case ServerStopped:
		if sv.Then != "" {
			out += "; the machine" + strings.TrimPrefix(sv.Then.text(), " and")
		}
		out += "; it joins when its batond is started"
	case ServerDetached:
		out += "; to take it back in: baton return " + sv.Name
	}
	return out
}

// Halted is the forecast of a loss that leaves too few servers to decide anything:
// each of them stops its groups by itself.
func (s *State) Halted(lost []Loss, why string) Forecast {
	f := newForecast()
	f.Halt = why
	for i := range s.Groups {
		if g := &s.Groups[i]; g.State != GroupStopped && (g.Step != nil || g.mayBeActive()) {
			f.Moves = append(f.Moves, ForeseenMove{
				Group: g.Name, From: g.Server, State: GroupStopped, Reason: "starts again when enough servers are there",
			})
		}
	}
	for _, l := range lost {
		if sv := s.Server(l.Server); sv != nil && sv.State != ServerDown {
			f.Servers = append(f.Servers, ForeseenServer{Server: l.Server, From: sv.State, To: ServerDown, Reason: l.Reason})
		}
	}
	return f
}

// Why says in one sentence why a group is where it is, or is not, and what would
// bring it where it belongs. at renders a time of the state, in unix milliseconds.
func (s *State) Why(group string, at func(int64) string) (string, *Refusal) {
	g := s.Group(group)
	if g == nil {
		return "", refuse(RefusedNoSuchGroup, "baton status lists the groups", "there is no group %q", group)
	}
	gc := s.Config.Group(group)
	var parts []string
	reason := strings.TrimPrefix(g.Reason, g.Server+": ")
	switch g.State {
	case GroupOnline:
		if from := s.leftFrom(g, at); from != "" && !g.Degraded {
			reason = from
		}
		parts = append(parts, fmt.Sprintf("on %s since %s: %s", g.Server, at(g.Since), reason))
	case GroupStopped:
		parts = append(parts, fmt.Sprintf("stopped since %s: %s", at(g.Since), reason))
	default:
		parts = append(parts, fmt.Sprintf("%s on %s since %s: %s", g.State, g.Server, at(g.Since), reason))
	}
	if g.Warning != "" {
		parts = append(parts, fmt.Sprintf("warning: %s (what it printed there: baton log %s)", g.Warning, g.Name))
	}
	if g.Wanted && s.Phase == PhaseRunning {
		parts = append(parts, s.whyNotHigher(g, gc, at)...)
	}
	if todo := s.toDo(g); todo != "" {
		parts = append(parts, todo)
	}
	return strings.Join(parts, "; "), nil
}

// whyNotHigher says, for each server before the present one in the policy, why the
// group is not there, and what would bring it there.
func (s *State) whyNotHigher(g *Group, gc *GroupConfig, at func(int64) string) (parts []string) {
	for _, name := range gc.Policy {
		if name == g.Server {
			break
		}
		switch sv := s.Server(name); {
		case sv == nil:
		case sv.State == ServerOnline && g.State == GroupOnline:
			return append(parts, fmt.Sprintf("%s, which comes first, is online: baton move %s %s brings it there", name, g.Name, name))
		case sv.State == ServerDetached:
			is := "detached"
			if sv.Disconnected {
				is = "disconnected"
			}
			parts = append(parts, fmt.Sprintf("%s is %s since %s; to bring it back: baton return %s", name, is, at(sv.Since), name))
		case sv.State == ServerDown && g.Left.Down && g.Left.Server == name:
			parts = append(parts, "when "+name+" has booted again: "+s.howItReturns(name)) // why it is down has been said
		case sv.State == ServerDown && strings.Contains(g.Reason, s.whyNot(name)):
			parts = append(parts, fmt.Sprintf("%s is down since %s; when it has booted again: %s", name, at(sv.Since), s.howItReturns(name)))
		case sv.State == ServerDown:
			parts = append(parts, fmt.Sprintf("%s is down since %s (%s); when it has booted again: %s", name, at(sv.Since), sv.Reason, s.howItReturns(name)))
		case sv.State == ServerStopped:
			parts = append(parts, fmt.Sprintf("%s is stopped since %s (%s); it joins when its batond is started", name, at(sv.Since), sv.Reason))
		case sv.State != ServerOnline:
			parts = append(parts, fmt.Sprintf("%s is %s since %s", name, sv.State, at(sv.Since)))
		}
	}
	return parts
}

// leftFrom says what a failover took a group away from, "" where its last start was none.
func (s *State) leftFrom(g *Group, at func(int64) string) string {
	l := &g.Left
	switch {
	case l.Server == "" || l.Server == g.Server || g.LastStart.Event != EventFailover:
		return ""
	case l.Down:
		return fmt.Sprintf("failed over from %s (down since %s, %s)", l.Server, at(l.At), l.Why)
	}
	return fmt.Sprintf("failed over from %s at %s (%s)", l.Server, at(l.At), l.Why)
}

// howItReturns is what takes a server in again that has failed and booted.
func (s *State) howItReturns(server string) string {
	if s.Config.ReturnAuto && !s.Server(server).Disconnected {
		return "it returns by itself"
	}
	return "baton return " + server
}

// toDo is what an operator can do for a group that does not run as it should.
func (s *State) toDo(g *Group) string {
	switch {
	case g.Stuck:
		return fmt.Sprintf("to try the stop again: baton stop %s", g.Name)
	case g.State == GroupFailed:
		return fmt.Sprintf("to try again: baton start %s", g.Name)
	case g.State != GroupStopped:
	case s.Phase == PhaseStopping:
		return "the cluster is being shut down"
	case s.Phase != PhaseRunning && (g.Wanted || s.Config.Group(g.Name).Autostart):
		return "it starts with the cluster"
	case s.Phase != PhaseRunning:
		return fmt.Sprintf("to start it, when the cluster has started: baton start %s", g.Name)
	case !g.Wanted:
		return fmt.Sprintf("to start it: baton start %s", g.Name)
	}
	return ""
}
