package node

import (
	"slices"

	"baton/core/epoch"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// This file is who votes, by the own log.

// raftConfigurations are the voters by the own log: those applied, and those after
// each change behind, committed or not (rule 2).
func (n *Node) raftConfigurations() [][]epoch.RaftID {
	current := slices.Clone(n.members.Voters)
	out := [][]epoch.RaftID{current}
	n.eachTail(func(e *pb.Entry) {
		if e.GetType() != pb.EntryConfChange {
			return
		}
		var cc pb.ConfChange
		if proto.Unmarshal(e.GetData(), &cc) != nil {
			return
		}
		id := epoch.RaftID(cc.GetNodeId())
		next := slices.DeleteFunc(slices.Clone(current), func(v epoch.RaftID) bool { return v == id })
		if cc.GetType() == pb.ConfChangeAddNode {
			next = append(next, id)
		}
		slices.Sort(next)
		if !slices.Equal(next, current) {
			out = append(out, next)
		}
		current = next
	})
	return out
}

// eachTail visits the entries behind the applied ones.
func (n *Node) eachTail(visit func(*pb.Entry)) {
	last, _ := n.store.LastIndex()
	if last <= n.applied {
		return
	}
	entries, err := n.store.Entries(n.applied+1, last+1, 1<<62)
	if err != nil {
		return
	}
	for _, e := range entries {
		visit(e)
	}
}

// lastChange is the index of the newest change of the voters in the own log.
func (n *Node) lastChange() uint64 {
	at := n.changedAt
	n.eachTail(func(e *pb.Entry) {
		if e.GetType() == pb.EntryConfChange {
			at = e.GetIndex()
		}
	})
	return at
}

func union(confs [][]epoch.RaftID) (out []epoch.RaftID) {
	for _, c := range confs {
		for _, v := range c {
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	slices.Sort(out)
	return out
}

// isHalfOfEach: at least half of every configuration.
func isHalfOfEach(confs [][]epoch.RaftID, in []epoch.RaftID) bool {
	for _, c := range confs {
		if 2*countIn(c, in) < len(c) {
			return false
		}
	}
	return true
}

// isMajorityOfEach: more than half of every configuration.
func isMajorityOfEach(confs [][]epoch.RaftID, in []epoch.RaftID) bool {
	for _, c := range confs {
		if 2*countIn(c, in) <= len(c) {
			return false
		}
	}
	return true
}

func countIn(conf, in []epoch.RaftID) int {
	k := 0
	for _, v := range conf {
		if slices.Contains(in, v) {
			k++
		}
	}
	return k
}

// lastLog is the last (term, index) of the own log.
func (n *Node) lastLog() (term, index uint64) {
	index, _ = n.store.LastIndex()
	term, _ = n.store.Term(index)
	return term, index
}
