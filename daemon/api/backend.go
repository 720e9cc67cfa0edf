package api

import (
	"context"

	"baton/core/cluster"
)

// Backend is what the server serves; batond's side of it. Its methods are called
// from many goroutines.
type Backend interface {
	// Status makes a picture as of now. Nobody changes a picture once it is out; the
	// server sets Operator in a copy.
	Status(ctx context.Context) (*Status, error)
	// Watch gives pictures until ctx ends: one at once, then at every change, at most
	// one per 50 ms, and at least one each second. The channel holds the newest
	// picture only; it is closed when ctx ends or the daemon stops.
	Watch(ctx context.Context) <-chan *Status
	// Events returns the oldest events with an ID above after, at most limit.
	Events(after uint64, limit int) []cluster.Event
	// Newest returns the newest events, at most limit, oldest first.
	Newest(limit int) []cluster.Event
	// MoreEvents is closed when there is an event that Events did not yet know.
	MoreEvents() <-chan struct{}
	// Operate returns once the log has the operation, or with an *Error why not. The
	// operation's ID and Who are set.
	Operate(ctx context.Context, op cluster.Op) error
	// Check says whether the operation would be accepted now, without asking for it.
	Check(ctx context.Context, op cluster.Op) error
	// Why says in one sentence why a group is where it is.
	Why(ctx context.Context, group string) (string, error)
	// ScriptLog is the end of what a group's scripts have printed on this server, at most
	// so many bytes; "" where they have not run here.
	ScriptLog(ctx context.Context, group string, most int) (string, error)
	// Foresee says what would happen.
	Foresee(ctx context.Context, what string) (cluster.Forecast, error)
	// Force lets this server go on alone; server must be its name.
	Force(ctx context.Context, server string, who cluster.Who) error
}

// The codes of errors that the server itself gives; those of refusals come from
// package cluster.
const (
	CodeBadRequest   = "bad-request"   // 400
	CodeNotPermitted = "not-permitted" // 403
	CodeNotFound     = "not-found"     // 404
	CodeBadMethod    = "bad-method"    // 405
	CodeTooLarge     = "too-large"     // 413
	CodeInternal     = "internal"      // 500
	CodeNoQuorum     = "no-quorum"     // 503: no leader, or the leader has no majority
	CodeNoAnswer     = "no-answer"     // 503: not known whether the log has it
	CodeTooBusy      = "too-busy"      // 503: too many connections of one user
	CodeStopping     = "stopping"      // 503: batond is ending
	CodeNotHere      = "not-here"      // 409: a forced return is asked for elsewhere than on its server
	CodeNotNeeded    = "not-needed"    // 409: a forced return of a server that has a leader
)
