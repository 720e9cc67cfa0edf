package peer

// drop is why a message, or a stream, was dropped.
type drop int

const (
	dropUnsendable     drop = iota // the node's message cannot be encoded or addressed
	dropStale                      // no stream could take it for as long as Timeout
	dropStreamFull                 // the stream did not keep up: oldest dropped
	dropForeign                    // a certificate of another cluster or key, or an attack
	dropHandshake                  // something dialled that does not speak as we do
	dropHandshakeLimit             // too many handshakes at a time
	dropFrame                      // bytes that are no frame: the stream was closed
	dropMalformed                  // a frame, but no message
	dropVersion                    // a message of another version
	dropMismatch                   // its message has another sender, receiver or kind
	dropQueueFull                  // the event loop did not keep up
	dropKinds
)

var dropNames = [dropKinds]string{
	dropUnsendable: "unsendable", dropStale: "stale", dropStreamFull: "stream-full", dropForeign: "foreign",
	dropHandshake: "handshake", dropHandshakeLimit: "handshake-limit", dropFrame: "frame", dropMalformed: "malformed",
	dropVersion: "version", dropMismatch: "mismatch", dropQueueFull: "queue-full",
}

func (d drop) String() string { return dropNames[d] }
