package node

import (
	"fmt"
	"slices"
	"strings"

	"baton/core/cluster"
)

// Tie is the tie-breaker of a forecast.
type Tie struct {
	Kind  string // as the configuration has it; "" none
	Works bool   // it answers now
}

// Foresee says what a command would lead to, and whether the servers that a failure
// leaves could go on at all: the state knows the rules, and the view who votes.
func (v *View) Foresee(c cluster.Command, tie Tie) cluster.Forecast {
	halt, provided := "", ""
	if c.Kind == cluster.KindLost {
		halt, provided = v.without(c.Lost, tie)
	}
	if halt != "" {
		return v.State.Halted(c.Lost, halt)
	}
	f := v.State.Foresee(c)
	f.Provided = provided
	return f
}

// without counts the votes that a loss leaves. halt says why they are too few, provided
// what exactly half of them depends on.
func (v *View) without(lost []cluster.Loss, tie Tie) (halt, provided string) {
	isLost := func(name string) bool {
		return slices.ContainsFunc(lost, func(l cluster.Loss) bool { return l.Server == name })
	}
	if !slices.ContainsFunc(v.Voters, isLost) {
		return "", "" // nobody's vote is missed
	}
	var left []string
	for _, name := range v.Voters {
		if sv := v.State.Server(name); !isLost(name) && sv != nil && sv.Present {
			left = append(left, name)
		}
	}
	all := len(v.Voters)
	votes := fmt.Sprintf("%d of %d votes would be left (%s)", len(left), all, strings.Join(left, ", "))
	const then = "; who is left stops its groups within heartbeat.timeout, by killing them, and waits for others"
	switch {
	case 2*len(left) > all:
		return "", ""
	case len(left) == 0:
		return "no vote would be left: nobody could decide or run anything before one of " + strings.Join(v.Voters, ", ") + " is back", ""
	case 2*len(left) < all:
		return fmt.Sprintf("%s, and %d are needed%s", votes, all/2+1, then), ""
	case tie.Kind == "":
		return votes + ", which is no majority, and there is no tie-breaker" + then, ""
	case !tie.Works:
		return fmt.Sprintf("%s, and the tie-breaker (%s), which would have to decide, does not answer now%s", votes, tie.Kind, then), ""
	}
	return "", fmt.Sprintf("%s: all this only if the tie-breaker (%s) lets them go on; else they stop their groups, too", votes, tie.Kind)
}
