// Package epoch is about who may decide: an epoch is one raft group, named by its
// number and its founder (core/README.md, rules D1, D2, D6 and D10).
//
// It holds identities and the pure questions asked about configurations; the raft
// group itself is driven by package node. It imports no clock and no message.
package epoch

import "fmt"

// RaftID is a server's identity within raft: the server's number (1 to 16, its place
// in the configuration) in the low byte and its incarnation above. A server without
// its log draws a new incarnation, so that a raft id never comes back without the
// log it voted with (D2). Zero means none.
type RaftID uint64

// NewRaftID joins a server number and an incarnation.
func NewRaftID(server int, incarnation uint64) RaftID {
	return RaftID(incarnation<<8 | uint64(server)&0xff)
}

// Server returns the number of the server the id belongs to.
func (r RaftID) Server() int { return int(r & 0xff) }

// Incarnation returns the part that changes when the log is lost.
func (r RaftID) Incarnation() uint64 { return uint64(r) >> 8 }

func (r RaftID) String() string { return fmt.Sprintf("%d.%x", r.Server(), r.Incarnation()) }

// ID names an epoch (D1). Two epochs of one number with different founders are two
// histories. The zero value means that the server belongs to no epoch yet.
type ID struct {
	Number  uint64
	Founder RaftID
}

func (e ID) String() string {
	if e == (ID{}) {
		return "none"
	}
	return fmt.Sprintf("%d/%v", e.Number, e.Founder)
}
