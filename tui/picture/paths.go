package picture

import (
	"slices"
	"time"

	"baton/core/cluster"
	"baton/daemon/api"
	"baton/tui/words"
)

// Link is one heartbeat path between two servers, both directions taken together.
type Link struct {
	Name, Network string
	Sign          Sign
	// From and To are set where only that direction is lost.
	From, To string
	Age      time.Duration // since it was last heard, where lost and known; else 0
	Loss     float64       // the worse direction's, 0 to 1; -1 not known
	RTT      time.Duration // -1 not known
}

// Pair is two servers and the paths between them, in the order of the picture.
type Pair struct {
	A, B  string
	Links []Link
}

// Pairs lists all pairs of servers, in the order of the servers.
func Pairs(st *api.Status) []Pair {
	n := len(st.Servers)
	out := make([]Pair, 0, n*(n-1)/2)
	type ends struct{ from, to string }
	by := make(map[ends][]*api.Path, n*(n-1))
	for i := range st.Paths {
		p := &st.Paths[i]
		k := ends{p.From, p.To}
		by[k] = append(by[k], p)
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			a, b := &st.Servers[i], &st.Servers[j]
			there, back := by[ends{a.Name, b.Name}], by[ends{b.Name, a.Name}]
			pair := Pair{A: a.Name, B: b.Name}
			for _, p := range there {
				k := slices.IndexFunc(back, func(q *api.Path) bool { return q.Name == p.Name })
				var q *api.Path
				if k >= 0 {
					q = back[k]
				}
				pair.Links = append(pair.Links, link(p, q, off(a) || off(b)))
			}
			for _, q := range back {
				if !slices.ContainsFunc(there, func(p *api.Path) bool { return p.Name == q.Name }) {
					pair.Links = append(pair.Links, link(q, nil, off(a) || off(b)))
				}
			}
			out = append(out, pair)
		}
	}
	return out
}

// off: nobody is expected to answer there.
func off(s *api.Server) bool { return s.State == string(cluster.ServerStopped) }

// link puts the two directions of a path together; back is nil where there is none.
func link(p, back *api.Path, off bool) Link {
	l := Link{Name: p.Name, Network: p.Network, Loss: p.Loss, RTT: -1}
	if p.RTTMicro >= 0 {
		l.RTT = time.Duration(p.RTTMicro) * time.Microsecond
	}
	a, b := p.State, "unknown"
	age := p.AgeMS
	if back != nil {
		b = back.State
		l.Loss = max(l.Loss, back.Loss)
		if l.RTT < 0 && back.RTTMicro >= 0 {
			l.RTT = time.Duration(back.RTTMicro) * time.Microsecond
		}
		if age < 0 || p.State != "lost" {
			age = back.AgeMS
		}
	}
	switch {
	case off:
		l.Sign = Sign{Off, words.PathOff}
	case a == "ok" && b == "ok":
		l.Sign = Sign{Good, words.OK}
	case a == "lost" && b == "ok":
		l.Sign, l.From, l.To = Sign{Failed, words.OneWay}, p.From, p.To
	case a == "ok" && b == "lost":
		l.Sign, l.From, l.To = Sign{Failed, words.OneWay}, p.To, p.From
	case a == "lost" || b == "lost":
		// The other end's word is missing, most likely because of this.
		l.Sign = Sign{Failed, words.Lost}
	default:
		l.Sign = Sign{Unknown, words.NoReport}
	}
	if l.Sign.Kind == Failed && age > 0 {
		l.Age = time.Duration(age) * time.Millisecond
	}
	return l
}

// OK counts the links that work.
func (p *Pair) OK() int {
	n := 0
	for i := range p.Links {
		if p.Links[i].Sign.Kind == Good {
			n++
		}
	}
	return n
}

// Sign is what the pair is on the whole: all paths, some, none.
func (p *Pair) Sign() Kind {
	ok := p.OK()
	switch {
	case len(p.Links) == 0:
		return Unknown
	case ok == len(p.Links):
		return Good
	case ok > 0:
		return Caution
	}
	k := p.Links[0].Sign.Kind
	for i := range p.Links {
		if p.Links[i].Sign.Kind == Failed {
			return Failed
		}
	}
	return k
}

// PathsLost counts the links that are lost between servers that both are there. With
// a server that is down every path to it is lost, which says nothing new.
func PathsLost(st *api.Status) int {
	n := 0
	for _, p := range Pairs(st) {
		if !Present(st, p.A) || !Present(st, p.B) {
			continue
		}
		for i := range p.Links {
			if p.Links[i].Sign.Kind == Failed {
				n++
			}
		}
	}
	return n
}

// Present says whether batond is to be expected on the server.
func Present(st *api.Status, name string) bool {
	s := Server(st, name)
	return s != nil && s.State != string(cluster.ServerDown) && s.State != string(cluster.ServerStopped)
}

// Server finds a server by name; nil where there is none.
func Server(st *api.Status, name string) *api.Server {
	for i := range st.Servers {
		if st.Servers[i].Name == name {
			return &st.Servers[i]
		}
	}
	return nil
}

// Group finds a group by name; nil where there is none.
func Group(st *api.Status, name string) *api.Group {
	for i := range st.Groups {
		if st.Groups[i].Name == name {
			return &st.Groups[i]
		}
	}
	return nil
}

// Op finds an operation by its ID; nil where there is none.
func Op(st *api.Status, id string) *cluster.Op {
	for i := range st.Ops {
		if st.Ops[i].ID == id {
			return &st.Ops[i]
		}
	}
	return nil
}

// On lists the groups that are shown with a server.
func On(st *api.Status, server string) []*api.Group {
	var out []*api.Group
	for i := range st.Groups {
		if g := &st.Groups[i]; g.Server == server && Placed(st, g) {
			out = append(out, g)
		}
	}
	return out
}

// Placed says whether the group belongs to a server of the picture; the others are
// "not running".
func Placed(st *api.Status, g *api.Group) bool {
	return g.Server != "" && g.State != string(cluster.GroupStopped) && Server(st, g.Server) != nil
}

// Unplaced lists the groups that run nowhere.
func Unplaced(st *api.Status) []*api.Group {
	var out []*api.Group
	for i := range st.Groups {
		if g := &st.Groups[i]; !Placed(st, g) {
			out = append(out, g)
		}
	}
	return out
}
