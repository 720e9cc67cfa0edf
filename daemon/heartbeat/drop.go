package heartbeat

// drop is why a datagram was not sent or not delivered.
type drop int

const (
	accepted          drop = iota
	dropShort              // too short for a head and a tag
	dropLong               // longer than any datagram of ours
	dropVersion            // another version of the seal
	dropUnknownServer      // the sender's number is not one of the other servers
	dropWrongReceiver      // sealed for another server
	dropWrongPath          // sealed for another path: the networks are mixed up
	dropForged             // no key opens it: another cluster, another key, or an attack
	dropReplayed           // its sequence has come before, or is too old to tell
	dropOldRun             // of a run of the sender before the one that is heard
	dropMalformed          // genuine, but no message
	dropMismatch           // genuine, but its message has another sender, receiver or kind
	dropQueueFull          // the event loop did not keep up
	dropUnsendable         // the node's message cannot be encoded or addressed
	dropNoSocket           // the path's socket is not open
	dropBusy               // the kernel's buffer was full
	dropUnreachable        // the kernel refused to send: address or route missing, or filtered
	dropKinds
)

var dropNames = [dropKinds]string{
	accepted: "accepted", dropShort: "short", dropLong: "long", dropVersion: "version",
	dropUnknownServer: "unknown-server", dropWrongReceiver: "wrong-receiver", dropWrongPath: "wrong-path",
	dropForged: "forged", dropReplayed: "replayed", dropOldRun: "old-run", dropMalformed: "malformed",
	dropMismatch: "mismatch", dropQueueFull: "queue-full", dropUnsendable: "unsendable",
	dropNoSocket: "no-socket", dropBusy: "busy", dropUnreachable: "unreachable",
}

func (d drop) String() string { return dropNames[d] }
