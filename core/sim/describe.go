package sim

import (
	"fmt"

	"baton/core/node"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// describe puts a message on one line. Protobuf's own text is not used: its spacing
// changes from build to build.
func describe(m *node.Message) string {
	head := fmt.Sprintf("%d>%d %s life %v/%d #%d term %d", m.From, m.To, kindName(m.Kind), m.Life.Raft, m.Life.Start, m.Seq, m.Term)
	if m.Leader {
		head += " leader"
	}
	switch m.Kind {
	case node.MsgHeartbeat:
		return fmt.Sprintf("%s session %x heard %d ended %x", head, m.Session, m.HeardSeq, m.Ended)
	case node.MsgEcho:
		return fmt.Sprintf("%s session %x answers %d support %v former %v", head, m.Session, m.AnswerSeq, m.Support, m.FormerAge)
	case node.MsgGrant:
		return fmt.Sprintf("%s answers %d grant %v for %x ended %x", head, m.AnswerSeq, m.Grant, m.GrantSession, m.Ended)
	case node.MsgPropose:
		return fmt.Sprintf("%s %s", head, m.Payload)
	case node.MsgRaft:
		var r raftpb.Message
		if err := proto.Unmarshal(m.Payload, &r); err != nil {
			return fmt.Sprintf("%s %d bytes", head, len(m.Payload))
		}
		text := fmt.Sprintf("%s %v term %d index %d/%d commit %d reject %v",
			head, r.GetType(), r.GetTerm(), r.GetLogTerm(), r.GetIndex(), r.GetCommit(), r.GetReject())
		for _, e := range r.GetEntries() {
			text += fmt.Sprintf(" [%d/%d %s]", e.GetTerm(), e.GetIndex(), e.GetData())
		}
		return text
	}
	return head
}

func kindName(k node.MessageKind) string {
	switch k {
	case node.MsgHeartbeat:
		return "heartbeat"
	case node.MsgEcho:
		return "echo"
	case node.MsgGrant:
		return "grant"
	case node.MsgRaft:
		return "raft"
	case node.MsgPropose:
		return "propose"
	}
	return fmt.Sprintf("kind-%d", k)
}
