package cluster

import (
	"fmt"
	"slices"
)

// change is one command being applied. All changes of a State go through it, so that
// whatever changes also gets its Changed, its reason and its event.
type change struct {
	s      *State
	index  uint64
	at     int64  // of the command
	count  uint64 // tokens and event ids given out for this entry
	by     Who    // the operator whose command this is; zero: none
	events []Event

	senseless bool // something of the command was ignored
	ended     bool // a session has ended by failure
}

// countBits are the bits of a token, and of an event's id, below the log index. An
// entry needs less than 8 numbers for each of at most 4096 groups.
const countBits = 16

// Apply changes the state by one committed command, in place, and says what happened.
// Index is the command's place in the log and must grow from call to call, over
// epochs too, because tokens are made of it.
//
// No command makes it panic: what makes no sense is left out and said in an event. A
// state that contradicts itself does: a pause is better than two carriers.
func (s *State) Apply(index uint64, c Command) []Event {
	if index <= s.Index {
		panic(fmt.Sprintf("cluster: entry %d applied after entry %d", index, s.Index))
	}
	if s.Version == 0 {
		s.Version = Version
	}
	if s.Phase == "" {
		s.Phase = PhaseForming
	}
	s.Index = index
	x := &change{s: s, index: index, at: c.At}
	switch c.Kind {
	case KindConfigure:
		x.configure(c)
	case KindArrive:
		x.arrive(c)
	case KindLost:
		x.lost(c)
	case KindBegin:
		x.begin(c)
	case KindResult:
		x.result(c)
	case KindAnomaly:
		x.anomalyReport(c)
	case KindNormal:
		x.normal(c)
	case KindOperate:
		x.operate(c)
	case KindNote:
		x.note(c)
	default:
		x.ignore("a command of unknown kind %q", c.Kind)
	}
	x.settle()
	if fault := s.fault(); fault != "" {
		panic(fmt.Sprintf("cluster: after entry %d (%s): %s", index, c.Kind, fault))
	}
	return x.events
}

// settle draws the conclusions that no single command owns: it is run after every
// command and does nothing where there is nothing to conclude.
func (x *change) settle() {
	x.startWaiting()
	x.endGroupOps()
	x.clearLeaving()
	x.endSessions()
	x.endPhase()
	x.endServerOps()
}

func (x *change) next() uint64 {
	if x.count >= 1<<countBits-1 {
		panic(fmt.Sprintf("cluster: entry %d gives out more than %d numbers", x.index, x.count))
	}
	x.count++
	return x.index<<countBits | x.count
}

// say adds an event. Its severity comes from the catalogue.
func (x *change) say(code, server, group, format string, args ...any) {
	x.event(Event{Severity: severityOf(code), Code: code, Server: server, Group: group, Text: fmt.Sprintf(format, args...), Who: x.by.words(), By: x.by})
}

func (x *change) event(e Event) {
	e.ID, e.At = x.next(), x.at
	x.events = append(x.events, e)
	x.s.Events = append(x.s.Events, e)
	if n := len(x.s.Events); n > KeepEvents {
		x.s.Events = slices.Clone(x.s.Events[n-KeepEvents:])
	}
	x.s.Revision = x.index
}

// ignore says that something of the command makes no sense, once an entry.
func (x *change) ignore(format string, args ...any) {
	if x.senseless {
		return
	}
	x.senseless = true
	x.say(CodeCommandIgnored, "", "", "ignored "+format, args...)
}

func (x *change) touch(g *Group) { g.Changed, x.s.Revision = x.index, x.index }

func (x *change) touchServer(sv *Server) { sv.Changed, x.s.Revision = x.index, x.index }

// set gives a group its state, where, and the reason.
func (x *change) set(g *Group, state GroupState, server, why string) {
	if g.State != state || g.Server != server {
		g.Since = x.at
	}
	g.State, g.Server, g.Reason = state, server, why
	x.touch(g)
}

// setServer gives a server its state and the reason.
func (x *change) setServer(sv *Server, state ServerState, why string) {
	if sv.State != state {
		sv.Since = x.at
	}
	sv.State, sv.Reason = state, why
	x.touchServer(sv)
}

func (x *change) rules(g *Group) *GroupConfig { return x.s.Config.Group(g.Name) }

// note writes somebody else's line into the event log.
func (x *change) note(c Command) {
	e := Event{Severity: c.Severity, Code: c.Code, Server: c.Server, Group: c.Group, Text: c.Text}
	if e.Code == "" {
		e.Code = CodeNote
	}
	if e.Severity != Warn && e.Severity != Error {
		e.Severity = Info
	}
	x.event(e)
}
