// Package api is how anything on a server talks to its batond: HTTP and JSON on a
// unix socket, with server-sent events for what is going on. The console and every
// command go through it; nothing else may.
//
// This file holds what crosses the socket. The server side is New, the other side
// Client. Who may view and who may operate is decided by the peer's credentials.
// The requests are described in README.md beside this file.
package api

import "baton/core/cluster"

// DefaultSocket is where batond listens unless told otherwise.
const DefaultSocket = "/run/baton/batond.sock"

// Status is the picture of the cluster as one server sees it. The fields of SPEC
// section 8 are cluster, server, quorum, leader, servers and groups; times are unix
// milliseconds, durations milliseconds.
type Status struct {
	Cluster  string `json:"cluster"`
	Server   string `json:"server"`   // the server that answers
	Version  string `json:"version"`  // of its batond
	Time     int64  `json:"time"`     // of the answer, the server's wall clock
	Revision uint64 `json:"revision"` // grows with every change; an operation may name the one it is based on
	Phase    string `json:"phase"`    // cluster.Phase
	Quorum   bool   `json:"quorum"`   // this server has a leader, and that leader a majority
	Leader   string `json:"leader"`   // "" where none is known
	Epoch    uint64 `json:"epoch"`
	Term     uint64 `json:"term"`
	Waiting  string `json:"waiting,omitempty"` // for whom or what the cluster waits, one sentence
	// LeaseMS is what is left of this server's lease; 0 or less: none.
	LeaseMS    int64        `json:"lease_ms"`
	IntervalMS int64        `json:"interval_ms"`
	TimeoutMS  int64        `json:"timeout_ms"`
	Tiebreaker Tiebreaker   `json:"tiebreaker"`
	Operator   bool         `json:"operator"` // the asker may operate, not only view
	Servers    []Server     `json:"servers"`
	Groups     []Group      `json:"groups"`
	Paths      []Path       `json:"paths"`
	Ops        []cluster.Op `json:"ops,omitempty"` // running and lately ended operations, oldest first
	// Drops counts what the answering server has dropped since its batond started:
	// "heartbeat forged", "stream foreign" and so on. The log names each reason, too.
	Drops map[string]uint64 `json:"drops,omitempty"`
}

// Tiebreaker is who decides when exactly half of the servers is left.
type Tiebreaker struct {
	Kind  string `json:"kind"`  // "none", "disk", "witness", "fence", "ping"
	State string `json:"state"` // "ok", "lost", "none"
}

// Server is one server.
type Server struct {
	Name    string `json:"name"`
	State   string `json:"state"` // cluster.ServerState
	Since   int64  `json:"since"`
	Reason  string `json:"reason"`
	Voter   bool   `json:"voter"`
	HeardMS int64  `json:"heard_ms"` // age of its newest message; -1 never; 0 for the answering server
	// SameRules: its configuration file agrees with the answering server's.
	SameRules  bool     `json:"same_rules"`
	Public     string   `json:"public,omitempty"`
	FailedWith []string `json:"failed_with,omitempty"`
	// Then is what becomes of the machine after the shutdown of the server.
	Then cluster.Then `json:"then,omitempty"`
}

// Group is one group.
type Group struct {
	Name      string     `json:"name"`
	State     string     `json:"state"` // cluster.GroupState
	Server    string     `json:"server"`
	Event     string     `json:"event"` // ARMS_EVENT of its last start
	Since     int64      `json:"since"`
	Reason    string     `json:"reason"`
	Failovers int        `json:"failovers"`
	Wanted    bool       `json:"wanted"`
	Degraded  bool       `json:"degraded,omitempty"`
	Warning   string     `json:"warning,omitempty"`
	Policy    []string   `json:"policy"`
	Autostart bool       `json:"autostart"`
	Failback  string     `json:"failback"`
	Resources []Resource `json:"resources"`
	// Step is what is being done with the group now.
	Step *Step `json:"step,omitempty"`
	// LastStartMS and LastStopMS are how long the last ones took; 0: not known.
	LastStartMS int64 `json:"last_start_ms,omitempty"`
	LastStopMS  int64 `json:"last_stop_ms,omitempty"`
}

// Resource is what a group needs.
type Resource struct {
	Kind   string `json:"kind"`             // "floating_ip", "partition", "nfs", "script"
	Name   string `json:"name"`             // the address, the mount point, the path
	Detail string `json:"detail,omitempty"` // e.g. interface
}

// Step is a step under way.
type Step struct {
	Kind   string `json:"kind"` // cluster.StepKind
	Server string `json:"server"`
	Since  int64  `json:"since"`
	Next   int    `json:"next"` // how many follow
}

// Path is one directed heartbeat path, as its receiving end sees it. What other
// servers receive is known only as State; the figures are -1 then.
type Path struct {
	From     string  `json:"from"`
	To       string  `json:"to"`
	Name     string  `json:"name"` // "lan1", "lan2", ..., "public", "disk"
	Network  string  `json:"network,omitempty"`
	State    string  `json:"state"`  // "ok", "lost", "unknown"
	AgeMS    int64   `json:"age_ms"` // of the newest packet; -1: never, or not known here
	Loss     float64 `json:"loss"`   // share of packets lost in the last minute, 0 to 1; -1: not known here
	RTTMicro int64   `json:"rtt_us"` // -1: not known
}

// Operation is what an operator asks for: POST /v1/operations.
type Operation struct {
	Verb     cluster.Verb `json:"verb"`
	Group    string       `json:"group,omitempty"`
	Server   string       `json:"server,omitempty"`
	Revision uint64       `json:"revision,omitempty"` // of the picture the operator saw; 0: does not say
	// From is the asker's terminal or SSH client, by his own word.
	From string `json:"from,omitempty"`
	// Then, of a shutdown: what each server that is shut down does with its machine as its
	// last act, "poweroff" or "reboot"; "" leaves the machine running.
	Then cluster.Then `json:"then,omitempty"`
	// Dry: only say whether it would be accepted now.
	Dry bool `json:"dry,omitempty"`
}

// Accepted answers an Operation that the log has: follow it by its ID in Status.Ops,
// or with GET /v1/operations/ID?wait=30s.
type Accepted struct {
	ID string `json:"id"`
}

// Error is what every answer with a status of 400 or more carries.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (" + e.Hint + ")"
}
