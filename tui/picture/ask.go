package picture

import (
	"strings"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/cells"
	"baton/tui/words"
)

// WhyNot says why the verb is not possible for the group in this picture, or "".
// It is there to spare the operator a refusal; the daemon judges for itself.
func WhyNot(t words.Text, st *api.Status, v cluster.Verb, g *api.Group) string {
	switch {
	case st.Phase == string(cluster.PhaseForming) || st.Phase == "":
		return t.S(words.WhyNotRunningPhase, st.Waiting)
	case !st.Quorum:
		return t.S(words.WhyNoQuorum)
	case g == nil:
		return t.S(words.WhyNoGroup)
	case g.Step != nil || g.State == string(cluster.GroupStarting) || g.State == string(cluster.GroupStopping):
		return t.S(words.WhyBusy, g.Name, t.S(OfGroup(st, g).Word))
	}
	running := g.State == string(cluster.GroupOnline)
	switch v {
	case cluster.VerbStart:
		if running {
			return t.S(words.WhyRunning, g.Name, g.Server)
		}
		if FirstOnline(st, g, "") == "" {
			return t.S(words.WhyNoTarget, strings.Join(g.Policy, ", "))
		}
	case cluster.VerbStop:
		if g.State == string(cluster.GroupStopped) && !g.Wanted {
			return t.S(words.WhyStopped, g.Name)
		}
	case cluster.VerbMove, cluster.VerbFailover:
		if !running {
			return t.S(words.WhyNotOnline, g.Name)
		}
		if FirstOnline(st, g, g.Server) == "" {
			return t.S(words.WhyNoOther, strings.Join(g.Policy, ", "))
		}
	}
	return ""
}

// WhyNotServer is WhyNot for the operations on a server, and on the whole cluster.
func WhyNotServer(t words.Text, st *api.Status, v cluster.Verb, s *api.Server) string {
	switch {
	case v != cluster.VerbShutdownCluster && s == nil:
		return t.S(words.WhyNoServer)
	case v == api.VerbForceReturn && st.Quorum:
		return t.S(words.WhyNotForced, s.Name)
	case v == api.VerbForceReturn:
		return ""
	case !st.Quorum && v == cluster.VerbReturn && s.Name == st.Server:
		return t.S(words.WhyForce, s.Name)
	case !st.Quorum:
		return t.S(words.WhyNoQuorum)
	case st.Phase == string(cluster.PhaseStopping):
		return t.S(words.WhyStoppingCluster)
	case v == cluster.VerbShutdownCluster:
		return ""
	}
	state, is := cluster.ServerState(s.State), t.S(OfServer(st, s).Word)
	absent := state == cluster.ServerStopped || state == cluster.ServerDown
	switch v {
	case cluster.VerbReturn:
		switch {
		case absent:
			return t.S(words.WhyNotThere, s.Name, is)
		case state == cluster.ServerLeaving || state == cluster.ServerReturning:
			return t.S(words.WhyBusy, s.Name, is)
		case state != cluster.ServerDetached:
			return t.S(words.WhyInAlready, s.Name)
		}
	case cluster.VerbDisconnect:
		if absent || state == cluster.ServerLeaving {
			return t.S(words.WhyBusy, s.Name, is)
		}
	case cluster.VerbShutdown:
		if absent {
			return t.S(words.WhyBusy, s.Name, is)
		}
	}
	return ""
}

// Vouched are the servers that an operator vouches for who lets this one go on alone:
// each with when it was heard last.
func Vouched(t words.Text, st *api.Status) (out []string) {
	for i := range st.Servers {
		s := &st.Servers[i]
		if s.Name == st.Server {
			continue
		}
		heard := t.S(words.NeverHeard)
		switch {
		case Heard(st, s):
			heard = t.S(words.HeardNow)
		case s.HeardMS >= 0:
			heard = t.S(words.HeardAgo, cells.Age(time.Duration(s.HeardMS)*time.Millisecond))
		}
		out = append(out, cells.Clean(s.Name)+"  "+heard)
	}
	return out
}

// Supposed is an operation on a server, or on the cluster, as a forecast wants it.
func Supposed(v cluster.Verb, server string) string {
	if v == cluster.VerbShutdownCluster {
		return "shutdown --cluster"
	}
	return string(v) + " " + server
}

// FirstOnline is the online server of highest priority in the group's policy, other
// than the one named; "" where there is none.
func FirstOnline(st *api.Status, g *api.Group, other string) string {
	for _, name := range g.Policy {
		if s := Server(st, name); s != nil && name != other && s.State == string(cluster.ServerOnline) {
			return name
		}
	}
	return ""
}

// CountResources counts what a group needs, its two scripts as one.
func CountResources(g *api.Group) int {
	n, script := 0, 0
	for i := range g.Resources {
		if g.Resources[i].Kind == "script" {
			script = 1
			continue
		}
		n++
	}
	return n + script
}

// Addresses lists the group's floating IPs.
func Addresses(g *api.Group) []string {
	var out []string
	for i := range g.Resources {
		if g.Resources[i].Kind == "floating_ip" {
			out = append(out, g.Resources[i].Name)
		}
	}
	return out
}

// CommandLine is what does the same from a shell.
func CommandLine(v cluster.Verb, group, server string) string {
	if v == cluster.VerbShutdownCluster {
		return "baton shutdown --cluster"
	}
	if v == api.VerbForceReturn {
		return "baton return " + quote(server) + " --force"
	}
	s := "baton " + string(v)
	if group != "" {
		s += " " + quote(group)
	}
	if server != "" {
		s += " " + quote(server)
	}
	return s
}

// quote makes a name one word of a shell.
func quote(s string) string {
	plain := s != ""
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:/@", r) || r > 0x7f) {
			plain = false
		}
	}
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
